"""One life of the shadow process, seen from the proxy: its socket, its process, and how both end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
from collections.abc import Callable, Iterable
from typing import Final

from ..records import FromShadow, ShadowReady
from .child import ChildCommand, start_child
from .frames import PREAMBLE, FrameError, proxy_decoder
from .outbox import Outbox

__all__ = ["Link"]

logger = logging.getLogger(__name__)

_RECEIVE: Final = 256 * 1024
"""Bytes read in one turn of the loop."""
_REAP_SECONDS: Final = 5.0
"""How long a child that closed its socket, or was killed, may take to be gone."""


class Link:
    """A child that is started, or one that a supervisor has started.

    What is sent before the child runs waits for it in the socket and the outbox. `ended` resolves, with a reason, once
    the socket is closed; the child is reaped by `reap`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_message: Callable[[FromShadow], None],
    ) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._sock = sock
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._on_message = on_message
        self._decoder = proxy_decoder()
        self.outbox = Outbox(loop, sock, lambda error: self._end(f"write failed: {error}"))
        self.ended: asyncio.Future[str] = loop.create_future()
        self.ready = asyncio.Event()
        """Set when the child has said that it reads, or has ended before."""
        loop.add_reader(sock.fileno(), self._on_readable)
        self.outbox.put((PREAMBLE,))

    @classmethod
    def pair(cls, on_message: Callable[[FromShadow], None]) -> tuple[Link, socket.socket]:
        """Return a link to a child that `start` starts, and the child's end, which is for it. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(asyncio.get_running_loop(), ours, on_message), theirs

    async def start(self, command: ChildCommand, child_end: socket.socket) -> None:
        """Start the child without blocking the loop. Raises OSError when it cannot be started."""
        self._process = await asyncio.to_thread(start_child, command, child_end)
        self._pid = self._process.pid

    @classmethod
    def connect(cls, path: str, on_message: Callable[[FromShadow], None]) -> Link:
        """Connect to the child that a supervisor keeps running. Raises OSError when nothing listens there.

        The kernel takes a connection to a Unix socket in at once, or refuses it.
        """
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        try:
            ours.connect(path)
        except OSError:
            ours.close()
            raise
        return cls(asyncio.get_running_loop(), ours, on_message)

    @property
    def pid(self) -> int | None:
        """`None` until a child that somebody else has started has said that it reads."""
        return self._pid

    def send(self, pieces: Iterable[bytes]) -> None:
        """Enqueue one frame; never waits, never raises."""
        self.outbox.put(pieces)

    def end(self, reason: str) -> None:
        """Cut the child off; it exits when it notices, or is killed by `reap`."""
        self._end(reason)

    async def finish(self, timeout: float) -> None:
        """Close our side once all is written, and give the child `timeout` seconds to close its own."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.outbox.drained()
                if not self.ended.done():
                    with contextlib.suppress(OSError):
                        self._sock.shutdown(socket.SHUT_WR)
                    await asyncio.shield(self.ended)
        self._end("stopped")

    async def reap(self, patience: float = 0.5) -> int | None:
        """Wait for the child's end, after `patience` seconds by SIGKILL, and return its exit status.

        A negative status is a signal's number; `None` is a process that even SIGKILL does not end yet, or one that
        somebody else reaps.
        """
        process = self._process
        if process is None:
            return None
        for wait in (patience, _REAP_SECONDS):
            try:
                return await asyncio.to_thread(process.wait, wait)
            except subprocess.TimeoutExpired:
                process.kill()
        logger.error("shadow process %s does not end", self.pid)
        return None

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(_RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(f"read failed: {error}")
            return
        if not data:
            self._end("it closed its socket")
            return
        try:
            messages = self._decoder.feed(data)
        except FrameError as error:
            self._end(str(error))
            return
        for message in messages:
            if isinstance(message, ShadowReady):
                self._pid = message.pid
                self.ready.set()
            try:
                self._on_message(message)
            except Exception:
                logger.exception("a message of the shadow process was not handled: %s", type(message).__name__)

    def _end(self, reason: str) -> None:
        if self.ended.done():
            return
        self.ended.set_result(reason)
        self.ready.set()
        self._loop.remove_reader(self._sock.fileno())
        self.outbox.close()
        self._sock.close()
