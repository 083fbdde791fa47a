"""Work beside the event loop: compiling thousands of objects takes longer than a token may wait."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable

__all__ = ["Aside", "share_interpreter"]

_SWITCH_SECONDS = 0.0005
_THAW_SECONDS = 3600.0


def share_interpreter() -> None:
    """Let no thread keep the event loop from the interpreter for long.

    With Python's 5 ms before a thread gives it up, every system call of the loop costs a stream that long while another
    thread computes.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


class Aside:
    """Computes configurations in a thread, without the collector's long walks.

    Thousands of objects make it look at all there are, for 200 ms (measured), in which nothing else runs: it rests
    meanwhile, and then leaves alone what will live as long as the configuration. Once an hour it may look at that, too.
    """

    def __init__(self) -> None:
        self._thawed = time.monotonic()

    async def run[T](self, compute: Callable[[], T]) -> T:
        """Return what a function returns, run in a thread. One at a time."""
        now = time.monotonic()
        if now > self._thawed + _THAW_SECONDS:
            self._thawed = now
            gc.unfreeze()
        gc.disable()
        try:
            return await asyncio.to_thread(compute)
        finally:
            gc.freeze()
            gc.enable()
