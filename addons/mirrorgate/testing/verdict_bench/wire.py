"""Requests to model servers, with or without sockets: bytes and times of an answer, as a shadow leg has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...shadow.answering import Answer, AnswerReader
from ..model_server.server import FakeModelServer

__all__ = ["ask", "ask_over_tcp", "request_bytes"]


def request_bytes(path: str, body: bytes) -> bytes:
    """Write a request whose connection ends with its answer."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: model\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


async def ask(server: FakeModelServer, request: bytes) -> Answer:
    """Send a request on a connection of its own and return the answer, whole or not, on the event loop's clock."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    reader = AnswerReader("POST")
    ended: asyncio.Future[None] = loop.create_future()

    def written(data: bytes) -> None:
        reader.feed(data, loop.time() - began)

    def closed() -> None:
        reader.eof(loop.time() - began)
        if not ended.done():
            ended.set_result(None)

    protocol = server.protocol()
    transport = _Memory(protocol, written, closed)
    protocol.connection_made(transport)
    protocol.data_received(request)
    await ended
    return reader.answer


async def ask_over_tcp(host: str, port: int, request: bytes) -> Answer:
    """Send a request over a socket and return the answer, whole or not. Raises `OSError` when nothing listens."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    reader = AnswerReader("POST")
    incoming, outgoing = await asyncio.open_connection(host, port)
    try:
        outgoing.write(request)
        await outgoing.drain()
        reader.answer.sent = loop.time() - began
        while not reader.done and (data := await incoming.read(65536)):
            reader.feed(data, loop.time() - began)
        reader.eof(loop.time() - began)
    finally:
        outgoing.close()
    return reader.answer


class _Memory(asyncio.Transport):
    """The server's end of a connection in memory."""

    def __init__(
        self, protocol: asyncio.Protocol, written: Callable[[bytes], None], closed: Callable[[], None]
    ) -> None:
        super().__init__({"peername": ("127.0.0.1", 0)})
        self._protocol = protocol
        self._written = written
        self._closed = closed
        self._closing = False

    def write(self, data: Any) -> None:
        if not self._closing:
            self._written(bytes(data))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._lost)

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return

    def _lost(self) -> None:
        self._protocol.connection_lost(None)
        self._closed()
