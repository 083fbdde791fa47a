"""Says what a gateway sheds when its event loop falls behind, so that what it has admitted goes on in time.

It begins with the *standing* lag: the least of the latest measurements, as CoDel's is the least delay of an interval
(RFC 8289, 3.2). One slow handler, a garbage collection or a reload is late once and sheds nothing; work that comes
faster than it is done is late every time.

The order, with the limit L: over L/4 the control arm's requests, over L/2 mirrors, over L a share of new requests. A
control leg rides with a mirror, so it can only go first. The first two end at half of what began them. The share of
requests that is admitted follows the lag: a round of the loop that took k times as long as L/2 was given k times too
much, so a k-th of it is admitted from then on; each measurement under L/2 admits a quarter more, so that it is over
within half a second. To admit all at once would bring the overload back at once. Inside a round that is late already,
behind one that was, hardly any more are admitted: a burst makes each round longer than the one before, and three of
them would take seconds (measured: 4.6 s).
"""

from __future__ import annotations

import enum
from collections import deque

__all__ = ["Overload", "Shed"]

_MEASUREMENTS = 3
"""How many measurements in a row must be late."""

_LEAST = 0.05
"""Share of new requests that is admitted in any case: some get through where refusals alone keep the loop busy."""

_GROWTH = 1.25


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

    __slots__ = ("_admitted", "_copies", "_lags", "_limit")

    def __init__(self, limit: float) -> None:
        if limit <= 0:
            raise ValueError("the limit must be more than 0")
        self._limit = limit
        self._lags: deque[float] = deque(maxlen=_MEASUREMENTS)
        self._admitted = 1.0
        self._copies = Shed.NOTHING

    @property
    def standing(self) -> float:
        """The standing lag in seconds; 0 before enough was measured."""
        return min(self._lags) if len(self._lags) == _MEASUREMENTS else 0.0

    @property
    def share(self) -> float:
        """The share of new requests that is refused, 0 to 1."""
        return 1.0 - self._admitted

    @property
    def shed(self) -> Shed:
        """What is shed now."""
        return Shed.REQUESTS if self._admitted < 1.0 else self._copies

    def observe(self, lag: float) -> bool:
        """Take a measurement in seconds. Whether what is shed has changed (not by how much)."""
        self._lags.append(lag)
        before, standing, target = self.shed, self.standing, self._limit / 2
        if self._admitted == 1.0:
            if standing > self._limit:
                self._admitted = max(_LEAST, target / standing)
        elif lag > self._limit:
            self._admitted = max(_LEAST, self._admitted * target / lag)
        elif lag < target:
            self._admitted = min(1.0, self._admitted * _GROWTH)
        reached = sum(standing > self._limit * part for part in (0.25, 0.5))
        # What is shed is shed until the lag is half of what began it: at the edge it would come and go.
        kept = sum(standing > self._limit * part / 2 for part in (0.25, 0.5))
        self._copies = Shed(max(reached, min(kept, self._copies)))
        return self.shed is not before

    @property
    def wary(self) -> bool:
        """Whether a request has to be asked about at all."""
        return self._admitted < 1.0 or (bool(self._lags) and self._lags[-1] > self._limit)

    def refuses(self, draw: float, overdue: float) -> bool:
        """Tell whether a new request is refused.

        *draw* is uniform in [0, 1); *overdue* is by how many seconds the next measurement is late already.
        """
        late = overdue > self._limit and self.wary
        return draw >= (_LEAST if late else self._admitted)
