"""Says what a gateway sheds when its event loop is given more than it does: what it has admitted goes on in time.

The event loop works in rounds: it takes what has arrived, works it off, and looks again. What arrives meanwhile waits
for the next round, so a round's length is the wait, and rounds that stay long are a standing queue. As CoDel (RFC 8289)
does, it is told by its least wait: a loop that has had no round in time, and no rest, for a whole interval has a queue
that does not drain. One slow handler, a garbage collection or a reload makes one long round; it sheds nothing, unless
what it left waiting takes an interval to work off.

From then on a request is refused that comes up when its round has worked for as long as a round may last. That bounds
the round, and with it the wait of everything that is under way, whatever is asked; when rounds are short again nobody
is refused. So there is nothing to tune to a load, and nothing to recover from. (What waits at the front of a short
queue is served, what would make it long is not: "Fail at Scale", ACM Queue 13(8), has the same for queues of threads.)
Work is CPU time: a process that shares its core loses time in any round, and would refuse what it could do; four times
as much by the clock is too long in any case.

Before that, a round behind a late one takes an interval's work in and refuses the rest: rounds that are given all that
has arrived grow by what is asked too much, each time, and three of them can take seconds.

The order, with the interval L: after L/4 without a round in time the control arm's requests are left out, after L/2
mirrors, after L new requests. A control leg rides with a mirror, so it can only go first.
"""

from __future__ import annotations

import enum

__all__ = ["Overload", "Shed"]

_PART = 25
"""A round is in time when it takes no longer than this part of the interval: 4 ms of 100."""

_ROUNDS = 3
"""How many rounds in a row must be late: what waited for the end of one long round is no standing queue."""

_BY_THE_CLOCK = 4
"""How many times as long as a round may work it may last."""

_SOON = 10
"""Intervals behind an overload in which one long round is enough to take it for not over."""

_REST = 0.1
"""Share of an interval that the loop must have waited for work, so that the overload is over."""


class Shed(enum.IntEnum):
    """What is shed; each step includes those before it."""

    NOTHING = 0
    CONTROL = 1
    MIRRORS = 2
    REQUESTS = 3


class Overload:
    """The decision of one process. Times are seconds, of one monotonic clock.

    Args:
        interval: for how long the loop must have been behind before new requests are refused; more than 0.
    """

    __slots__ = (
        "_copies", "_copies_since", "_ended", "_late", "_rested", "_since", "_window",
        "interval", "sheds", "standing", "target",
    )  # fmt: skip

    def __init__(self, interval: float) -> None:
        if interval <= 0:
            raise ValueError("the interval must be more than 0")
        self.interval = interval
        self.target = interval / _PART
        """How long a round may take."""
        self.standing = 0.0
        """For how long the loop has been behind."""
        self._since = 0.0
        """When the first of the rounds that were not in time was over."""
        self._late = 0
        """Rounds in a row that were not in time."""
        self._copies = Shed.NOTHING
        self._copies_since = float("-inf")
        """When the step of the copies that are shed was reached last."""
        self.sheds = False
        """Whether new requests are refused that come up late."""
        self._window = 0.0
        """When the interval began in which rest is summed up, while requests are shed."""
        self._rested = 0.0
        self._ended = float("-inf")
        """When requests were shed last."""

    @property
    def shed(self) -> Shed:
        """What is shed now."""
        return Shed.REQUESTS if self.sheds else self._copies

    def round(self, worked: float, rested: float, now: float) -> bool:
        """Take a round that took *worked*, and the wait behind it. Whether what is shed has changed."""
        if worked <= self.target or rested * 8 >= self.target:
            self._late = 0
            self.standing = 0.0
            if not self._copies and not self.sheds:
                return False
        else:
            self._count(now)
        before = self.shed
        if not self.sheds and (self.standing > self.interval or self._comes_back(worked, now)):
            self.sheds, self._window, self._rested = True, now, 0.0
        elif self.sheds:
            self._rest(rested, now)
        self._leave_copies(now)
        return self.shed is not before

    @property
    def wary(self) -> bool:
        """Whether a request has to be asked about at all."""
        return self.sheds or self._late > 0

    def refuses(self, waited: float, spent: float) -> bool:
        """Tell whether a new request is refused that comes up so long after its round began, and after so much CPU
        time of it."""
        if self.sheds:
            return spent > self.target or waited > _BY_THE_CLOCK * self.target
        return self._late > 0 and spent > self.interval

    def _comes_back(self, worked: float, now: float) -> bool:
        """Tell whether a round that was much too long says that an overload which has just ended has not."""
        return self._late > 0 and worked > self.interval / 2 and now - self._ended < _SOON * self.interval

    def _count(self, now: float) -> None:
        """Take a round that was not in time."""
        if not self._late:
            self._since = now
        self._late += 1
        self.standing = now - self._since if self._late >= _ROUNDS else 0.0

    def _rest(self, rested: float, now: float) -> None:
        """End the shedding of requests once the loop has had time to spare."""
        self._rested += rested
        if now - self._window >= self.interval:
            self.sheds = self._rested < _REST * (now - self._window)
            self._window, self._rested = now, 0.0
            self._ended = now

    def _leave_copies(self, now: float) -> None:
        """Shed copies until an interval has not called for it: at the edge they would come and go with every round."""
        part = self.standing / self.interval
        reached = Shed.MIRRORS if part > 1 / 2 or self.sheds else Shed.CONTROL if part > 1 / 4 else Shed.NOTHING
        if reached >= self._copies:
            self._copies, self._copies_since = reached, now
        elif now - self._copies_since > self.interval:
            self._copies = reached
