"""A raw HTTP/1.1 client over one connection, for tests: it sends what it is told, when it is told, in any order.

It parses answers by itself and little: a test must see what is on the wire, not what a library makes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

__all__ = ["Answer", "Chunk", "Client", "Head", "WireError", "request_bytes"]

_LIMIT = 64 * 1024 * 1024


class WireError(Exception):
    """The server's bytes are not an answer, or the connection ended inside one."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer."""

    version: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    """In their order, names as they came."""
    at: float
    """When it was complete, on the event loop's clock."""

    def header(self, name: str) -> str | None:
        """Return a field's value, several joined by commas; `None` when it is absent."""
        values = [value for each, value in self.headers if each.lower() == name.lower()]
        return ", ".join(values) if values else None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a body: an HTTP chunk where the body is chunked, else what one read gave."""

    data: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    head: Head
    chunks: tuple[Chunk, ...]
    trailers: tuple[tuple[str, str], ...] = ()
    informational: tuple[Head, ...] = ()
    """1xx answers that came before."""

    @property
    def status(self) -> int:
        """The status code."""
        return self.head.status

    @property
    def body(self) -> bytes:
        """The body without its framing."""
        return b"".join(chunk.data for chunk in self.chunks)

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    def events(self) -> list[str]:
        """Return the data of each server-sent event."""
        blocks = self.body.decode().split("\n\n")
        return [line[6:] for block in blocks for line in block.split("\n") if line.startswith("data: ")]


def request_bytes(
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | Any = b"",
    *,
    chunks: Sequence[bytes] | None = None,
    trailers: Iterable[tuple[str, str]] = (),
    version: str = "1.1",
) -> bytes:
    """Return a request as bytes.

    A body that is not bytes is sent as JSON. `chunks` makes a chunked body of these pieces. `host: test` is added
    where the headers have none, and the length or the transfer coding where they have neither.
    """
    fields = list(headers)
    names = {name.lower() for name, _ in fields}
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
        if "content-type" not in names:
            fields.append(("content-type", "application/json"))
    if "host" not in names:
        fields.insert(0, ("host", "test"))
    if not names & {"content-length", "transfer-encoding"}:
        if chunks is not None:
            fields.append(("transfer-encoding", "chunked"))
        elif body or method in ("POST", "PUT", "PATCH"):
            fields.append(("content-length", str(len(body))))
    if chunks is not None:
        ending = "".join(f"{name}: {value}\r\n" for name, value in trailers).encode("latin-1")
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + ending + b"\r\n"
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@dataclass(slots=True, eq=False)
class Client:
    """One connection, kept alive. Every wait is bounded by `timeout`, in seconds."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    timeout: float = 30.0
    _methods: list[str] = field(default_factory=list)

    @classmethod
    async def connect(
        cls,
        port: int,
        host: str = "127.0.0.1",
        *,
        timeout: float = 30.0,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        receive_buffer: int | None = None,
    ) -> Self:
        """Open a connection. `receive_buffer` bounds what the kernel takes in while the client does not read."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            sock.setblocking(False)
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(sock, (host, port))
                reader, writer = await asyncio.open_connection(
                    sock=sock, limit=_LIMIT, ssl=tls, server_hostname=(server_name or host) if tls else None
                )
        except BaseException:
            sock.close()
            raise
        return cls(reader, writer, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        """Send bytes as they are, each piece by itself, `pause` seconds apart."""
        for index, piece in enumerate(pieces):
            if index:
                await asyncio.sleep(pause)
            self.writer.write(piece)
            async with asyncio.timeout(self.timeout):
                await self.writer.drain()

    async def request(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes | Any = b"", **more: Any
    ) -> Answer:
        """Send a request and read its answer."""
        await self.send(request_bytes(method, target, headers, body, **more))
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> Answer:
        """Read a whole answer; `method` is the request's, since HEAD has no body."""
        informational: list[Head] = []
        head = await self.head()
        while head.status < 200 and head.status != 101:
            informational.append(head)
            head = await self.head()
        chunks: list[Chunk] = []
        trailers: list[tuple[str, str]] = []
        if method != "HEAD" and head.status not in (101, 204, 304):
            chunks = [chunk async for chunk in self._body(head, trailers)]
        return Answer(head, tuple(chunks), tuple(trailers), tuple(informational))

    async def head(self) -> Head:
        """Read the head of an answer. Raises `WireError` when the connection ends first."""
        lines = [await self._line()]
        while lines[-1]:
            lines.append(await self._line())
        version, _, rest = lines[0].partition(" ")
        code, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/") or not code.isdecimal():
            raise WireError(f"no status line: {lines[0]!r}")
        pairs = [line.partition(":") for line in lines[1:-1]]
        headers = tuple((name, value.strip()) for name, _, value in pairs)
        return Head(version, int(code), reason, headers, self._now())

    async def chunk(self) -> Chunk | None:
        """Read one HTTP chunk of a chunked body; `None` for the last, whose trailers are left unread."""
        size_line = await self._line()
        try:
            size = int(size_line.partition(";")[0], 16)
        except ValueError as error:
            raise WireError(f"no chunk size: {size_line!r}") from error
        if size == 0:
            return None
        data = await self._exactly(size + 2)
        if data[-2:] != b"\r\n":
            raise WireError("a chunk does not end where it should")
        return Chunk(data[:-2], self._now())

    async def read(self, most: int = 65536) -> bytes:
        """Read what is there, empty at the end of the connection. Raises `ConnectionError` on a reset."""
        async with asyncio.timeout(self.timeout):
            return await self.reader.read(most)

    async def closed(self) -> bool:
        """Wait for the connection's end; tell whether it was in good order (True) or a reset (False)."""
        try:
            while await self.read():
                pass
        except ConnectionError:
            return False
        return True

    async def _body(self, head: Head, trailers: list[tuple[str, str]]) -> AsyncIterator[Chunk]:
        if "chunked" in (head.header("transfer-encoding") or "").lower():
            while (chunk := await self.chunk()) is not None:
                yield chunk
            while line := await self._line():
                name, _, value = line.partition(":")
                trailers.append((name, value.strip()))
        elif (length := head.header("content-length")) is not None:
            left = int(length)
            while left > 0:
                data = await self.read(min(left, 65536))
                if not data:
                    raise WireError(f"the connection ended {left} bytes before the body did")
                left -= len(data)
                yield Chunk(data, self._now())
        else:
            while data := await self.read():
                yield Chunk(data, self._now())

    async def _line(self) -> str:
        try:
            async with asyncio.timeout(self.timeout):
                line = await self.reader.readuntil(b"\r\n")
        except asyncio.IncompleteReadError as error:
            raise WireError(f"the connection ended inside an answer, after {error.partial!r}") from error
        return line[:-2].decode("latin-1")

    async def _exactly(self, count: int) -> bytes:
        try:
            async with asyncio.timeout(self.timeout):
                return await self.reader.readexactly(count)
        except asyncio.IncompleteReadError as error:
            raise WireError(f"the connection ended {count - len(error.partial)} bytes too early") from error

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def local_port(self) -> int:
        """The port of our end."""
        port: int = self.writer.get_extra_info("sockname")[1]
        return port

    def stop_reading(self) -> None:
        """Take nothing more from the kernel, so that the server's writes come to a halt."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume_reading(self) -> None:
        """Read again after `stop_reading`."""
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    def half_close(self) -> None:
        """Say that nothing more will be sent, and go on reading."""
        self.writer.write_eof()

    def abort(self) -> None:
        """Close with a reset."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """Close in good order."""
        self.writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self.timeout):
                await self.writer.wait_closed()
