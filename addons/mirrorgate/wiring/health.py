"""Watches over endpoints' health in the background: lets ejections end, tells the log, gives the metrics."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from typing import ClassVar

from ..events import EndpointChanged, Event, HealthChange
from ..health import Health
from ..sources.probes import Prober
from ..telemetry.health_samples import health_samples
from ..telemetry.samples import Sample

__all__ = ["HealthWatch"]

logger = logging.getLogger("mirrorgate")

_BAD = (
    HealthChange.EJECTED, HealthChange.CHECK_FAILED, HealthChange.BREAKER_OPEN, HealthChange.BREAKER_FORCED_OPEN,
    HealthChange.BREAKER_FORCED_CLOSED,
)  # fmt: skip

_SOONEST = 0.01
"""Seconds between two looks at least."""


class HealthWatch:
    """Runs from `adopt` to `stop`. Needs a running event loop."""

    kinds: ClassVar[tuple[type[Event], ...]] = (EndpointChanged,)
    """The events that it is told of."""

    def __init__(self, health: Health, rng: random.Random) -> None:
        self._health = health
        self._prober = Prober(health.checked, rng)
        self._timer: asyncio.TimerHandle | None = None

    def adopt(self) -> None:
        """Take note that another configuration takes effect."""
        self._rest()
        self._tick()
        self._prober.update(self._health.checks)

    def handle(self, event: Event) -> None:
        """Tell the log of an endpoint that changed."""
        if isinstance(event, EndpointChanged):
            level = logging.WARNING if event.change in _BAD else logging.INFO
            logger.log(level, "%s", _told(event))

    def samples(self) -> Iterable[Sample]:
        """Yield what is counted for each cluster."""
        for health in self._health.clusters.values():
            yield from health_samples(health)

    async def stop(self) -> None:
        self._rest()
        await self._prober.stop()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        wait = self._health.tick()
        if wait is not None:
            self._timer = asyncio.get_running_loop().call_later(max(wait, _SOONEST), self._tick)


_WORDS = {
    HealthChange.RETURNED: "is in again",
    HealthChange.CHECK_PASSED: "is in again",
    HealthChange.BREAKER_OPEN: "the failure breaker opens",
    HealthChange.BREAKER_HALF_OPEN: "the failure breaker is half-open",
    HealthChange.BREAKER_CLOSED: "the failure breaker closes",
    HealthChange.BREAKER_FORCED_OPEN: "the circuit breaker is held open by hand",
    HealthChange.BREAKER_FORCED_CLOSED: "the failure breaker is held closed by hand",
}


def _told(event: EndpointChanged) -> str:
    place = f"{event.cluster}: {event.endpoint}" if event.endpoint else event.cluster
    if event.change is HealthChange.EJECTED:
        return f"{place} is ejected for {event.seconds:g} s: {event.cause}"
    if event.change is HealthChange.CHECK_FAILED:
        return f"{place} is out: {event.cause}"
    words = _WORDS[event.change]
    return f"{place}: {words}" if words.startswith("the ") else f"{place} {words}"
