"""Measures the rounds of the event loop: how long each worked, and for how long it then waited for something to do.

asyncio tells nobody of its rounds. A callback that sets itself anew would see them all and keep the loop from ever
resting, so it is the selector's `select` that is watched: the loop calls it once a round. It is an attribute of
asyncio's selector loops without being documented; on a loop that has none nothing is measured, and `watch` says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Rounds"]

_CROWD = 16
"""With so many sockets ready the loop did not wait for them: their number is what took the time."""


class Rounds:
    """The rounds of one event loop.

    Args:
        told: gets how long a round worked, how long the loop rested behind it, and the time then; seconds, monotonic.
    """

    def __init__(self, told: Callable[[float, float, float], object]) -> None:
        self._told = told
        self._selector: Any = None
        self.began = time.monotonic()
        """When the round under way began."""

    def watch(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Measure a loop until `leave`; twice is harmless. Whether it can be: one watches a loop."""
        if self._selector is not None:
            return True
        selector = getattr(loop, "_selector", None)
        if selector is None or "select" in vars(selector):
            return False
        select = selector.select
        clock, told = time.monotonic, self._told

        def watched(timeout: float | None = None) -> Any:
            ended = clock()
            found = select(timeout)
            began = clock()
            rested = began - ended if timeout != 0 and len(found) < _CROWD else 0.0
            told(ended - self.began, rested, began)
            self.began = began
            return found

        self._selector = selector
        self.began = clock()
        selector.select = watched
        return True

    def leave(self) -> None:
        """End measuring; leaving twice is harmless."""
        selector, self._selector = self._selector, None
        if selector is not None:
            del selector.select  # the class's own is found again
