"""The one admin server's view of several workers."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from mirrorgate.testing.in_loop import until
from mirrorgate.workers.admin_front import AdminFront, Colleague
from mirrorgate.workers.merging import Totals
from mirrorgate.workers.processes import Kept

SLEEPER = "import signal; signal.pause()"


class Worker:
    """A process, and a server that tells metrics for it as soon as `telling` is set."""

    def __init__(self, index: int, count: int, folder: Path, totals: Totals) -> None:
        self.asked = 0
        self.telling = asyncio.Event()
        self.telling.set()
        self._count = count
        path = str(folder / str(index))
        kept = Kept(
            f"worker {index}",
            [sys.executable, "-c", SLEEPER],
            (),
            random.Random(1),
            ended=lambda: totals.bury(index),
        )
        self.colleague = Colleague(index, path, kept, ready=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        kept = self.colleague.kept
        server = await asyncio.start_unix_server(self._answer, self.colleague.path)
        keeping = asyncio.get_running_loop().create_task(kept.run())
        async with server:
            await kept.started.wait()
            yield
            kept.end()
            kept.signal(signal.SIGKILL)
            await keeping

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        await self.telling.wait()
        text = f"# HELP seen_total x\n# TYPE seen_total counter\nseen_total {self._count}\n"
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + text.encode())
        writer.close()


async def test_worker_that_dies_while_others_are_asked_is_counted_once(tmp_path: Path) -> None:
    """What a worker told before it died is not added to what is kept of it: counters neither jump nor fall."""
    totals = Totals()
    workers = [Worker(index, count, tmp_path, totals) for index, count in enumerate((5, 7))]
    front = AdminFront([worker.colleague for worker in workers], totals, "", workers[0].colleague.kept)

    async def seen() -> str:
        _, lines = await front.metrics("")
        return next(line for line in b"".join(lines).decode().splitlines() if line.startswith("seen_total"))

    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker.running())
        assert await seen() == "seen_total 12"
        dies, slow = workers
        slow.telling.clear()
        asking = asyncio.get_running_loop().create_task(seen())
        await until(lambda: dies.asked == 2 and slow.asked == 2)
        kept = dies.colleague.kept
        before = kept.pid
        kept.signal(signal.SIGKILL)
        await until(lambda: kept.pid not in (before, None))
        slow.telling.set()
        assert await asking == "seen_total 12"
