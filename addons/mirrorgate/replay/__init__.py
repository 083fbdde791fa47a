"""Captured traffic sent again, to a candidate and perhaps to the primary, and judged by the code that judges live.

Here belong the captures' formats (`flow_source`, `journal_source`, `har_source`, `gor_source`, `batch_source`, found
by `sources`), what of them is sent (`selecting`), when (`pacing`), where to (`url_target`, `route_target`) and the run
itself (`playing`), with what it needs to go on later (`resuming`). Sending, pairing, comparing, the journal and the
evidence are the shadow process's own (`shadow`, `comparison`), and so is the verdict.

Not here: the command line (`cli.replaying`), the report (`reporting`), the capture (`proxy.carrying.capturing`).
"""
