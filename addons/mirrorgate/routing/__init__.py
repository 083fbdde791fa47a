"""Routing: from declared objects to the answer to "where does this request go, and changed how?".

Here belong the compiler from an `Inventory` to an immutable `RouteTable` with the status that a conformant
controller writes, and what a request asks of that table: the listener and the match (`matching`), the filters
(`filters`), the weighted draws (`splitting`), and why (`explaining`).

Here do not belong: parsing and validation of objects (`resources`), limits and queues (`admission`), the choice of
an endpoint (`scheduling`), and anything that waits, reads a clock, draws a random number or opens a socket.
"""
