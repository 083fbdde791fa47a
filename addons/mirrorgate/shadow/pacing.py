"""Slows down what is only counted: answers of which nothing is kept any more, so that a flood costs little CPU.

What is kept is never slowed: its times are compared. All connections share one pace, whatever their number.
"""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["Brake", "Pace"]

_RATE: Final = 16 * 1024 * 1024
"""Bytes a second; reading so many takes 2 to 3 % of a core (half of what twice as many took)."""


class Pace:
    """Says how long to wait for bytes that are read, one after another. Pure accounting."""

    def __init__(self, rate: float = _RATE) -> None:
        self._rate = rate
        self._free = 0.0

    def wait(self, size: int, now: float) -> float:
        """Return for how many seconds not to read after `size` bytes; times are monotonic."""
        self._free = max(self._free, now) + size / self._rate
        return self._free - now


class Brake:
    """Pauses one connection's reading as a pace says."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pace: Pace) -> None:
        self._loop = loop
        self._pace = pace
        self._timer: asyncio.TimerHandle | None = None

    @property
    def on(self) -> bool:
        return self._timer is not None

    def press(self, transport: asyncio.Transport, size: int) -> None:
        """Do not read for as long as `size` bytes take; nothing while that lasts already."""
        if self._timer is None:
            transport.pause_reading()
            wait = self._pace.wait(size, self._loop.time())
            self._timer = self._loop.call_later(wait, self.release, transport)

    def release(self, transport: asyncio.Transport | None) -> None:
        """Read on, if there is a connection still; releasing twice is harmless."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if transport is not None and not transport.is_closing():
                transport.resume_reading()
