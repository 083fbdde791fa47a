"""The shadow process of one proxy: one socket to it, and the pipeline behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Final

from .judging import Judge
from .pipeline import Pipeline
from .session import Session

__all__ = ["DRAIN_SECONDS", "FLUSH_SECONDS", "SWEEP_SECONDS", "ShadowProcess"]

SWEEP_SECONDS: Final = 1.0
DRAIN_SECONDS: Final = 5.0
"""How long legs may go on after the proxy closed the channel."""
FLUSH_SECONDS: Final = 2.0


class ShadowProcess:
    """Serves one socket until the other side closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, judge: Judge) -> None:
        self._closed = asyncio.Event()
        self.session = Session(loop, sock, lambda _, frame: self._pipeline.handle(frame), lambda _: self._closed.set())
        self._pipeline = Pipeline(loop, self.session.send, judge)

    async def run(self) -> None:
        """Serve until the proxy closes its end or dies, then end what is under way and flush."""
        self.session.begin()
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._closed.wait()
            self._pipeline.sweep()
            self.session.report(self._pipeline.counts())
        await self._pipeline.drain(DRAIN_SECONDS)
        self.session.report(self._pipeline.counts())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self.session.outbox.drained()
        self.session.outbox.close()
