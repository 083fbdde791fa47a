"""One process that the supervisor keeps: started again when it dies, told to end in order, killed when it does not."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import random
import resource
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from ..shadow.child import ChildCommand

__all__ = ["Kept", "Why"]

logger = logging.getLogger("mirrorgate")

_BACKOFF_FIRST: Final = 0.1
_BACKOFF_LAST: Final = 10.0
_STABLE_SECONDS: Final = 60.0
"""A process that lived this long is started again after the first, short pause."""

_LAST_WORDS: Final = 3.0
"""Seconds that a process has to write its stack."""


class Why(enum.StrEnum):
    """Why a process was started again."""

    DIED = "died"
    """By itself, or by somebody else's signal."""
    HUNG = "hung"
    REPLACED = "replaced"


class Kept:
    """`run` keeps the process until `end` is called."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        descriptors: Sequence[int],
        rng: random.Random,
        *,
        own_session: bool = False,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """`ended` is called after each life, before the next."""
        self.name = name
        self.restarts: Counter[Why] = Counter()
        self.process: asyncio.subprocess.Process | None = None
        self.code: int | None = None
        """Of the last life."""
        self.started = asyncio.Event()
        """Set while the process runs."""
        self._argv = tuple(argv)
        self._descriptors = tuple(descriptors)
        self._rng = rng
        self._own_session = own_session
        self._ended = ended
        self._ending = asyncio.Event()
        self._why = Why.DIED

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    async def run(self) -> None:
        """Start the process, and start it again whenever it ends."""
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._ending.is_set():
            born = loop.time()
            try:
                self.code = await self._live()
            except OSError as error:
                logger.error("%s cannot be started: %s", self.name, error)
            self._ended()
            if self._ending.is_set():
                return
            failures = 1 if loop.time() - born >= _STABLE_SECONDS else failures + 1
            pause = min(_BACKOFF_LAST, _BACKOFF_FIRST * 2.0 ** min(failures - 1, 10)) * self._rng.uniform(0.5, 1.0)
            logger.warning("%s is gone (exit status %s); starting it again in %.1f s", self.name, self.code, pause)
            self.restarts[self._why] += 1
            self._why = Why.DIED
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()

    def signal(self, number: int) -> None:
        """Send a signal; nothing when the process does not run."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def replace(self, patience: float) -> bool:
        """Let the process end in order; it is started again. Whether there was one: what is between two lives is
        started anew in any case."""
        if self.pid is None:
            return False
        self._why = Why.REPLACED
        self.signal(signal.SIGTERM)
        await self.gone(patience)
        return True

    async def abort(self) -> None:
        """End a process that hangs: by SIGABRT, on which `faulthandler` writes where it hangs, then by SIGKILL."""
        if self.pid is None:
            return
        self._why = Why.HUNG
        _without_core(self.pid)
        self.signal(signal.SIGABRT)
        await self.gone(_LAST_WORDS)

    def end(self) -> None:
        """Start it no more; whoever calls says to the process that it is to end."""
        self._ending.set()

    async def gone(self, patience: float) -> None:
        """Wait for its end, after `patience` seconds by SIGKILL."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        try:
            async with asyncio.timeout(patience):
                await process.wait()
        except TimeoutError:
            logger.error("%s does not end within %.0f s and is killed", self.name, patience)
            self.signal(signal.SIGKILL)
            await process.wait()

    async def _live(self) -> int:
        self.process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=self._descriptors,
            start_new_session=self._own_session,
            env=ChildCommand().environment(os.environ),
        )
        self.started.set()
        if self._ending.is_set():
            self.signal(signal.SIGTERM)  # whoever has told it to end did not know it yet
        try:
            return await self.process.wait()
        finally:
            self.started.clear()


def _without_core(pid: int) -> None:
    """Let a process leave no core behind, which would hold prompts; a limit of 1 stops a program that takes cores, too
    (core(5))."""
    if hasattr(resource, "prlimit"):  # Linux
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_CORE, (1, resource.prlimit(pid, resource.RLIMIT_CORE)[1]))
