"""Sheds when the event loop is late: turns away new requests for the price of reading a head, and tells who may not add
work now."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..admission.overload import Overload, Shed
from ..errors import REPLIES, Refusal
from ..plans import Refused
from ..telemetry.samples import Sample
from .rendering import local_fields, reason_of, reply_body

if TYPE_CHECKING:
    from .client_side import ClientSide, Inbound

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
    """What the data plane asks before it takes work on. Given each lag of the event loop, as `LoopLag` measures it."""

    def __init__(self, overload: Overload, rng: random.Random, overdue: Callable[[], float]) -> None:
        """`overdue` says by how many seconds the next measurement is late already."""
        self._overdue = overdue
        self._overload = overload
        self._rng = rng
        self._told = float("-inf")
        self._worst = Shed.NOTHING

    def observe(self, lag: float) -> None:
        """Take a measurement in seconds."""
        if self._overload.observe(lag):
            self._tell(time.monotonic())

    def refuses(self) -> bool:
        """Tell whether a request that comes now is refused."""
        return self._overload.wary and self._overload.refuses(self._rng.random(), self._overdue())

    @property
    def mirrors(self) -> bool:
        """Whether mirrors are dropped."""
        return self._overload.shed >= Shed.MIRRORS

    @property
    def control(self) -> bool:
        """Whether no control leg is sent."""
        return self._overload.shed >= Shed.CONTROL

    def refuse(self, client: ClientSide, inbound: Inbound) -> None:
        """Answer a request of which no more than the head was looked at. mitmproxy has no flow for it."""
        plane, head = client.plane, inbound.head
        reply = REPLIES[Refusal.OVERLOAD]
        openai = plane.director.speaks_openai(head.path.decode("latin-1"))
        body, content_type = reply_body(reply, Refused(Refusal.OVERLOAD), openai=openai)
        close = not inbound.ended or not head.keep_alive or plane.leaving
        fields = local_fields(body, content_type, ((b"retry-after", b"1"),))
        fields.append((b"date", plane.date()))
        if client.framed:
            pass
        elif close:
            fields.append((b"connection", b"close"))
        elif head.version == b"HTTP/1.0":
            fields.append((b"connection", b"keep-alive"))
        content = b"" if head.method == b"HEAD" else body
        client.send_head(reply.status, reason_of(reply.status), fields, content)
        plane.rejected(client, Refusal.OVERLOAD, body.decode(), inbound)
        client.exchange_done(close=close)

    def samples(self) -> Iterable[Sample]:
        """Yield the gauges."""
        for shed in (Shed.CONTROL, Shed.MIRRORS, Shed.REQUESTS):
            yield Sample("mirrorgate_overload_active", float(self._overload.shed >= shed), {"sheds": shed.name.lower()})
        yield Sample("mirrorgate_overload_refused_share", self._overload.share)
        yield Sample("mirrorgate_event_loop_lag_standing_seconds", self._overload.standing)

    def _tell(self, now: float) -> None:
        """Log what has begun, when it is worse or was not told of lately. Its end shows in the metrics."""
        shed = self._overload.shed
        if shed is Shed.NOTHING or (shed <= self._worst and now - self._told < _QUIET):
            return
        self._worst, self._told = shed, now
        logger.warning(
            "overloaded: the event loop is %.0f ms late again and again; %s",
            1000 * self._overload.standing,
            _WORDS[shed],
        )
