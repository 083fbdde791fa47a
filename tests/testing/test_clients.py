"""The raw client, against servers of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mirrorgate.testing.clients import Client, WireError, request_bytes

type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """Serve connections with a function, and give the port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def says(*pieces: bytes) -> Serve:
    """Make a server that reads a head, says these bytes and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    return serve


def test_requests_are_framed() -> None:
    """Host, type and length are added where they are missing, and only there."""
    assert request_bytes("GET", "/a") == b"GET /a HTTP/1.1\r\nhost: test\r\n\r\n"
    assert request_bytes("POST", "/", [("Host", "x")], {"a": 1}) == (
        b'POST / HTTP/1.1\r\nHost: x\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{"a": 1}'
    )
    chunked = request_bytes("PUT", "/", chunks=[b"ab", b"c"], trailers=[("t", "1")])
    assert chunked.endswith(b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nt: 1\r\n\r\n")


async def test_informational_answers_chunks_and_trailers_are_kept_apart() -> None:
    """In the order of the wire."""
    wire = (
        b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nsum: 3\r\n\r\n"
    )
    async with serving(says(wire)) as port, await Client.connect(port) as client:
        answer = await client.request("GET", "/")
        assert [head.status for head in answer.informational] == [103]
        assert [chunk.data for chunk in answer.chunks] == [b"ab", b"c"]
        assert answer.trailers == (("sum", "3"),)
        assert await client.closed()


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabXX",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    ],
)
async def test_broken_answers_are_errors(wire: bytes) -> None:
    """Never a short answer that looks whole."""
    async with serving(says(wire)) as port, await Client.connect(port) as client:
        with pytest.raises(WireError):
            await client.request("GET", "/")


async def test_waits_are_bounded() -> None:
    """A server that says nothing is a timeout."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with serving(silent) as port, await Client.connect(port, timeout=0.05) as client:
        with pytest.raises(TimeoutError):
            await client.request("GET", "/")


async def test_half_a_close_and_a_reset_arrive_as_such() -> None:
    """The server reads an end after one, and an error after the other."""
    ends: asyncio.Queue[str] = asyncio.Queue()

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
            writer.write(b"bye")
            await ends.put("end")
        except ConnectionResetError:
            await ends.put("reset")
        writer.close()

    async with serving(listening) as port:
        async with await Client.connect(port) as client:
            client.half_close()
            assert await ends.get() == "end"
            assert await client.read() == b"bye"
        async with await Client.connect(port) as client:
            await client.send(b"hello")
            client.abort()
            assert await ends.get() == "reset"
