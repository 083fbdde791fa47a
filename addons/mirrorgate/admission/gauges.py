"""What a cluster has under way, beside its limits."""

from __future__ import annotations

from dataclasses import dataclass

from .elsewhere import NOWHERE, Counts
from .limits import Limits

__all__ = ["Gauges"]


@dataclass(frozen=True, slots=True)
class Gauges:
    """The counts of this moment beside their limits."""

    active: int
    pending: int
    connections: int
    limits: Limits
    retries: int = 0
    elsewhere: Counts = NOWHERE
    """Of the other workers, against the same limits."""

    @property
    def everywhere(self) -> Counts:
        """What counts against the limits."""
        other = self.elsewhere
        return Counts(
            self.active + other.active,
            self.pending + other.pending,
            self.connections + other.connections,
            self.retries + other.retries,
        )

    @property
    def parallel_open(self) -> bool:
        """Whether the next request would be refused, as Envoy's `rq_open`."""
        return self.everywhere.active >= self.limits.parallel

    @property
    def pending_open(self) -> bool:
        return self.everywhere.pending >= self.limits.pending

    @property
    def retries_limit(self) -> int:
        """How many retries there may be now."""
        everywhere = self.everywhere
        return self.limits.most_retries(everywhere.active + everywhere.pending)

    @property
    def retries_open(self) -> bool:
        return self.everywhere.retries >= self.retries_limit

    @property
    def connections_open(self) -> bool:
        return self.everywhere.connections >= max(1, self.limits.connections)
