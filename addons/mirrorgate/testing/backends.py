"""A raw HTTP/1.1 server for tests: each connection is a script that reads and says what it likes, when it likes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

__all__ = ["Backend", "Conversation", "Received", "Script", "answering", "response_bytes"]


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came over the wire."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    """In their order, names as they came."""
    body: bytes = b""
    """Without its framing."""
    trailers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str | None:
        """Return a field's value, several joined by commas; `None` when it is absent."""
        values = [value for each, value in self.headers if each.lower() == name.lower()]
        return ", ".join(values) if values else None


def response_bytes(
    status: int = 200, body: bytes = b"", *headers: tuple[str, str], chunked: bool = False, reason: str = "OK"
) -> bytes:
    """Return a whole answer, framed by its length, or in one chunk."""
    framing = ("transfer-encoding", "chunked") if chunked else ("content-length", str(len(body)))
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in (*headers, framing)), "", ""]
    if chunked:
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    return "\r\n".join(lines).encode("latin-1") + body


@dataclass(slots=True, eq=False)
class Conversation:
    """The server's end of one connection. Every wait inside a message is bounded by `timeout`, in seconds; for the next
    one it may wait as long as the server lives, since the gateway keeps connections."""

    backend: Backend
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    timeout: float = 30.0
    requests: list[Received] = field(default_factory=list)
    """Whole requests of this connection, in their order."""

    async def request(self) -> Received:
        """Read a whole request; raises `asyncio.IncompleteReadError` when the connection ends first."""
        head = await self.head()
        body = b""
        trailers: tuple[tuple[str, str], ...] = ()
        if "chunked" in (head.header("transfer-encoding") or "").lower():
            pieces = []
            while piece := await self.chunk():
                pieces.append(piece)
            body, trailers = b"".join(pieces), self._fields(await self._lines())
        elif length := int(head.header("content-length") or 0):
            body = await self.exactly(length)
        request = Received(head.method, head.target, head.version, head.headers, body, trailers)
        self.requests.append(request)
        self.backend.requests.append(request)
        return request

    async def head(self) -> Received:
        """Read the head of a request, and leave its body unread."""
        method, target, version = (await self._line(None)).split(" ")
        return Received(method, target, version, self._fields(await self._lines()))

    async def chunk(self) -> bytes:
        """Read one HTTP chunk of a chunked body; empty for the last, whose trailers are left unread."""
        size = int((await self._line(self.timeout)).partition(";")[0], 16)
        return (await self.exactly(size + 2))[:-2] if size else b""

    async def exactly(self, count: int) -> bytes:
        """Read so many bytes."""
        async with asyncio.timeout(self.timeout):
            return await self.reader.readexactly(count)

    async def read(self, most: int = 65536) -> bytes:
        """Read what is there, empty at the end of the connection. Raises `ConnectionError` on a reset."""
        async with asyncio.timeout(self.timeout):
            return await self.reader.read(most)

    async def say(self, *pieces: bytes) -> None:
        """Send bytes as they are, each piece by itself."""
        for piece in pieces:
            self.writer.write(piece)
            async with asyncio.timeout(self.timeout):
                await self.writer.drain()

    async def answer(self, status: int = 200, body: bytes = b"", *headers: tuple[str, str]) -> None:
        """Send a whole answer."""
        await self.say(response_bytes(status, body, *headers))

    async def gone(self) -> None:
        """Wait until the peer has closed, in whatever way; what it sends before is dropped."""
        with contextlib.suppress(ConnectionError):
            while await self.read():
                pass

    def reset(self) -> None:
        """Close with a reset."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def _lines(self) -> list[str]:
        lines = []
        while line := await self._line(self.timeout):
            lines.append(line)
        return lines

    async def _line(self, timeout: float | None) -> str:
        async with asyncio.timeout(timeout):
            return (await self.reader.readuntil(b"\r\n"))[:-2].decode("latin-1")

    @staticmethod
    def _fields(lines: list[str]) -> tuple[tuple[str, str], ...]:
        pairs = [line.partition(":") for line in lines]
        return tuple((name, value.strip()) for name, _, value in pairs)


type Script = Callable[[Conversation], Awaitable[None]]


def answering(reply: bytes | Callable[[Received], bytes]) -> Script:
    """Make a script that answers every request alike, or as a function says."""

    async def script(talk: Conversation) -> None:
        while True:
            request = await talk.request()
            await talk.say(reply if isinstance(reply, bytes) else reply(request))

    return script


class Backend:
    """A server on loopback whose connections follow a script; it may be changed while the server runs.

    A connection is closed in good order when its script returns, and when the backend ends.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self._tls = tls
        self.port = 0
        self.conversations: list[Conversation] = []
        """Every connection, oldest first."""
        self.requests: list[Received] = []
        """Whole requests over all connections."""
        self.failures: list[BaseException] = []
        """What scripts raised beside the end of a connection."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 20, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for talk in self.conversations:
            talk.writer.transport.abort()
        if self._server is not None:
            # One that outlives its event loop is a leak that another test is blamed for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self._server.wait_closed()
        if error is None and self.failures:
            raise self.failures[0]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        talk = Conversation(self, reader, writer)
        self.conversations.append(talk)
        try:
            await self.script(talk)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as error:
            self.failures.append(error)
        finally:
            self._tasks.discard(task)
            writer.close()
