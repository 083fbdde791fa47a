"""Active health checks: what the outcomes of probes make of one endpoint.

The rules are Envoy's (`envoy.config.core.v3.HealthCheck`)::

                      | an endpoint that is in                     | one that is out, or was never probed
    ------------------+--------------------------------------------+-------------------------------------------
    passed            | in; the failures so far are forgotten      | in after healthyThreshold of them in a row;
                      |                                            | a new endpoint after the first
    failed            | out at once: it says itself that it is ill | out
    retriable, silent | out after unhealthyThreshold in a row      | out
"""

from __future__ import annotations

import enum

__all__ = ["Check", "Outcome"]


class Outcome(enum.StrEnum):
    """How one probe ended."""

    PASSED = "passed"
    FAILED = "failed"
    """The endpoint answered, and not as expected."""
    RETRIABLE = "retriable"
    """It answered with a status of `retriableStatuses`."""
    SILENT = "silent"
    """It could not be connected to, broke off, or did not answer in time."""


class Check:
    """The standing of one endpoint."""

    __slots__ = ("_bad", "_good", "_known", "attempts", "failures", "healthy", "reason", "silences", "successes")

    def __init__(self) -> None:
        self.healthy = False
        self.reason = "not probed yet"
        """Why the last probe failed, empty after one that passed."""
        self.attempts = 0
        self.successes = 0
        self.failures = 0
        """Every probe that did not pass."""
        self.silences = 0
        self._good = 0
        self._bad = 0
        self._known = False

    @property
    def known(self) -> bool:
        """Whether it was probed at all."""
        return self._known

    def record(self, outcome: Outcome, healthy_threshold: int, unhealthy_threshold: int, reason: str = "") -> bool:
        """Take note of a probe; whether the endpoint goes out or comes in by it."""
        first, self._known = not self._known, True
        before = self.healthy
        self.attempts += 1
        self.reason = reason
        if outcome is Outcome.PASSED:
            self.successes += 1
            self._bad = 0
            self._good += 1
            self.healthy = before or first or self._good >= healthy_threshold
        else:
            self.failures += 1
            self.silences += outcome is Outcome.SILENT
            self._good = 0
            self._bad += 1
            self.healthy = before and outcome is not Outcome.FAILED and self._bad < unhealthy_threshold
        return self.healthy is not before
