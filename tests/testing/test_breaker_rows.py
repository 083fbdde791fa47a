"""The measured rows of the circuit breaker: each adds up, and declares what it was measured with."""

from __future__ import annotations

from mirrorgate.testing.breaker_rows import ROWS


def test_every_request_was_answered_or_refused() -> None:
    """Refusals are those that a limit is to blame for, and what waited was answered."""
    for row in ROWS:
        assert row.ok + row.refused == row.requests
        assert sum(row.overflows[:2]) == row.refused
        assert row.queued <= row.ok


def test_limits_that_are_not_declared_are_left_out() -> None:
    """So that the defaults are what was measured, too."""
    assert ROWS[0].limits == {"maxPendingRequests": 1, "maxParallelRequests": 1}
    assert ROWS[-1].limits == {"maxConnections": 3, "maxPendingRequests": 2, "perEndpoint": {"maxConnections": 1}}
