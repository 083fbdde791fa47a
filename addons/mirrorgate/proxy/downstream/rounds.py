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
            Returns whether it wants to hear of the next round, however short.
        long: seconds; of a round that works no longer `told` hears when it has asked to.
    """

    def __init__(self, told: Callable[[float, float, float], object], long: float = 0.0) -> None:
        self._told = told
        self._long = long
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
        clock, told, long = time.monotonic, self._told, self._long
        wanted: object = False

        def watched(timeout: float | None = None) -> Any:
            nonlocal wanted
            ended = clock()
            found = select(timeout)
            worked = ended - self.began
            self.began = began = clock()
            if worked > long or wanted:
                rested = began - ended if timeout != 0 and len(found) < _CROWD else 0.0
                wanted = told(worked, rested, began)
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
