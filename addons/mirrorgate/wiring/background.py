"""Work in the background that somebody keeps, and whose failure somebody tells of."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from typing import Any

__all__ = ["Background", "end_process"]

logger = logging.getLogger("mirrorgate")


class Background:
    """Tasks that run until they end by themselves or are cancelled: the loop alone would let go of them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start work in the running loop."""
        task = asyncio.get_running_loop().create_task(work, name="gateway")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a background task failed", exc_info=error)


def end_process() -> None:
    """End the process with status 1 once the caller, a task, has returned.

    If the task raised SystemExit itself it would count as one that has failed, and its traceback bury the reason.
    """
    logging.shutdown()
    asyncio.get_running_loop().call_soon(sys.exit, 1)
