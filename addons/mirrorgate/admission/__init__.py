"""Whether a request may go on, and on which connection: the accounting behind the circuit breaker.

Here belong counts, queues and limits, as plain data with plain transitions. Sockets, timers and waiting do not:
the pool in `proxy` asks, is told what to do, and does it.
"""
