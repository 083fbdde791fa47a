"""Says what a gateway sheds when its event loop falls behind, so that what it has admitted goes on in time.

The signal is the *standing* lag: the least of the latest measurements, as CoDel's is the least delay of an interval
(RFC 8289, 3.2). One slow handler, a garbage collection or a reload is late once and sheds nothing; work that comes
faster than it is done is late every time. One measurement in time ends it.

The order, with the limit L: over L/4 the control arm's requests, over L/2 mirrors, over L a growing share of new
requests, all of them at 2 L. A control leg rides with a mirror, so it can only go first. A share instead of a switch is
what Envoy's scaled triggers do: the loop settles where it does what it takes, instead of idling after each refusal of
everything.
"""

from __future__ import annotations

import enum
from collections import deque

__all__ = ["Overload", "Shed"]

_MEASUREMENTS = 3
"""How many measurements in a row must be late."""


class Shed(enum.IntEnum):
    """What is shed; each step includes those before it."""

    NOTHING = 0
    CONTROL = 1
    MIRRORS = 2
    REQUESTS = 3


class Overload:
    """The decision of one process.

    Args:
        limit: seconds of standing lag from which new requests are shed; more than 0.
    """

    __slots__ = ("_lags", "_limit", "share", "shed")

    def __init__(self, limit: float) -> None:
        if limit <= 0:
            raise ValueError("the limit must be more than 0")
        self._limit = limit
        self._lags: deque[float] = deque(maxlen=_MEASUREMENTS)
        self.shed = Shed.NOTHING
        self.share = 0.0
        """Of new requests that are refused, 0 to 1."""

    @property
    def standing(self) -> float:
        """The standing lag in seconds; 0 before enough was measured."""
        return min(self._lags) if len(self._lags) == _MEASUREMENTS else 0.0

    def observe(self, lag: float) -> bool:
        """Take a measurement in seconds. Whether what is shed has changed (not by how much)."""
        self._lags.append(lag)
        standing, before = self.standing, self.shed
        reached = sum(standing > self._limit * part for part in (0.25, 0.5, 1.0))
        # What is shed is shed until the lag is half of what began it: at the edge it would come and go.
        kept = sum(standing > self._limit * part / 2 for part in (0.25, 0.5, 1.0))
        self.shed = Shed(max(reached, min(kept, before)))
        if self.shed is Shed.REQUESTS:
            # From L/2, where it ends, to 2 L, where nothing new is taken.
            self.share = min(1.0, (standing - self._limit / 2) / (1.5 * self._limit))
        else:
            self.share = 0.0
        return self.shed is not before

    def refuses(self, draw: float) -> bool:
        """Tell whether a new request is refused; *draw* is uniform in [0, 1)."""
        return draw < self.share
