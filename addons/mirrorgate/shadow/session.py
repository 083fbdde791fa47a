"""One proxy as the shadow process sees it: a socket, what it sends, and what it does not read in time."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Final

import msgspec

from ..records import Compared, FromShadow, LegContent, ShadowCounts, ShadowReady, ToShadow
from .frames import PREAMBLE, FrameError, encode, shadow_decoder
from .outbox import Outbox

__all__ = ["Session"]

logger = logging.getLogger(__name__)

_RECEIVE: Final = 1024 * 1024
_UNREAD_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of results that wait for the proxy, beyond which comparisons are reported to it without their records, which
the journal has. That a pair was compared is always told: the proxy counts what it was not told of as lost."""
_UNREAD_CONTENT: Final = 4 * 1024 * 1024
"""The same for answers that a person may look at, which give way first."""


class Session:
    """Reads frames until the other side closes the socket, which stays the caller's."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_frame: Callable[[Session, ToShadow], None],
        on_end: Callable[[Session], None],
    ) -> None:
        """`on_end` is called once, when nothing more is to be read; what is sent afterwards may still arrive."""
        self._loop = loop
        self._sock = sock
        self._on_frame = on_frame
        self._on_end = on_end
        self._decoder = shadow_decoder()
        self._ended = False
        self._counts: ShadowCounts | None = None
        self._contents_dropped = 0
        self.outbox = Outbox(loop, sock, lambda _: self._end())

    def begin(self) -> None:
        """Say that this process reads, and read."""
        self.outbox.put((PREAMBLE,))
        self.send(ShadowReady(os.getpid()))
        self._loop.add_reader(self._sock.fileno(), self._on_readable)

    def send(self, message: FromShadow) -> None:
        """Send a result; never waits."""
        if isinstance(message, Compared) and self.outbox.size > _UNREAD_LIMIT:
            message = msgspec.structs.replace(message, record=b"")
        if isinstance(message, LegContent) and self.outbox.size > _UNREAD_CONTENT:
            self._contents_dropped += 1
            return
        try:
            self.outbox.put(encode(message))
        except (FrameError, UnicodeEncodeError):
            logger.exception("a result cannot be sent: %s", type(message).__name__)

    def report(self, counts: ShadowCounts) -> None:
        """Send what the process holds, when it is something else than it was."""
        counts = msgspec.structs.replace(counts, contents_dropped=self._contents_dropped)
        if counts != self._counts:
            self._counts = counts
            self.send(counts)

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(_RECEIVE)
            frames = self._decoder.feed(data)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, FrameError) as error:
            logger.error("the channel to the proxy is broken: %s", error)
            self._end()
            return
        if not data:
            self._end()
        for frame in frames:
            self._on_frame(self, frame)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._loop.remove_reader(self._sock.fileno())
            self._on_end(self)
