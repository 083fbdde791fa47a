"""The clocks of one exchange: how long it may take, and how long it may be silent.

No clock cuts an exchange while an addon, or the person who has intercepted it, is at work: the time is theirs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from ...calls import end_call
from ...errors import Refusal
from .ending import bug

if TYPE_CHECKING:
    from .carrier import Carrier

__all__ = ["Clocks"]

_LONG = 30.0
"""Idle limits from here on are looked after by the data plane's sweep: a second late is little."""

_LATER = 1.0
"""Seconds until an exchange that is over its time is looked at again, when an addon is at work on it."""


class Clocks(msgspec.Struct, eq=False):
    """The timers of one exchange. Delays in seconds; 0 is none."""

    _carrier: Carrier
    _timers: dict[str, asyncio.TimerHandle] = {}
    _unsent: int = 0
    _swept: float = 0.0
    """The idle limit, where `sweep` looks after it; else 0."""
    last_byte: float = msgspec.field(default_factory=time.monotonic)
    """When a byte moved last, in either direction. Bytes only note their time; the timer looks when it fires."""

    def touch(self) -> None:
        """Take note that something has moved."""
        self.last_byte = time.monotonic()

    def start_request(self) -> None:
        """Start the request timeout: it runs from the end of the upload, queueing included (measured on Envoy)."""
        plan = self._carrier.plan
        if plan is not None and plan.timeouts.request and "request" not in self._timers:
            self._arm("request", plan.timeouts.request, self._late, "request", Refusal.REQUEST_TIMEOUT)

    def start_duration(self, limit: float) -> None:
        """Bound a try, from the moment that it has a connection to its last byte (measured on Envoy)."""
        if limit:
            self._arm("duration", limit, self._late, "duration", Refusal.MAX_DURATION)

    def start_idle(self, limit: float) -> None:
        """Bound the silence between two bytes, in whatever direction."""
        self.stop("idle")
        self.touch()
        if limit >= _LONG:
            self._swept = limit
        elif limit:
            self._arm("idle", limit, self._look, limit)

    def stop(self, *names: str) -> None:
        """Stop timers by their names, `request`, `duration` and `idle`; all of them when none is named."""
        if not names or "idle" in names:
            self._swept = 0.0
        if not self._timers:
            return
        for name in names or tuple(self._timers):
            timer = self._timers.pop(name, None)
            if timer is not None:
                timer.cancel()

    def _arm(self, name: str, delay: float, callback: Callable[..., None], *arguments: object) -> None:
        self.stop(name)
        self._timers[name] = asyncio.get_running_loop().call_later(delay, self._ring, callback, *arguments)

    def _ring(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:
            bug(self._carrier)  # or it would stay for good: no timer is left

    def _late(self, name: str, refusal: Refusal) -> None:
        if self._carrier.hooks.busy:
            self._arm(name, _LATER, self._late, name, refusal)
        else:
            self._cut(refusal)

    def sweep(self, now: float) -> None:
        """Look after a long idle limit, once a second; `now` is monotonic. A timer for each exchange costs more."""
        if self._swept and now - self.last_byte > self._swept:
            self._ring(self._look, self._swept)

    def _look(self, limit: float) -> None:
        unsent = self._carrier.connection.unsent
        if unsent != self._unsent:  # the client has read some of what waits for it
            self._unsent = unsent
            self.touch()
        rest = self.last_byte + limit - time.monotonic()
        if rest <= 0 and not self._carrier.hooks.busy:
            self._cut(Refusal.STREAM_IDLE)
        elif not self._swept:
            self._arm("idle", max(rest, 0.05), self._look, limit)

    def _cut(self, refusal: Refusal) -> None:
        if not self._carrier.over and _waits_for_client(self._carrier):
            end_call(self._carrier, Refusal.CLIENT_LEFT)  # the endpoint is not to blame
        self._carrier.timed_out(refusal)


def _waits_for_client(carrier: Carrier) -> bool:
    """Tell whether the next byte is the client's matter: to take one of the answer, or to send one of a body that the
    upstream would take."""
    if carrier.connection.unsent:
        return True
    return carrier.upload is not None and not carrier.inbound.ended and not carrier.answer.upstream_full
