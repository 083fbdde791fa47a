"""What `scripts/bench` measures: Mirrorgate beside other proxies, on the same work, in alternating rounds.

Belongs here: the server behind the proxies (`origin`), the load (`load`), what a process has used (`usage`), how each
proxy is started (`proxies`), what is asked of it (`scenarios`), which of them make a part (`parts`), the rounds, what
is held in memory (`footprint`), single operations and their bytecodes, and the document that it ends in. Does not
belong here: judging. A time on a shared machine is a figure to look at, never a test that fails.
"""
