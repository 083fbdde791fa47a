"""What a real Envoy's circuit breaker did: requests 60 ms apart, each held by its server for 800 ms.

The rows are those of one worker and HTTP/1.1 upstreams, where every run gave the same result (`docs/compatibility.md`).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ROWS", "BreakerRow"]


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """Limits (`None` is not declared), and what was measured with them in five of five runs."""

    endpoints: int
    connections: int | None
    pending: int | None
    parallel: int | None
    per_endpoint: int | None
    requests: int
    ok: int
    refused: int
    queued: int
    """Of those that were answered 200."""
    most_active: int
    connections_made: int
    overflows: tuple[int, int, int]
    """`rq_pending_overflow`, `rq_active_overflow`, `cx_overflow`."""

    @property
    def limits(self) -> dict[str, object]:
        """What a BackendTrafficPolicy's `circuitBreaker` declares."""
        declared: dict[str, object] = {
            "maxConnections": self.connections,
            "maxPendingRequests": self.pending,
            "maxParallelRequests": self.parallel,
        }
        if self.per_endpoint is not None:
            declared["perEndpoint"] = {"maxConnections": self.per_endpoint}
        return {name: limit for name, limit in declared.items() if limit is not None}


N = None
ROWS = (
    BreakerRow(1, N, 1, 1, N, 5, 1, 4, 0, 1, 2, (0, 4, 0)),
    BreakerRow(1, N, 1, 1, N, 2, 1, 1, 0, 1, 2, (0, 1, 0)),
    BreakerRow(1, N, 0, 1, N, 5, 0, 5, 0, 0, 0, (5, 0, 0)),
    BreakerRow(1, N, 0, N, N, 5, 0, 5, 0, 0, 0, (5, 0, 0)),
    BreakerRow(1, 1, 1, N, N, 5, 2, 3, 1, 1, 1, (3, 0, 1)),
    BreakerRow(1, 2, 3, N, N, 8, 5, 3, 3, 2, 2, (3, 0, 5)),
    BreakerRow(1, 1, 0, N, N, 5, 0, 5, 0, 0, 0, (5, 0, 0)),
    BreakerRow(1, 1, 1, 1, N, 5, 2, 3, 1, 1, 1, (3, 0, 1)),
    BreakerRow(1, 1, 5, 1, N, 5, 5, 0, 4, 1, 1, (0, 0, 7)),
    BreakerRow(1, 2, 5, 1, N, 5, 1, 4, 0, 1, 2, (0, 4, 0)),
    BreakerRow(1, N, N, 3, N, 6, 3, 3, 0, 3, 4, (0, 3, 0)),
    BreakerRow(1, N, 2, 4, N, 8, 4, 4, 0, 4, 5, (0, 4, 0)),
    BreakerRow(1, 0, 5, N, N, 4, 4, 0, 3, 1, 1, (0, 0, 6)),
    BreakerRow(1, N, N, 0, N, 3, 0, 3, 0, 0, 1, (0, 3, 0)),
    BreakerRow(1, 3, N, N, N, 6, 6, 0, 3, 3, 3, (0, 0, 5)),
    BreakerRow(2, 1, 9, N, N, 6, 6, 0, 4, 2, 2, (0, 0, 7)),
    BreakerRow(2, 2, 1, N, N, 6, 3, 3, 1, 2, 2, (3, 0, 1)),
    BreakerRow(2, N, 1, 1, N, 4, 1, 3, 0, 1, 3, (0, 3, 0)),
    BreakerRow(2, N, 9, N, 1, 6, 6, 0, 4, 2, 2, (0, 0, 6)),
    BreakerRow(2, N, 1, N, 1, 6, 3, 3, 1, 2, 2, (3, 0, 1)),
    BreakerRow(2, N, 2, N, 2, 8, 6, 2, 2, 4, 4, (2, 0, 2)),
    BreakerRow(2, N, 9, N, 0, 4, 4, 0, 2, 2, 2, (0, 0, 4)),
    BreakerRow(1, N, 1, N, 1, 5, 2, 3, 1, 1, 1, (3, 0, 1)),
    BreakerRow(2, 3, 2, N, 1, 6, 4, 2, 2, 2, 2, (2, 0, 2)),
)
