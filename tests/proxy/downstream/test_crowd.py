"""Connections that wait behind the first one: let in together, or turned away where there is too much to do."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import connection

from mirrorgate.admission.overload import Overload
from mirrorgate.proxy.downstream.shedding import Shedding
from mirrorgate.testing.backends import answering, response_bytes

OK = answering(response_bytes(body=b"ok"))
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture
def crowd() -> Iterator[Any]:
    """Connects several clients before the event loop can accept one, each with its request."""
    sockets: list[socket.socket] = []

    def make(port: int, count: int, data: bytes = GET) -> list[socket.socket]:
        for _ in range(count):
            sockets.append(socket.create_connection(("127.0.0.1", port)))
            sockets[-1].sendall(data)
            sockets[-1].setblocking(False)
        return sockets

    yield make
    for each in sockets:
        each.close()


async def answer(client: socket.socket, *, whole: bool = False) -> bytes:
    """Read what comes first, or (`whole`) all until the end."""
    loop, got = asyncio.get_running_loop(), b""
    async with asyncio.timeout(30):
        while piece := await loop.sock_recv(client, 65536):
            got += piece
            if not whole:
                break
    return got


def shedding_of(running: Any, interval: float) -> None:
    """Let the gateway refuse: requests that come up later in their round than a 25th of the interval."""
    shedding = running.gateway.plane.shedding = Shedding(running.gateway.plane, Overload(interval))
    for now in (1.0, 2.0 + interval, 3.0 + 2 * interval):
        shedding.observe(interval, 0.0, now)
    assert shedding.requests


async def test_a_crowd_comes_in_at_once(run: Any, crowd: Any) -> None:
    """With the first of it, not one in each round of the loop."""
    running = await run(OK)
    clients = crowd(running.gateway.port, 40)
    plane, rounds = running.gateway.plane, 0
    while len(plane.connections) < 40:
        rounds += 1
        await asyncio.sleep(0)
    assert rounds < 20
    assert all([(await answer(client)).endswith(b"ok") for client in clients])
    assert plane.door.refused == {"total": 0, "address": 0, "overload": 0}


async def test_in_a_round_that_is_late_none_but_the_first_is_let_in(run: Any, crowd: Any) -> None:
    """asyncio has accepted that one. The others are told when to come again, and closed."""
    running = await run(OK)
    shedding_of(running, 1e-9)
    clients = crowd(running.gateway.port, 6)
    assert (await answer(clients[0])).endswith(b"ok")
    for client in clients[1:]:
        head, _, body = (await answer(client, whole=True)).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
        assert {b"retry-after: 1", b"content-length: 0", b"connection: close"} < set(lines)
        assert body == b""
    assert running.gateway.plane.door.refused["overload"] == 5


async def test_a_few_are_let_in_while_there_is_time(run: Any, crowd: Any) -> None:
    """The first request of each is the work of the next round."""
    running = await run(OK)
    shedding_of(running, 10_000.0)
    clients = crowd(running.gateway.port, 30)
    plane = running.gateway.plane
    answers = [await answer(client) for client in clients]
    assert sum(each.endswith(b"ok") for each in answers) == 30 - plane.door.refused["overload"]
    assert plane.door.refused["overload"] >= 30 - 2 * 9


@pytest.mark.parametrize("data", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PRI"])
async def test_who_does_not_understand_it_gets_no_answer(run: Any, crowd: Any, data: bytes) -> None:
    """HTTP/2 has another way to say it, which costs what turning away is to save."""
    running = await run(OK)
    shedding_of(running, 1e-9)
    clients = crowd(running.gateway.port, 2, data)
    assert await answer(clients[1], whole=True) == b""


async def test_who_has_not_sent_anything_is_answered_too(run: Any, crowd: Any) -> None:
    """A request that comes later finds the answer."""
    running = await run(OK)
    shedding_of(running, 1e-9)
    clients = crowd(running.gateway.port, 2, b"")
    assert (await answer(clients[1], whole=True)).startswith(b"HTTP/1.1 503 ")


async def test_one_that_was_reset_before_it_was_accepted_is_nobody(run: Any, crowd: Any) -> None:
    """It has no address any more: no addon hears of one without, and those behind it are served."""

    class Heard:
        def __init__(self) -> None:
            self.addresses: list[str] = []

        def client_connected(self, client: connection.Client) -> None:
            self.addresses.append(client.peername[0])

    heard = Heard()
    running = await run(OK, heard)
    clients = crowd(running.gateway.port, 5)
    for each in clients[:4]:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.close()
    assert (await answer(clients[4])).startswith(b"HTTP/1.1 200 ")
    assert set(heard.addresses) == {"127.0.0.1"}
    clients[4].close()
    await running.gateway.settled()
    assert not running.gateway.plane.door.open
