"""Lets requests wait for a saturated pool instead of refusing them, when the configuration says so.

While a pool has room nothing waits and nothing is asked but that. Once it is saturated its requests join a queue, and
so do those that come while others wait. Twenty times a second as many go on as the servers that have room could take by
their own numbers; a request that goes on is planned anew, with the backend and the model that were drawn for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...admission.flow_queue import FlowQueue
from ...errors import Refusal
from ...events import FlowControlled
from ...picking import dropped
from ...plans import Directed, Held, Plan, Refused, RequestFacts
from ...routing.table import Destination

if TYPE_CHECKING:
    from ..dataplane import Dataplane
    from .carrier import Carrier

__all__ = ["FlowControl"]

_TICK = 0.05
"""Seconds between two looks at a queue, as often as the Inference Extension reads its servers' loads."""


class _Waiter:
    """One request that waits, and what became of it."""

    __slots__ = ("carrier", "outcome")

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.outcome = ""

    def end(self, outcome: str) -> None:
        self.outcome = outcome
        self.carrier.wake()


class _Line:
    """The queue of one destination."""

    __slots__ = ("destination", "queue", "timer")

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.queue: FlowQueue[_Waiter] = FlowQueue()
        self.timer: asyncio.TimerHandle | None = None


class FlowControl:
    """Every pool's queue. A pool of which nobody waits takes no memory and no timer."""

    def __init__(self, plane: Dataplane) -> None:
        self._plane = plane
        self._lines: dict[str, _Line] = {}

    def must_wait(self, destination: Destination) -> bool:
        """Tell whether a request for a pool has to wait, were it to come now; a picker outside says so by itself."""
        if destination.picker is not None:
            return False
        if not self._lines and not self._plane.settings.queue.requests:
            return False
        return destination.ref in self._lines or self._plane.director.picking.saturated(destination)

    async def turn(
        self, carrier: Carrier, held: Held, directed: Directed, request: RequestFacts, body: bytes
    ) -> Plan | Refused | None:
        """Wait for a request's turn and plan it; `None` when the exchange has ended meanwhile."""
        destination = held.destination
        line = self._lines.get(destination.ref)
        if line is None:
            line = self._lines[destination.ref] = _Line(destination)
            self._look_later(line)
        line.destination = destination
        waiter, begun = _Waiter(carrier), time.monotonic()
        joined = line.queue.join(
            waiter,
            self._plane.settings.queue,
            priority=held.choice.priority,
            fairness=held.fairness,
            size=len(body),
            now=begun,
        )
        try:
            if not joined:
                waiter.outcome = "rejected_capacity"
            while not waiter.outcome and not carrier.over:
                await carrier.wait()
        finally:
            if line.queue.leave(waiter):
                waiter.outcome = "client_left"
        seconds = time.monotonic() - begun
        carrier.facts.queued = seconds
        self._plane.emit(FlowControlled(destination.ref, held.choice.priority, waiter.outcome, seconds))
        if carrier.over:
            return None
        if waiter.outcome == "dispatched":
            return self._plane.director.plan(directed, request, body, held)
        return _refused(waiter.outcome, held.model)

    def flush(self) -> None:
        """Send everybody away, because the gateway stops."""
        for line in self._lines.values():
            while (waiter := line.queue.take()) is not None:
                waiter.end("drained")

    def close(self) -> None:
        for line in self._lines.values():
            if line.timer is not None:
                line.timer.cancel()
        self._lines.clear()

    def queues(self) -> Iterator[tuple[str, FlowQueue[_Waiter]]]:
        """Yield the queues that are not empty, by the pool."""
        for ref, line in self._lines.items():
            yield ref, line.queue

    def _look_later(self, line: _Line) -> None:
        line.timer = asyncio.get_running_loop().call_later(_TICK, self._look, line)

    def _look(self, line: _Line) -> None:
        """Let go on who may, and send away who has waited too long."""
        queue, picking = line.queue, self._plane.director.picking
        for late in queue.expired(time.monotonic() - self._plane.settings.queue.seconds):
            late.end("expired")
        room = picking.room(line.destination)
        while room and (waiter := queue.take()) is not None:
            waiter.end("dispatched")
            room -= 1
        if len(queue):
            self._look_later(line)
        else:
            del self._lines[line.destination.ref]


def _refused(outcome: str, model: str | None) -> Refused:
    if outcome == "drained":
        return Refused(Refusal.DRAINING, model=model)
    return dropped("rejected-ttl-expired" if outcome == "expired" else "rejected-saturated", model)
