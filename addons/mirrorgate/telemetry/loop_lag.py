"""How late the event loop runs its timers: time in which no byte of anybody's stream moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from .samples import Sample

__all__ = ["LoopLag"]


class LoopLag:
    """Sets a timer again and again, and measures by how much it is late.

    Args:
        observe: gets each lag in seconds, such as `Metrics.observe_loop_lag`.
        interval: seconds between two measurements; a stall shorter than this may fall between them.
    """

    def __init__(self, observe: Callable[[float], None], *, interval: float = 0.1) -> None:
        self._observe = observe
        self._interval = interval
        self._timer: asyncio.TimerHandle | None = None
        self._greatest = 0.0
        self._greatest_before = 0.0

    def start(self) -> None:
        """Measure the running loop until `stop`; starting twice is harmless."""
        if self._timer is None:
            self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        """End measuring; stopping twice is harmless."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def samples(self) -> Iterable[Sample]:
        """Return the greatest lag since the last scrape but one, so that two scrapers both see it."""
        value = max(self._greatest, self._greatest_before)
        self._greatest_before, self._greatest = self._greatest, 0.0
        return (Sample("mirrorgate_event_loop_lag_max_seconds", value),)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._interval
        self._timer = loop.call_at(due, self._fired, loop, due)

    def _fired(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        lag = max(loop.time() - due, 0.0)
        self._greatest = max(self._greatest, lag)
        self._observe(lag)
        self._arm(loop)
