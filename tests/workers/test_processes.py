"""A process is kept until it is told to end."""

from __future__ import annotations

import asyncio
import random
import signal
import sys

from mirrorgate.workers.processes import Kept

SLEEPER = "import signal; print('up', flush=True); signal.pause()"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"


async def lived(kept: Kept) -> None:
    """Wait until the process runs."""
    async with asyncio.timeout(30):
        await kept.started.wait()


async def test_what_dies_is_started_again_and_what_is_told_to_end_is_not() -> None:
    """Each life ends with a call, before the next begins."""
    ends: list[int | None] = []
    kept = Kept("sleeper", [sys.executable, "-c", SLEEPER], (), random.Random(1), ended=lambda: ends.append(kept.code))
    task = asyncio.get_running_loop().create_task(kept.run())
    await lived(kept)
    first = kept.pid
    kept.signal(signal.SIGKILL)
    await kept.gone(30)
    await lived(kept)
    assert kept.pid not in (first, None)
    assert (kept.restarts, ends) == (1, [-signal.SIGKILL])
    kept.end()
    kept.signal(signal.SIGTERM)
    await kept.gone(30)
    await task
    assert ends == [-signal.SIGKILL, -signal.SIGTERM]
    assert kept.pid is None
    kept.signal(signal.SIGTERM)


async def test_what_does_not_end_is_killed() -> None:
    """A worker that hangs does not keep the gateway from ending."""
    kept = Kept("deaf", [sys.executable, "-c", DEAF], (), random.Random(1))
    task = asyncio.get_running_loop().create_task(kept.run())
    await lived(kept)
    kept.end()
    await kept.gone(0.01)
    await task
    assert kept.code == -signal.SIGKILL


async def test_what_cannot_be_started_is_tried_again() -> None:
    """A program that is missing is a warning and a pause, not the end of the supervisor."""
    tried = asyncio.Event()
    kept = Kept("missing", ["/nonexistent/program"], (), random.Random(1), ended=tried.set)
    task = asyncio.get_running_loop().create_task(kept.run())
    async with asyncio.timeout(30):
        await tried.wait()
    kept.end()
    await task
    assert kept.pid is None
