"""A queue of bytes in front of a non-blocking socket, with an exact count of what it holds.

A transport of asyncio sums its buffers each time it is asked for its size; under thousands of small frames that
costs the proxy's loop more than the frames. Here the count is one integer, and whatever is enqueued in one turn of
the loop leaves with one system call.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["Outbox"]

_PIECES: Final = 64
"""Pieces in one system call; far below the kernel's limit of 1,024."""
_TURN: Final = 512 * 1024
"""Bytes written in one turn of the loop, so that a quick reader cannot hold production's loop."""


class Outbox:
    """Writes pieces in order, never waits, never raises; a broken socket is reported once to `on_broken`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, on_broken: Callable[[OSError], None]
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._on_broken = on_broken
        self._pieces: deque[memoryview] = deque()
        self._armed: asyncio.Handle | None = None
        self._watching = False
        self._closed = False
        self._drained: asyncio.Future[None] | None = None
        self.size = 0
        """Bytes that the kernel has not taken yet."""

    def put(self, pieces: Iterable[bytes]) -> None:
        """Append pieces; they leave at the end of this turn of the loop, behind production's own writes."""
        if self._closed:
            return
        for piece in pieces:
            if piece:
                self._pieces.append(memoryview(piece))
                self.size += len(piece)
        if self._pieces and self._armed is None and not self._watching:
            self._armed = self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Forget what is queued and stop watching the socket, which stays open and the caller's."""
        if self._closed:
            return
        self._closed = True
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None
        self._unwatch()
        self._pieces.clear()
        self.size = 0
        self._wake()

    async def drained(self) -> None:
        """Wait until the kernel has taken everything, or the outbox is closed."""
        if self._closed or not self._pieces:
            return
        if self._drained is None:
            self._drained = self._loop.create_future()
        await asyncio.shield(self._drained)

    def _flush(self) -> None:
        self._armed = None
        try:
            self._write(_TURN)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.close()
            self._on_broken(error)
            return
        if self._pieces:
            if not self._watching:
                self._watching = True
                self._loop.add_writer(self._sock.fileno(), self._flush)
        else:
            self._unwatch()
            self._wake()

    def _write(self, allowance: int) -> None:
        pieces = self._pieces
        while pieces and allowance > 0:
            batch = [pieces[i] for i in range(min(_PIECES, len(pieces)))]
            written = self._sock.sendmsg(batch)
            self.size -= written
            allowance -= written
            while written:
                head = pieces[0]
                if written < len(head):
                    pieces[0] = head[written:]
                    break
                written -= len(head)
                pieces.popleft()

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_writer(self._sock.fileno())

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None
