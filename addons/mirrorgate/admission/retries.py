"""The retries of one cluster: how many may wait for their back-off or be under way at once, and what became of them.

Envoy's circuit breaker for retries, as measured: a place is held from the decision to send a request again until that
try is judged in its turn. `maxParallelRetries` is a number; a retry budget is a share of what is active and pending at
the moment of the decision, and takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from .elsewhere import Elsewhere
from .limits import Limits

__all__ = ["Retries", "RetryCounters"]


@dataclass(slots=True)
class RetryCounters:
    """What happened so far, never decreasing. Names follow Envoy's `cluster.*.upstream_rq_retry*`."""

    begun: int = 0
    success: int = 0
    """Requests that were sent again, and whose last answer was none to retry for."""
    overflow: int = 0
    """Requests that were not sent again for want of a place."""
    limit_exceeded: int = 0
    """Requests whose last try failed, too."""
    abandoned: int = 0
    """Streamed uploads that outgrew what is kept of them for another try (Envoy's `retry_or_shadow_abandoned`)."""


class Retries:
    """The places of one cluster."""

    __slots__ = ("_elsewhere", "active", "counters")

    def __init__(self, elsewhere: Elsewhere | None = None) -> None:
        self._elsewhere = elsewhere
        self.active = 0
        self.counters = RetryCounters()

    def take(self, limits: Limits, load: int) -> bool:
        """Take a place, if there is one; each that is taken is given back once.

        `load` is what of the cluster is active and pending.
        """
        other = self._elsewhere
        if (self.active if other is None else self.active + other.retries()) >= limits.most_retries(load):
            self.counters.overflow += 1
            return False
        self.active += 1
        self.counters.begun += 1
        if other is not None:
            other.tell_retries(self.active)
        return True

    def give_back(self) -> None:
        """Give a place back; raises `ValueError` when none is taken."""
        if not self.active:
            raise ValueError("no retry is under way")
        self.active -= 1
        if self._elsewhere is not None:
            self._elsewhere.tell_retries(self.active)
