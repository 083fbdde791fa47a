"""The body of one leg's request: whole from the start, or pieces that follow while the client uploads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from .holding import Holding

__all__ = ["UNSENT_LIMIT", "WHOLE_LIMIT", "Upload"]

UNSENT_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of a streamed upload that wait for a slow candidate before its leg is given up."""
WHOLE_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of a streamed upload that are gathered when the body must be rewritten before it is sent."""


class Upload:
    """One consumer's view of a request body. Pieces are shared between legs, never copied."""

    def __init__(self, body: bytes | None, limit: int = UNSENT_LIMIT, holding: Holding | None = None) -> None:
        """Begin with the whole `body`, or with `None` for one that follows in pieces, which `holding` counts."""
        self.body = body
        self._holding = holding if holding is not None else Holding()
        self._limit = limit
        self._pieces: deque[bytes] = deque()
        self._unsent = 0
        self._ended = False
        self._news = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether pieces are still expected."""
        return self.body is None and not self._ended

    @property
    def unsent(self) -> int:
        """Bytes that wait to be sent."""
        return self._unsent

    def push(self, data: bytes) -> bool:
        """Add a piece; false when the consumer is too far behind to take it."""
        if self._ended or self._unsent + len(data) > self._limit or not self._holding.take(len(data)):
            return False
        self._pieces.append(data)
        self._unsent += len(data)
        self._news.set()
        return True

    def end(self) -> None:
        """Say that the last piece was added."""
        self._ended = True
        self._news.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the pieces in order until the end."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                yield piece
                self._give(len(piece))
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()

    async def whole(self) -> bytes:
        """Wait for the end and return everything."""
        if self.body is not None:
            return self.body
        while not self._ended:
            self._news.clear()
            await self._news.wait()
        self.body = b"".join(self._pieces)
        self._pieces.clear()
        return self.body

    def close(self) -> None:
        """Let go of what was not sent; nothing is taken afterwards."""
        self._ended = True
        self._pieces.clear()
        self._give(self._unsent)

    def _give(self, size: int) -> None:
        size = min(size, self._unsent)
        self._unsent -= size
        self._holding.give(size)
