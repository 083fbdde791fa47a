"""Sheds when the event loop is behind: says which requests are refused, and who may not add work now."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...admission.overload import Overload, Shed
from ...telemetry.samples import Sample
from .refusals import Refusals
from .rounds import Rounds

if TYPE_CHECKING:
    from ..dataplane import Dataplane
    from .client_side import Inbound

__all__ = ["Shedding"]

logger = logging.getLogger("mirrorgate")

_QUIET = 10.0
"""Seconds between two lines of the log about it: an overloaded gateway must not be busy with telling so."""

_WORDS = {
    Shed.CONTROL: "requests of the control arm are left out",
    Shed.MIRRORS: "mirrors are dropped",
    Shed.REQUESTS: "new requests are refused",
}


class Shedding:
    """What the data plane asks before it takes work on."""

    def __init__(self, plane: Dataplane, overload: Overload) -> None:
        self._rounds = Rounds(self.observe, overload.target)
        self.refusals = Refusals(plane)
        self._overload = overload
        self._spent = 0.0
        """CPU time of the thread when the round under way began, while the loop is behind."""
        self._told = float("-inf")
        self._worst = self._last = Shed.NOTHING
        self._admitted = 0
        """Requests since `tell`, counted while the loop is behind."""
        self._share = 0.0

    def watch(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Measure the loop until `leave`. Whether it can be."""
        return self._rounds.watch(loop)

    def leave(self) -> None:
        """End measuring, and tell of what was refused last."""
        self._rounds.leave()
        self.tell()

    def observe(self, worked: float, rested: float, now: float) -> bool:
        """Take a round of the event loop. Whether the next matters, even if it is in time."""
        overload = self._overload
        if overload.round(worked, rested, now):
            self._tell(now)
        if overload.wary:
            self._spent = time.thread_time()
            return True
        return overload.shed is not Shed.NOTHING

    @property
    def late(self) -> bool:
        """Whether a request that comes up now is refused."""
        overload = self._overload
        if not overload.wary:
            return False
        waited = time.monotonic() - self._rounds.began
        return waited > overload.target and overload.refuses(waited, time.thread_time() - self._spent)

    def refuses(self, inbound: Inbound) -> bool:
        """Tell whether a request that comes up now is refused; one that is not is taken for admitted. What a person
        replays, and what its connection was let in for, is not."""
        if not self._overload.wary:
            return False
        if self.late and not inbound.welcome and inbound.flow is None:
            return True
        self._admitted += 1
        return False

    @property
    def requests(self) -> bool:
        """Whether requests are refused that come up late."""
        return self._overload.sheds

    @property
    def mirrors(self) -> bool:
        """Whether mirrors are dropped."""
        return self._overload.shed >= Shed.MIRRORS

    @property
    def control(self) -> bool:
        """Whether no control leg is sent."""
        return self._overload.shed >= Shed.CONTROL

    def tell(self) -> None:
        """Emit what was refused since the last time: many times a second, so that metrics and log are in time."""
        refused = self.refusals.count
        asked, self._admitted = refused + self._admitted, 0
        self._share = refused / asked if asked else 0.0
        if refused:
            self.refusals.tell()

    def samples(self) -> Iterable[Sample]:
        """Yield the gauges."""
        for shed in (Shed.CONTROL, Shed.MIRRORS, Shed.REQUESTS):
            yield Sample("mirrorgate_overload_active", float(self._overload.shed >= shed), {"sheds": shed.name.lower()})
        yield Sample("mirrorgate_overload_refused_share", self._share)
        yield Sample("mirrorgate_event_loop_lag_standing_seconds", self._overload.standing)

    def _tell(self, now: float) -> None:
        """Log what has begun, when it is worse or was not told of lately. Its end shows in the metrics."""
        shed, before = self._overload.shed, self._last
        self._last = shed
        if shed < before or (shed <= self._worst and now - self._told < _QUIET):
            return
        self._worst, self._told = shed, now
        logger.warning(
            "overloaded: the event loop has been behind for %.0f ms; %s",
            1000 * self._overload.standing,
            _WORDS[shed],
        )
