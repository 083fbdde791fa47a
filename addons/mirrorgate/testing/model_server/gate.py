"""Where requests hang on purpose, until they are let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Gate"]


class Gate:
    """A closed gate: whoever waits goes on when it is opened for a moment."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._changed = changed
        self._open = asyncio.Event()
        self.waiting = 0
        """How many wait."""

    async def wait(self) -> None:
        """Wait for the next `release`."""
        self.waiting += 1
        self._changed()
        try:
            await self._open.wait()
        finally:
            self.waiting -= 1
            self._changed()

    def release(self) -> None:
        """Let everyone go on who waits now."""
        self._open.set()
        self._open = asyncio.Event()
