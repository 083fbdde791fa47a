"""Long bodies that have to be whole are received where they stay: what comes out is what went in, whatever happens."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

WHOLE = Settings(stream_over=None)
OK = answering(response_bytes(body=b"ok"))


class Bodies:
    """An addon that keeps what it is shown, and when an exchange began to receive in place."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def request(self, flow: http.HTTPFlow) -> None:
        assert flow.request.content is not None
        self.seen.append(flow.request.content)


def upload(body: bytes, *, length: int | None = None) -> bytes:
    return request_bytes("POST", "/", [("content-length", str(len(body) if length is None else length))]) + body


def receiving(running: Any) -> bool:
    """Tell whether some client's body is received in place."""
    return any(
        link.carrier is not None and link.carrier.inbound.receiver is not None
        for link in running.gateway.plane.connections
    )


@pytest.mark.parametrize("size", [100_000, 1_000_000, 5_000_000])
async def test_bodies_arrive_as_they_were_sent(run: Any, size: int) -> None:
    """Two on a connection in any pieces, with a short one behind each, pipelined."""
    addon = Bodies()
    running = await run(OK, addon, settings=WHOLE)
    client = await running.client()
    rng = random.Random(size)
    bodies = [rng.randbytes(size), b"short", rng.randbytes(size + 1), b""]
    stream = b"".join(map(upload, bodies))
    at = 0
    while at < len(stream):
        piece = stream[at : at + rng.choice((1, 1000, 70_000, 200_000, 900_000))]
        await client.send(piece)
        at += len(piece)
    for _ in bodies:
        assert (await client.answer()).body == b"ok"
    assert [request.body for request in running.backend.requests] == bodies
    assert addon.seen == bodies


async def test_memory_is_taken_for_what_has_come(run: Any) -> None:
    """A declared length alone takes none, and of a long body never more than eight times what is there."""
    running = await run(OK, settings=WHOLE)
    room = running.gateway.plane.bodies
    client = await running.client()
    await client.send(upload(b"", length=8_000_000))
    await until(lambda: running.gateway.plane.connections and next(iter(running.gateway.plane.connections)).active)
    assert (room.held, receiving(running)) == (0, False)
    await client.send(b"x" * 100_000)
    await until(lambda: receiving(running))
    assert room.held <= 800_000
    await client.send(b"x" * 1_900_000)
    await until(lambda: room.held > 800_000)
    assert room.held <= 6_400_000
    await client.send(b"x" * 6_000_000)
    assert (await client.answer()).status == 200
    await until(lambda: not room.held)


@pytest.mark.parametrize("leave", ["close", "abort"])
async def test_a_client_that_leaves_inside_its_body(run: Any, leave: str) -> None:
    """Everything is given back, and the upstream hears nothing."""
    running = await run(OK, settings=WHOLE)
    client = await running.client()
    await client.send(upload(b"x" * 400_000, length=1_000_000))
    await until(lambda: receiving(running))
    if leave == "abort":
        client.abort()
    else:
        await client.close()
    assert (await running.done()).refusal == "client_left"
    assert running.gateway.plane.bodies.held == 0
    assert not running.backend.requests


async def test_a_body_that_outgrows_the_room_is_refused(run: Any) -> None:
    """Its client, which goes on sending, still gets the answer."""
    running = await run(OK, settings=Settings(stream_over=None, bodies_limit=1_000_000))
    client = await running.client()
    await client.send(upload(b"", length=4_000_000))
    sending = asyncio.ensure_future(client.send(*[b"x" * 100_000] * 40))
    answer = await client.answer()
    assert (answer.status, answer.head.header("connection")) == (503, "close")
    assert (await running.done()).refusal == "buffers_full"
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert running.gateway.plane.bodies.held == 0


async def test_a_body_that_stops_coming_is_given_up(run: Any) -> None:
    """By the rule's idle limit; what comes later is dropped."""
    running = await run(OK, settings=WHOLE, policy="timeout: {http: {streamIdleTimeout: 300ms}}")
    client = await running.client()
    await client.send(upload(b"x" * 300_000, length=1_000_000))
    await until(lambda: receiving(running))
    answer = await client.answer()
    assert answer.status in (408, 504)
    assert running.gateway.plane.bodies.held == 0
