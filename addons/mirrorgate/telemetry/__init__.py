"""What the gateway tells its operators: metrics, the access log, the lag of the event loop.

Belongs here: subscribers that turn `events` into numbers and lines, and what puts those where people read them
(Prometheus text, a log file). Every name that leaves the process as a metric stands in `names`, once.

Does not belong here: decisions, HTTP servers (the admin server is in `proxy`), comparisons and their journal
(`comparison`, `shadow`). A subscriber never raises into the path of a request, never waits for a disk, and holds
bounded memory whatever clients send: label values come from the configuration or from a closed set, or are capped.
"""
