"""Chaos: servers and clients that misbehave on command around a real gateway, and the books that must balance after.

Belongs here: what a hostile or broken peer can do, and the one place that holds what every party saw against what
every other says. Does not belong here: cases, which lie in `tests/chaos`.

`asks` says what is asked and what must be answered, `unruly` is the server that breaks, `crowd` are the clients that
do, `rig` puts them around a gateway, `books` holds everyone's counts together.
"""
