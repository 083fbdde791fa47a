"""Watches the event loop: its lag becomes a metric, and what the data plane sheds by."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from ..admission.overload import Overload
from ..proxy.dataplane import Dataplane
from ..proxy.shedding import Shedding
from ..telemetry.loop_lag import LoopLag
from ..telemetry.samples import Sample

__all__ = ["LagWatch"]

_INTERVAL = 0.025
"""Seconds between measurements: three in a row decide, so an overload is known after a tenth of a second."""


class LagWatch:
    """Measures for as long as the gateway runs.

    Args:
        plane: what sheds.
        observe: gets each lag in seconds, such as `Metrics.observe_loop_lag`.
        rng: draws which of the new requests are refused.
    """

    def __init__(self, plane: Dataplane, observe: Callable[[float], None], rng: random.Random) -> None:
        self._plane = plane
        self._observe = observe
        self._rng = rng
        self._limit = 0
        self._shedding: Shedding | None = None
        self._lag = LoopLag(self._measured, interval=_INTERVAL)

    def configure(self, limit: int) -> None:
        """Set the limit in milliseconds; 0 for none."""
        if limit == self._limit:
            return
        self._limit = limit
        self._shedding = Shedding(Overload(limit / 1000), self._rng, self._lag.overdue) if limit else None
        self._plane.shedding = self._shedding
        if self._plane.mirroring is not None:
            self._plane.mirroring.shedding = self._shedding

    def start(self) -> None:
        """Measure the running loop until `stop`."""
        self._lag.start()

    def stop(self) -> None:
        self._lag.stop()

    def samples(self) -> Iterable[Sample]:
        """Yield the gauges."""
        yield from self._lag.samples()
        if self._shedding is not None:
            yield from self._shedding.samples()

    def _measured(self, lag: float) -> None:
        self._observe(lag)
        if self._shedding is not None:
            self._shedding.observe(lag)
