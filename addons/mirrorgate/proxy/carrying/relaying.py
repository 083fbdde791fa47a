"""Passes the chunks of a streamed answer on as they came, while each comes whole.

A model server writes every event as a chunk of its own, so that most reads hold exactly one. Such a read is what the
client is to get, byte for byte. So a relay takes the connection's place at the server's socket while an answer streams,
and a piece costs one call. Whatever else comes (several chunks at once, part of one, a size line that would be written
otherwise here, the end) is the connection's to read, which knows then whether a chunk begins with what follows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from ..messages.sketch import Sketch
from ..upstream.http1 import Upstream

if TYPE_CHECKING:
    from .carrier import Carrier

__all__ = ["PieceRelay", "Relay", "relay"]

_REMEMBERED: Final = 8 * 1024
"""Reads of up to so many bytes have their size lines remembered."""

type Tap = Callable[[list[bytes]], object]
"""Gets the pieces of an answer that have come now."""


def relay(carrier: Carrier, tail: deque[bytes], *, chunked: bool) -> None:
    """Relay the answer under way, which comes in chunks, if nobody may still change what is sent.

    `tail` gets what was in the last of the chunks; `chunked` says that the client gets chunks, too.
    """
    upstream, connection = carrier.upstream, carrier.connection
    if not isinstance(upstream, Upstream) or type(carrier.flow) is not Sketch:
        return
    taps: list[Tap] = []
    if carrier.mirror is not None:
        taps.append(carrier.mirror.answer)
    if carrier.tape is not None:
        taps.append(carrier.tape.answer)
    if carrier.consulted is not None:
        taps.append(carrier.consulted.pieces)
    if carrier.shaped is not None:
        taps.append(carrier.shaped.answer)
    straight = connection.straight if chunked else None
    if straight is None:
        carrier.relay = PieceRelay(carrier, upstream, connection.write, tail, taps, unpacked=True)
    elif taps:
        carrier.relay = PieceRelay(carrier, upstream, straight, tail, taps, unpacked=False)
    else:
        carrier.relay = Relay(carrier, upstream, straight, tail)
    upstream.give_way(carrier.relay)


class Relay(asyncio.Protocol):
    """The protocol of a server's connection while an answer streams; all but whole chunks is the connection's."""

    __slots__ = ("_between", "_clocks", "_facts", "_last", "_pieces", "_raw", "_sent", "_tail", "_upstream", "_write")

    def __init__(
        self, carrier: Carrier, upstream: Upstream, write: Callable[[bytes], object], tail: deque[bytes]
    ) -> None:
        self._facts = carrier.facts
        self._clocks = carrier.clocks
        self._upstream = upstream
        self._write = write
        self._tail = tail
        self._between = False
        """Whether a chunk begins with what comes next."""
        # What was passed on, and is not in the books yet.
        self._raw: deque[bytes] = deque(maxlen=tail.maxlen)
        self._pieces = 0
        self._sent = 0
        """Bytes of the chunks without their size lines."""
        self._last = 0.0

    def settle(self) -> None:
        """Bring what was passed on to the exchange's books."""
        pieces = self._pieces
        if not pieces:
            return
        facts = self._facts
        facts.bytes_sent += self._sent - 2 * pieces
        if facts.streamed:
            facts.pieces += pieces
            facts.last_piece_at = self._last
        self._tail.extend([chunk[chunk.index(b"\n") + 1 : -2] for chunk in self._raw])
        self._raw.clear()
        self._pieces = self._sent = 0

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        size = len(data)
        line = _LINES[size]
        if self._between and data.startswith(line) and data.endswith(b"\r\n"):
            try:
                self._last = self._clocks.last_byte = monotonic()
                self._pieces += 1
                self._sent += size - len(line)
                self._raw.append(data)
                self._write(data)
            except Exception:
                self._upstream.bug()
        else:
            self._read(data)

    def eof_received(self) -> bool:
        return self._upstream.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.connection_lost(exc)

    def pause_writing(self) -> None:
        self._upstream.pause_writing()

    def resume_writing(self) -> None:
        self._upstream.resume_writing()

    def _read(self, data: bytes) -> None:
        """Let the connection read what is no whole chunk."""
        self.settle()
        self._upstream.data_received(data)
        self._between = self._upstream.between_chunks and data.endswith(b"\n")


class PieceRelay(Relay):
    """A relay for whom what is in a chunk matters: to others who get it, too, or to a client that gets no chunks."""

    __slots__ = ("_taps", "_unpacked")

    def __init__(
        self,
        carrier: Carrier,
        upstream: Upstream,
        write: Callable[[bytes], object],
        tail: deque[bytes],
        taps: Sequence[Tap],
        *,
        unpacked: bool,
    ) -> None:
        """`unpacked` says that `write` takes what is in a chunk."""
        super().__init__(carrier, upstream, write, tail)
        self._taps = taps
        self._unpacked = unpacked

    def data_received(self, data: bytes) -> None:
        size = len(data)
        line = _LINES[size]
        if self._between and data.startswith(line) and data.endswith(b"\r\n"):
            try:
                piece = data[len(line) : -2]
                for tap in self._taps:
                    tap([piece])
                self._last = self._clocks.last_byte = monotonic()
                self._pieces += 1
                self._sent += size - len(line)
                self._raw.append(data)
                self._write(piece if self._unpacked else data)
            except Exception:
                self._upstream.bug()
        else:
            self._read(data)


class _Lines(dict[int, bytes]):
    """Size lines by the length of the chunk that they begin, from its first byte to its last."""

    def __missing__(self, length: int) -> bytes:
        line = _size_line(length)
        if length <= _REMEMBERED:
            self[length] = line
        return line


def _size_line(length: int) -> bytes:
    """Return the line that a chunk of this length begins with; where there is none, what no chunk begins with."""
    for digits in range(1, 16):
        size = length - digits - 4
        if size < 1:
            break
        line = b"%x\r\n" % size
        if len(line) == digits + 2:
            return line
    return bytes(length + 1)  # longer than the chunk


_LINES = _Lines()
