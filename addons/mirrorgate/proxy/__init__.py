"""The data plane: a proxy mode of our own inside mitmproxy, and what is seen of it from outside.

Here belong sockets, timers, mitmproxy's flows and hooks, and the admin server. Decisions do not: an adapter asks
`director` and `admission`, which are pure, and does what they say. `mitm` is the only module that touches
mitmproxy's internals. Nothing on the byte path waits, logs or raises.
"""
