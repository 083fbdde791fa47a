"""The shadow subsystem: the copy of a request that goes to a candidate, and what becomes of its answer.

Two processes share this package. In the proxy's lie the `channel` (the proxy's end of a Unix socket pair), the
`child` (how the other process is started) and the `budget` (what may be in flight). In the shadow process lie
`__main__` and `process`, which read frames, run the `legs` to candidate and control, pair, compare, write the journal
and report back. `frames` and `outbox` serve both ends.

Belongs here: whatever concerns the second leg of an exchange. Does not: the choice of what is mirrored and where to
(`director`, `scheduling`), how answers are assembled and compared (`inference`, `comparison`), metrics (`telemetry`).
Nothing here imports mitmproxy, and nothing that the proxy calls here waits or raises.
"""
