"""The shadow process: one socket to the proxy, and the pipeline behind it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import Final

import msgspec

from ..records import Compared, FromShadow, LegContent, ShadowCounts, ShadowReady
from .frames import PREAMBLE, FrameError, encode, shadow_decoder
from .judging import Judge
from .outbox import Outbox
from .pipeline import Pipeline

__all__ = ["ShadowProcess"]

logger = logging.getLogger(__name__)

_RECEIVE: Final = 1024 * 1024
_UNREAD_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of results that wait for the proxy, beyond which comparisons are not reported to it; the journal has them."""
_UNREAD_CONTENT: Final = 4 * 1024 * 1024
"""The same for answers that a person may look at, which give way first."""
_SWEEP_SECONDS: Final = 1.0
_DRAIN_SECONDS: Final = 5.0
"""How long legs may go on after the proxy closed the channel."""
_FLUSH_SECONDS: Final = 2.0


class ShadowProcess:
    """Serves one socket until the other side closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, judge: Judge) -> None:
        self._loop = loop
        self._sock = sock
        self._decoder = shadow_decoder()
        self._closed = asyncio.Event()
        self._outbox = Outbox(loop, sock, lambda _: self._close())
        self._pipeline = Pipeline(loop, self._send, judge)
        self._counts: ShadowCounts | None = None
        self._contents_dropped = 0

    async def run(self) -> None:
        """Serve until the proxy closes its end or dies, then end what is under way and flush."""
        self._outbox.put((PREAMBLE,))
        self._send(ShadowReady(os.getpid()))
        self._loop.add_reader(self._sock.fileno(), self._on_readable)
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await self._closed.wait()
            self._pipeline.sweep()
            self._report_counts()
        await self._pipeline.drain(_DRAIN_SECONDS)
        self._report_counts()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self._outbox.drained()
        self._outbox.close()

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(_RECEIVE)
            frames = self._decoder.feed(data)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, FrameError) as error:
            logger.error("the channel to the proxy is broken: %s", error)
            self._close()
            return
        if not data:
            self._close()
        for frame in frames:
            self._pipeline.handle(frame)

    def _close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._loop.remove_reader(self._sock.fileno())

    def _send(self, message: FromShadow) -> None:
        if isinstance(message, Compared) and self._outbox.size > _UNREAD_LIMIT:
            return
        if isinstance(message, LegContent) and self._outbox.size > _UNREAD_CONTENT:
            self._contents_dropped += 1
            return
        try:
            self._outbox.put(encode(message))
        except (FrameError, UnicodeEncodeError):
            logger.exception("a result cannot be sent: %s", type(message).__name__)

    def _report_counts(self) -> None:
        counts = msgspec.structs.replace(self._pipeline.counts(), contents_dropped=self._contents_dropped)
        if counts != self._counts:
            self._counts = counts
            self._send(counts)
