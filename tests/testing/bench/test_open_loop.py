"""Clients that send at a rate, before a real server."""

from __future__ import annotations

import asyncio

import pytest

from mirrorgate.testing.backends import Backend, answering, response_bytes
from mirrorgate.testing.bench.open_loop import OpenLoop

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status"), [(response_bytes(body=b"ok"), 200), (response_bytes(503, body=b"no"), 503), (CHUNKED, 200)]
)
async def test_every_request_has_its_answer(answer: bytes, status: int) -> None:
    """With its status and time, over connections that are kept."""
    async with Backend(answering(answer)) as backend:
        clients = OpenLoop(backend.port, REQUEST, connections=4)
        await clients.connect(2)
        seen = await clients.stretch(500.0, 0.2)
        await clients.settle()
        await clients.close()
    assert seen.sent > 0
    assert len(seen.answers) == seen.sent
    assert {each.status for each in seen.answers} == {status}
    assert all(each.took > 0 for each in seen.answers)
    assert seen.broken == 0


async def test_a_rate_is_kept_whatever_comes_back() -> None:
    """Requests wait for a connection; their time counts from when they were due."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    async with Backend(never) as backend:
        clients = OpenLoop(backend.port, REQUEST, connections=2)
        seen = await clients.stretch(1000.0, 0.1)
        await clients.close()
    assert seen.sent > 50
    assert seen.answers == []
    assert seen.unanswered >= seen.sent - 2, "those that are being connected are neither"


async def test_clients_that_wait_send_the_next_request_behind_an_answer() -> None:
    """No more are under way than there are clients."""
    async with Backend(answering(response_bytes(body=b"ok"))) as backend:
        clients = OpenLoop(backend.port, REQUEST, connections=8)
        seen = await clients.closed(3, 0.1)
        await clients.settle()
        await clients.close()
        assert len(backend.requests) == len(seen.answers) > 3
