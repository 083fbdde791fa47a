"""Connections are kept for a short while and never handed out dead."""

import asyncio
from typing import Any

import pytest

from mirrorgate.shadow.answering import AnswerReader, LegOutcome
from mirrorgate.shadow.connecting import Connection, ConnectionPool

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


@pytest.fixture
async def pool() -> Any:
    pool = ConnectionPool(asyncio.get_running_loop())
    yield pool
    pool.close()
    await asyncio.sleep(0)


async def connected(pool: ConnectionPool, serve: Any, handler: Any) -> Connection:
    async with asyncio.timeout(10):
        return await pool.connect("127.0.0.1", await serve(handler))


async def test_the_connection_used_last_is_handed_out_first(serve: Any, pool: ConnectionPool) -> None:
    """The others grow old and are closed."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.read()

    port = await serve(handler)
    one, two = await pool.connect("127.0.0.1", port), await pool.connect("127.0.0.1", port)
    pool.give(one)
    pool.give(two)
    assert pool.idle == 2
    assert pool.reuse("127.0.0.1", port) is two
    assert pool.reuse("127.0.0.1", port) is one
    assert pool.reuse("127.0.0.1", port) is None
    assert pool.reuse("127.0.0.1", port + 1) is None
    one.abort()
    two.abort()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_a_kept_connection_that_the_server_ends_is_forgotten(
    serve: Any, pool: ConnectionPool, said: bytes
) -> None:
    """A close, or bytes that nobody asked for, takes it out of the pool."""
    end = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await end.wait()
        writer.write(said)
        await writer.drain()
        if said:
            await reader.read()

    connection = await connected(pool, serve, handler)
    closed = asyncio.Event()
    forget = connection._on_closed
    connection._on_closed = lambda gone: (forget(gone), closed.set())  # type: ignore[func-returns-value]
    pool.give(connection)
    end.set()
    async with asyncio.timeout(10):
        await closed.wait()
    assert connection.closed
    assert pool.idle == 0
    assert pool.reuse("127.0.0.1", connection.key[1]) is None


async def test_a_connection_that_is_closed_cannot_begin(serve: Any, pool: ConnectionPool) -> None:
    """The leg hears of it at once."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.read()

    connection = await connected(pool, serve, handler)
    connection.abort()
    reader = AnswerReader("POST")
    async with asyncio.timeout(10):
        await connection.begin(reader, 0.0)
    assert reader.answer.outcome is LegOutcome.RESET
    assert not connection.end()


async def test_too_many_for_one_address_are_closed(serve: Any, pool: ConnectionPool) -> None:
    """A burst leaves a bounded number of idle connections."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.read()

    port = await serve(handler)
    for connection in [await pool.connect("127.0.0.1", port) for _ in range(70)]:
        pool.give(connection)
    assert pool.idle == 64
