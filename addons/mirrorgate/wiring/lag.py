"""Watches the event loop: its lag becomes a metric, and what the data plane sheds by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from ..admission.overload import Overload
from ..proxy.dataplane import Dataplane
from ..proxy.downstream.shedding import Shedding
from ..telemetry.loop_lag import LoopLag
from ..telemetry.samples import Sample

__all__ = ["LagWatch"]

logger = logging.getLogger("mirrorgate")

_INTERVAL = 0.1
"""Seconds between measurements, and between batches of what was refused. An idle process is woken for each."""


class LagWatch:
    """Measures for as long as the gateway runs.

    Args:
        plane: what sheds.
        observe: gets each lag in seconds, such as `Metrics.observe_loop_lag`.
    """

    def __init__(self, plane: Dataplane, observe: Callable[[float], None]) -> None:
        self._plane = plane
        self._observe = observe
        self._limit = 0
        self._running = False
        self._shedding: Shedding | None = None
        self._lag = LoopLag(self._measured, interval=_INTERVAL)

    def configure(self, limit: int) -> None:
        """Set the limit in milliseconds; 0 for none."""
        if limit == self._limit:
            return
        self._limit = limit
        if self._shedding is not None:
            self._shedding.leave()
        self._shedding = Shedding(self._plane, Overload(limit / 1000)) if limit else None
        self._plane.shedding = self._shedding
        if self._plane.mirroring is not None:
            self._plane.mirroring.shedding = self._shedding
        self._watch()

    def start(self) -> None:
        """Measure the running loop until `stop`."""
        self._running = True
        self._lag.start()
        self._watch()

    def stop(self) -> None:
        self._running = False
        self._lag.stop()
        if self._shedding is not None:
            self._shedding.leave()

    def samples(self) -> Iterable[Sample]:
        """Yield the gauges."""
        yield from self._lag.samples()
        if self._shedding is not None:
            yield from self._shedding.samples()

    def _watch(self) -> None:
        if self._running and self._shedding is not None and not self._shedding.watch(asyncio.get_running_loop()):
            logger.warning("gateway_overload_lag has no effect: the rounds of this event loop cannot be seen")

    def _measured(self, lag: float) -> None:
        self._observe(lag)
        if self._shedding is not None:
            self._shedding.tell()
