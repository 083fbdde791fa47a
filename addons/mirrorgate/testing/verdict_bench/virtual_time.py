"""An event loop whose clock jumps: what sleeps for an hour is done at once, and measures an hour.

Nothing may wait for a socket, a thread or a signal in it. When every task waits for something that no timer will
bring, `run` raises instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

__all__ = ["VirtualTimeLoop", "run"]


class _Clock(selectors.SelectSelector):
    """Where an event loop would wait for sockets, the time is moved on instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is left to wait for")
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at 0 seconds."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run[T](main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time and return its result; raises `RuntimeError` when it would wait for ever."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
