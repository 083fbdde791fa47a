"""The scraper's HTTP client against real sockets that do the wrong things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mirrorgate.resources.endpoints import Address
from mirrorgate.sources.scrapes import Answer, ScrapeConnection, ScrapeError, TooLarge

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Address]:
    """Serve on a port of the kernel's choice; connections end with the block."""
    writers: set[asyncio.StreamWriter] = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


def answering(*pieces: bytes, then_close: bool = False, log: list[bytes] | None = None) -> Handler:
    """Answer every request with the same bytes, in pieces."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if log is not None:
                log.append(head)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if then_close:
                return

    return handle


async def get(handler: Handler, max_body: int = 1000) -> Answer:
    async with serving(handler) as address, asyncio.timeout(5):
        connection = ScrapeConnection(address, "/metrics", max_body)
        try:
            return await connection.get()
        finally:
            connection.close()


async def test_the_connection_is_kept() -> None:
    """Several requests use one connection, and say who asks for what."""
    log: list[bytes] = []
    connections = 0
    answer = answering(OK, log=log)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answer(reader, writer)

    async with serving(handle) as address, asyncio.timeout(5):
        connection = ScrapeConnection(address, "/metrics?a=b", 100)
        assert [await connection.get() for _ in range(3)] == [Answer(200, b"hi")] * 3
        connection.close()
        assert (connections, len(log)) == (1, 3)
        assert log[0].startswith(b"GET /metrics?a=b HTTP/1.1\r\nhost: %s\r\n" % str(address).encode())


async def test_a_kept_connection_that_was_closed_is_opened_again() -> None:
    """A server that closes between requests costs no failure."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        # The next request arrives before the close: it is lost, and has to be sent again.
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with serving(once) as address, asyncio.timeout(5):
        connection = ScrapeConnection(address, "/", 100)
        assert [(await connection.get()).status for _ in range(4)] == [200] * 4
        connection.close()


async def test_connection_close_is_honoured() -> None:
    """After `connection: close` the next request has a connection of its own."""
    closing = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"
    async with serving(answering(closing, then_close=True)) as address, asyncio.timeout(5):
        connection = ScrapeConnection(address, "/", 100)
        assert [(await connection.get()).body for _ in range(3)] == [b"hi"] * 3
        connection.close()


@pytest.mark.parametrize(
    ("pieces", "close", "answer"),
    [
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab", b"\r\n1\r\nc\r\n0\r\n\r\n"), False, b"abc"),
        ((b"HTTP/1.0 200 OK\r\n\r\nab", b"c"), True, b"abc"),
        ((b"HTTP/1.1 200 OK\r\n\r\n",), True, b""),
        ((b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", OK), False, b"hi"),
        (tuple(OK[i : i + 1] for i in range(len(OK))), False, b"hi"),
        ((OK + b"HTTP/1.1 garbage after it",), False, b"hi"),
    ],
)
async def test_every_framing_is_read(pieces: tuple[bytes, ...], close: bool, answer: bytes) -> None:
    """Chunks, the end of the connection, interim answers, and any cut of the bytes."""
    assert await get(answering(*pieces, then_close=close)) == Answer(200, answer)


@pytest.mark.parametrize("status", [204, 301, 304, 404, 500, 503])
async def test_a_status_is_an_answer(status: int) -> None:
    """No status raises, and no redirect is followed."""
    head = f"HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    assert (await get(answering(head.encode()))).status == status


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ((b"SSH-2.0-OpenSSH_9.6\r\n",), "not HTTP"),
        ((b"\x00" * 100,), "not HTTP"),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",), "not HTTP"),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",), "not HTTP"),
        ((b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",), "switched protocols"),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",), "in the middle"),
        ((b"HTTP/1.1 200 OK\r\ncontent-le",), "in the middle"),
        ((), "before an answer"),
    ],
)
async def test_broken_answers_are_scrape_errors(pieces: tuple[bytes, ...], message: str) -> None:
    """What is not HTTP, and what breaks off, is an error with its reason."""
    with pytest.raises(ScrapeError, match=message):
        await get(answering(*pieces, then_close=True))


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n", b"x" * 1001),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1001),
        (b"HTTP/1.1 200 OK\r\n", *[b"h: " + b"v" * 8000 + b"\r\n"] * 10),
    ],
)
async def test_an_answer_over_the_limit_is_cut(pieces: tuple[bytes, ...]) -> None:
    """A body or a head over its limit ends the connection."""
    with pytest.raises(TooLarge):
        await get(answering(*pieces))


@pytest.mark.parametrize("host", ["bad\x00host", "a" * 300, "\udcff"])
async def test_impossible_hosts_are_scrape_errors(host: str) -> None:
    """A host that cannot be looked up is a failure of the scrape, not of the scraper."""
    with pytest.raises(ScrapeError, match="cannot connect"):
        await ScrapeConnection(Address(host, 1), "/", 10).get()


async def test_a_refused_connection_is_a_scrape_error() -> None:
    """Nobody listens."""
    async with serving(answering(OK)) as address:
        pass
    with pytest.raises(ScrapeError, match="cannot connect"):
        await ScrapeConnection(address, "/", 10).get()


async def test_the_path_cannot_break_out_of_its_line() -> None:
    """What is no visible ASCII is percent-encoded, and a leading slash is added."""
    log: list[bytes] = []
    async with serving(answering(OK, log=log)) as address, asyncio.timeout(5):
        connection = ScrapeConnection(address, "m é\r\nx: y", 100)
        await connection.get()
        connection.close()
    assert log[0].split(b"\r\n")[0] == b"GET /m%20%C3%A9%0D%0Ax:%20y HTTP/1.1"


async def test_a_cancelled_request_closes_its_connection() -> None:
    """After a timeout the late answer cannot be taken for the next one's."""
    asked = asyncio.Event()
    gone = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        gone.set()

    async with serving(hang) as address, asyncio.timeout(5):
        connection = ScrapeConnection(address, "/", 100)
        task = asyncio.ensure_future(connection.get())
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()
