"""Fixed thresholds on the candidate alone, as Flagger and Argo Rollouts apply them by default.

Each check looks at the candidate's last window of pairs: the share of answers that are no 5xx has to be 99 % at
least, and the 99th percentile of the duration at most a number that somebody wrote down. A candidate is rolled back
when `failures` checks have failed: Argo's `failureLimit` is 0, so the first one does it; Flagger's examples have a
`threshold` of 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...inference.assembling import percentile

__all__ = ["FixedThresholds"]

_SUCCESS = 0.99


@dataclass(slots=True)
class FixedThresholds:
    """The checks of one rollout."""

    slowest: float
    """Seconds: the bound of the 99th percentile."""
    failures: int
    """How many failed checks end it."""
    every: int = 100
    """Pairs between two checks, which is the window of each as well."""
    failed: int = 0
    _window: list[tuple[bool, float]] = field(default_factory=list)

    def observe(self, status: int, seconds: float) -> bool:
        """Take an answer of the candidate's; tell whether it is rolled back by now. Status 0 is no answer."""
        self._window.append((200 <= status < 500, seconds))
        if len(self._window) == self.every:
            self.failed += not _passes(self._window, self.slowest)
            self._window.clear()
        return self.failed >= self.failures


def _passes(window: Sequence[tuple[bool, float]], slowest: float) -> bool:
    succeeded = sum(good for good, _ in window) / len(window)
    duration = percentile([seconds for _, seconds in window], 0.99)
    return succeeded >= _SUCCESS and duration is not None and duration <= slowest
