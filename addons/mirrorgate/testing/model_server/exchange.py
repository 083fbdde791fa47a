"""One request on a connection and the means to answer it, in good order or not."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Protocol

from .received import Ending, Received

__all__ = ["Exchange", "Wire"]


class Wire(Protocol):
    """What an exchange needs of its connection."""

    transport: asyncio.Transport

    def regulate(self) -> None: ...
    async def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def ended(self, received: Received) -> None: ...


class Exchange:
    """A request whose body comes in as it is asked for, and an answer that goes out piece by piece."""

    def __init__(self, wire: Wire, received: Received, *, keep_alive: bool, reused: bool, upgrading: bool) -> None:
        self._wire = wire
        self.received = received
        self.keep_alive = keep_alive
        self.reused = reused
        """Whether the connection has carried a request before."""
        self.upgrading = upgrading
        """Whether the client asks to speak another protocol: what follows the head is then not framed."""
        self.on_head: Callable[[Received], None] = lambda received: None
        """Called when the head of the answer goes out: the log."""
        self.trickle: float | None = None
        """Seconds between two bytes; `None` writes whole pieces."""
        self.cut_at: int | None = None
        """Bytes of the answer after which the connection is reset."""
        self._parts: list[bytes] = []
        self.buffered = 0
        self._complete = False
        self._more = asyncio.Event()
        self._asked = False
        self._taken = False
        self._chunked = False
        self._loop = asyncio.get_running_loop()

    # the request

    def feed(self, data: bytes) -> None:
        """Take a piece of the body in."""
        self._parts.append(data)
        self.buffered += len(data)
        self._more.set()

    def feed_end(self, now: float) -> None:
        """Note that the body is whole."""
        self._complete = True
        self.received.body_read = now
        self._more.set()

    async def read(self) -> bytes:
        """Return the next piece of the body, empty at its end."""
        await self._invite()
        while not self._parts and not self._complete:
            self._more.clear()
            await self._more.wait()
        data = b"".join(self._parts)
        self._parts.clear()
        self.buffered = 0
        self._wire.regulate()
        return data

    async def body(self) -> bytes:
        """Return the whole body; the record keeps it, and asking again gives it again."""
        if self._taken:
            return self.received.body
        self._taken = True
        body = bytearray()
        wanted = int(self.received.header("content-length") or 0) if self.upgrading else None
        while (wanted is None or len(body) < wanted) and (piece := await self.read()):
            body += piece
        self.received.body = bytes(body)
        return self.received.body

    async def drain_body(self) -> None:
        """Read what is left of the body, so that the next request begins where it should."""
        if self.upgrading:
            self.keep_alive = False
        if self._complete and not self._parts:
            return
        if not self._asked and self._expects_continue():
            self.keep_alive = False
            return
        while self.keep_alive and await self.read():
            pass

    def _expects_continue(self) -> bool:
        return (self.received.header("expect") or "").lower() == "100-continue" and not self._complete

    async def _invite(self) -> None:
        if not self._asked and self._expects_continue() and self.received.status is None:
            self._asked = True
            await self._wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._asked = True

    # the answer

    async def respond(self, status: int, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send a whole answer with its length."""
        await self.start(status, [("content-length", str(len(body))), *headers], chunked=False)
        if body and self.received.method != "HEAD":
            await self.raw(body)

    async def start(self, status: int, headers: Iterable[tuple[str, str]], *, chunked: bool) -> None:
        """Send the head."""
        received = self.received
        received.status, received.answered = status, self._loop.time()
        fields = [("date", formatdate(usegmt=True)), ("server", "uvicorn"), *headers]
        if chunked and received.version == "1.0":
            self.keep_alive = chunked = False
        if chunked:
            fields.append(("transfer-encoding", "chunked"))
        if not self.keep_alive and status != 101:
            fields.append(("connection", "close"))
        self._chunked = chunked
        reason = http.HTTPStatus(status).phrase if status in http.HTTPStatus else ""
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in fields), "", ""]
        self.on_head(received)
        await self.raw("\r\n".join(lines).encode("latin-1"))

    async def send(self, data: bytes) -> None:
        """Send a piece of a body that was started without a length."""
        if self.received.method == "HEAD" or not data:
            return
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self.received.events.append(self._loop.time())

    async def finish(self, trailers: Iterable[tuple[str, str]] = ()) -> None:
        """End a body that was started without a length."""
        if self._chunked and self.received.method != "HEAD":
            fields = "".join(f"{name}: {value}\r\n" for name, value in trailers)
            await self.raw(b"0\r\n" + fields.encode("latin-1") + b"\r\n")

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are, in the way that `trickle` and `cut_at` say."""
        if self.cut_at is not None:
            room = self.cut_at - self.received.bytes_sent
            if len(data) >= room:
                if room > 0:
                    await self._write(data[:room])
                self.reset()
                raise ConnectionResetError("cut here on purpose")
        await self._write(data)

    async def _write(self, data: bytes) -> None:
        pieces = [data] if self.trickle is None else [data[index : index + 1] for index in range(len(data))]
        for piece in pieces:
            await self._wire.write(piece)
            self.received.bytes_sent += len(piece)
            if self.trickle:
                await asyncio.sleep(self.trickle)

    def reset(self) -> None:
        """End the connection with a reset."""
        self.keep_alive = False
        self.end(self._loop.time(), Ending.CUT)
        self._wire.abort()

    def close(self) -> None:
        """End the connection in good order, wherever the answer is."""
        self.keep_alive = False
        self.end(self._loop.time(), Ending.CUT)
        self._wire.transport.close()

    def end(self, now: float, ending: Ending) -> None:
        """Note the end, once."""
        if self.received.ending is Ending.OPEN:
            self.received.ended, self.received.ending = now, ending
            self._wire.ended(self.received)
