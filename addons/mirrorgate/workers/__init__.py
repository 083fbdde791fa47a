"""Several processes that are one gateway (`mirrorgate run --workers N`): see `docs/adr/0007-workers.md`.

The supervisor (`supervising`) starts the workers and the one shadow process, restarts what dies, and answers on the
one admin port with what the workers say, put together (`admin_front`, `merging`). It imports no mitmproxy. A worker is
a whole gateway with a `Seat`: shared listening ports, a row of counts in shared memory (`rows`), and a socket for the
supervisor's questions.
"""
