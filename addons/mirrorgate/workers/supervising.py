"""The supervisor of several workers: what they share is made here, and outlives each of them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import random
import signal
import socket
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec

from ..proxy.admin.server import AdminServer
from .admin_front import AdminFront, Colleague
from .asking import ask
from .caveats import caveats
from .heartbeat import LOOK, Silences
from .merging import Totals
from .processes import Kept
from .rows import Rows, allocate
from .seat import Seat
from .settings import SupervisorSettings

__all__ = ["Supervisor", "supervise"]

logger = logging.getLogger("mirrorgate")

_POLL: Final = 0.05
_SHADOW_NICENESS: Final = 5
_SHADOW_PATIENCE: Final = 30.0


class Supervisor:
    """Runs the workers until a signal ends it."""

    def __init__(self, settings: SupervisorSettings, folder: Path) -> None:
        """`folder` is empty, private, and lives as long as the supervisor: it holds the sockets."""
        self._settings = settings
        self._folder = folder
        self._rng = random.Random()
        self._rows_descriptor = allocate(settings.workers)
        self._rows = Rows(self._rows_descriptor, settings.workers, -1)
        self._lifeline, self._lifeline_end = os.pipe()
        """Workers hold the one end, and see it end with us."""
        self._shadow_lifeline, self._shadow_lifeline_end = os.pipe()
        self._sockets: list[socket.socket] = []
        self._totals = Totals()
        self._shadow = self._make_shadow()
        self._workers = [self._make_worker(index) for index in range(settings.workers)]
        self._front = AdminFront(self._workers, self._totals, settings.token, self._shadow)
        self._stopping = asyncio.Event()
        self._rolling: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> int:
        """Serve until SIGINT or SIGTERM. Returns 0 after an orderly end, 1 when it cannot start."""
        self._handle_signals()
        admin = None
        if self._settings.admin is not None:
            admin = AdminServer(self._front.sources(), self._settings.admin, token=self._settings.token)
            try:
                admin.start()
            except OSError as error:
                logger.error("%s", error)
                return 1
            logger.info("admin server at %s", admin.url)
        try:
            return await self._serve()
        finally:
            if admin is not None:
                await admin.stop()
            self._close()

    async def _serve(self) -> int:
        self._keep(self._shadow)
        first, *others = self._workers
        self._keep(first.kept)
        # What is wrong with the configuration one worker finds out, and says; the others are not asked.
        code = await self._first_ready(first)
        if code is None:
            await self._warn(first)
            for worker in others:
                self._keep(worker.kept)
            watches = [self._spawn(self._follow(), "readiness"), self._spawn(self._watch_hearts(), "heartbeats")]
            await self._stopping.wait()
            for watch in watches:
                watch.cancel()
        await self._stop()
        return code or 0

    async def _first_ready(self, worker: Colleague) -> int | None:
        """Wait until the first worker serves; its exit code when it ends instead."""
        while not self._stopping.is_set():
            if worker.kept.restarts.total() or worker.kept.code is not None:
                return 1
            if await self._look(worker):
                return None
            await asyncio.sleep(_POLL)
        return None

    async def _warn(self, worker: Colleague) -> None:
        """Say what of the configuration workers do not share."""
        reply = await ask(worker.path, "/resources", token=self._settings.token)
        if reply is not None and reply.status == 200:
            for caveat in caveats(msgspec.json.decode(reply.body)["resources"], self._settings.workers):
                logger.warning("%s", caveat)

    async def _follow(self) -> None:
        """Know which workers serve; say once when all do."""
        told = False
        while True:
            for worker in self._workers:
                worker.ready = await self._look(worker)
                if worker.ready and not worker.was_ready:
                    worker.was_ready = True
                    logger.info("worker %d serves (process %s)", worker.index, worker.kept.pid)
            if not told and all(worker.ready for worker in self._workers):
                told = self._front.complete = True
                logger.info("%d workers share the listeners", len(self._workers))
            await asyncio.sleep(_POLL if not all(worker.ready for worker in self._workers) else 1.0)

    async def _watch_hearts(self) -> None:
        """End workers that hang: what their clients wait for never comes, and they would be given more of them."""
        seconds = self._settings.hang_timeout
        silences = Silences(self._settings.workers, seconds)
        while seconds:
            await asyncio.sleep(LOOK)
            for index in silences.look(self._rows.beats()):
                kept = self._workers[index].kept
                logger.error(
                    "%s hangs (process %s): its event loop has stood still for %g s; it is ended, and says where it "
                    "hangs if it still can",
                    kept.name,
                    kept.pid,
                    seconds,
                )
                self._tasks.append(self._spawn(kept.abort(), f"the end of {kept.name}"))

    async def _look(self, worker: Colleague) -> bool:
        if worker.kept.pid is None:
            return False
        reply = await ask(worker.path, "/ready", timeout=1.0)
        return reply is not None and reply.status == 200

    # Signals and the end

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, functools.partial(self._pass_on, signal.SIGHUP))
        loop.add_signal_handler(signal.SIGUSR2, self._roll)

    def _pass_on(self, number: int) -> None:
        for worker in self._workers:
            worker.kept.signal(number)

    def _roll(self) -> None:
        """Replace the workers one after the other; nothing while they start or are being replaced."""
        if self._front.complete and (self._rolling is None or self._rolling.done()):
            self._rolling = self._spawn(self._replace_all(), "rolling restart")

    async def _replace_all(self) -> None:
        logger.info("replacing the workers one after the other")
        for worker in self._workers:
            before = worker.kept.restarts.total()
            ended = await worker.kept.replace(self._settings.patience)
            while (ended and worker.kept.restarts.total() == before) or not await self._look(worker):  # noqa: ASYNC110 - another process
                await asyncio.sleep(_POLL)
        logger.info("every worker is replaced")

    async def _stop(self) -> None:
        """Let the workers end, which drain; then the shadow process, which they no longer need."""
        self._front.stopping = True
        if self._rolling is not None:
            self._rolling.cancel()
        for worker in self._workers:
            worker.kept.end()
            worker.kept.signal(signal.SIGTERM)
        await asyncio.gather(*(worker.kept.gone(self._settings.patience) for worker in self._workers))
        self._shadow.end()
        os.close(self._shadow_lifeline_end)
        self._shadow_lifeline_end = -1
        await self._shadow.gone(_SHADOW_PATIENCE)
        await asyncio.gather(*self._tasks)

    def _keep(self, kept: Kept) -> None:
        self._tasks.append(self._spawn(kept.run(), kept.name))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work, name=name)

    def _close(self) -> None:
        for listening in self._sockets:
            listening.close()
        for end in (self._lifeline, self._lifeline_end, self._shadow_lifeline, self._shadow_lifeline_end):
            if end >= 0:
                with contextlib.suppress(OSError):
                    os.close(end)

    # What is shared

    def _listening(self, name: str) -> tuple[str, socket.socket]:
        path = str(self._folder / name)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(path)
        listening.listen(128)
        listening.setblocking(False)
        self._sockets.append(listening)
        return path, listening

    def _make_shadow(self) -> Kept:
        self._shadow_path, listening = self._listening("shadow")
        descriptors = (listening.fileno(), self._shadow_lifeline)
        numbers = (str(listening.fileno()), str(_SHADOW_NICENESS), str(self._shadow_lifeline))
        argv = (sys.executable, "-P", "-m", "mirrorgate.shadow", *numbers)
        return Kept("the shadow process", argv, descriptors, self._rng, own_session=True)

    def _make_worker(self, index: int) -> Colleague:
        path, listening = self._listening(f"worker-{index}")
        seat = Seat(
            index,
            self._settings.workers,
            self._rows_descriptor,
            listening.fileno(),
            self._lifeline,
            self._shadow_path,
        )
        argv = (sys.executable, "-P", "-m", "mirrorgate.cli", "run", *self._settings.words, f"--seat={seat}")
        descriptors = (self._rows_descriptor, listening.fileno(), self._lifeline)
        ended = functools.partial(self._worker_ended, index)
        return Colleague(index, path, Kept(f"worker {index}", argv, descriptors, self._rng, ended=ended))

    def _worker_ended(self, index: int) -> None:
        """Give back what a dead worker held: its requests ended with its sockets."""
        self._rows.clear(index)
        self._totals.bury(index)
        worker = self._workers[index]
        worker.ready = worker.was_ready = False


async def supervise(settings: SupervisorSettings) -> int:
    """Run a supervisor with a folder of its own for its sockets."""
    with tempfile.TemporaryDirectory(prefix="mirrorgate-") as folder:
        return await Supervisor(settings, Path(folder)).run()
