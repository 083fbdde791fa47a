"""One HTTP/1.1 connection of the fake server: strict enough to be a server, lax enough to misbehave.

Requests are answered one after another; what is pipelined waits. A body is read only as the answer asks for it, so
that a server that does not read holds its client up for real. How it frames, what it says by itself and when it closes
are uvicorn's, which vLLM runs on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable

import httptools

from .exchange import Exchange
from .received import Ending, Received

__all__ = ["Connection"]

_BODY_HIGH_WATER = 256 * 1024
_MAX_PIPELINED = 16

type Handler = Callable[[Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """Parses requests and hands each to `handler` in turn.

    `register` numbers a request and keeps its record, `ended` is called when it is over, and `closed` when the
    connection is gone.
    """

    def __init__(
        self,
        number: int,
        handler: Handler,
        register: Callable[[Received], None],
        ended: Callable[[Received], None],
        opened: Callable[[Connection], None],
        closed: Callable[[Connection], None],
    ) -> None:
        self.number = number
        self._handler = handler
        self._register = register
        self._ended = ended
        self._opened = opened
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._exchanges: deque[Exchange] = deque()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._reading_paused = False
        self._incoming: Exchange | None = None
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._task: asyncio.Task[None] | None = None
        self._upgraded = False
        self.lost = False
        self._carried = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        host, port = transport.get_extra_info("peername")[:2]
        self.client = f"{host}:{port}"
        self._opened(self)
        self._task = self._loop.create_task(self._serve(), name=f"fake-model-server-{self.number}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._writable.set()
        if self._task is not None:
            self._task.cancel()
        self._closed(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self._upgraded:
            if self._incoming is not None:
                self._incoming.feed(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded = True
            if rest := data[upgrade.args[0] :]:
                self.data_received(rest)
        except httptools.HttpParserError:
            self.transport.write(
                b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
                b"content-length: 30\r\n\r\nInvalid HTTP request received."
            )
            self.transport.close()

    # httptools

    def on_message_begin(self) -> None:
        self._target, self._headers, self._incoming = b"", [], None

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        field = (name.decode("latin-1"), value.decode("latin-1"))
        if self._incoming is None:
            self._headers.append(field)
        else:
            self._incoming.received.trailers += (field,)

    def on_headers_complete(self) -> None:
        received = Received(
            number=0,
            connection=self.number,
            client=self.client,
            method=self._parser.get_method().decode("latin-1"),
            target=self._target.decode("latin-1"),
            version=self._parser.get_http_version(),
            headers=tuple(self._headers),
            arrived=self._loop.time(),
        )
        self._register(received)
        self._incoming = Exchange(
            self,
            received,
            keep_alive=self._parser.should_keep_alive(),
            reused=self._carried > 0,
            upgrading=self._parser.should_upgrade(),
        )
        self._carried += 1
        self._exchanges.append(self._incoming)
        self._arrived.set()
        self.regulate()

    def on_body(self, body: bytes) -> None:
        if self._incoming is not None:
            self._incoming.feed(body)
            self.regulate()

    def on_message_complete(self) -> None:
        if self._incoming is not None and not self._incoming.upgrading:
            self._incoming.feed_end(self._loop.time())

    # what an Exchange uses

    def regulate(self) -> None:
        """Stop reading while more is buffered than anyone takes."""
        buffered = sum(exchange.buffered for exchange in self._exchanges)
        paused = buffered > _BODY_HIGH_WATER or len(self._exchanges) > _MAX_PIPELINED
        if self.lost or paused == self._reading_paused:
            return
        self._reading_paused = paused
        if paused:
            self.transport.pause_reading()
        elif not self.transport.is_closing():
            self.transport.resume_reading()

    async def write(self, data: bytes) -> None:
        """Write, and wait while the client does not take it. Raises `ConnectionError` when it is gone."""
        if self.lost or self.transport.is_closing():
            raise ConnectionResetError("the client has left")
        self.transport.write(data)
        await self._writable.wait()
        if self.lost:
            raise ConnectionResetError("the client has left")

    def abort(self) -> None:
        """Close with a reset, not in good order."""
        _linger_zero(self.transport)
        self.transport.abort()

    def ended(self, received: Received) -> None:
        """Pass on that an exchange is over."""
        self._ended(received)

    async def stop(self) -> None:
        """End the connection and wait for whatever serves it."""
        self.transport.abort()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _serve(self) -> None:
        """Answer one request after the other."""
        exchange: Exchange | None = None
        try:
            while True:
                await self._arrived.wait()
                exchange = self._exchanges[0]
                try:
                    await self._handler(exchange)
                    await exchange.drain_body()
                    exchange.end(self._loop.time(), Ending.COMPLETE)
                except ConnectionError:
                    exchange.end(self._loop.time(), Ending.CLIENT_LEFT)
                    return
                self._exchanges.popleft()
                if not self._exchanges:
                    self._arrived.clear()
                if not exchange.keep_alive:
                    self.transport.close()
                    return
                self.regulate()
        except Exception as error:
            # A bug of the fake itself: it must be seen, and not look like one of its faults.
            self._loop.call_exception_handler({"message": "the fake model server failed", "exception": error})
        finally:
            for left in self._exchanges:
                left.end(self._loop.time(), Ending.CLIENT_LEFT if self.lost else Ending.CUT)
            if not self.lost:
                self.transport.close()


def _linger_zero(transport: asyncio.Transport) -> None:
    """Make the close a reset: SO_LINGER with a time of zero."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
