"""The room of request bodies: bounded over all exchanges, and given back whatever becomes of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.proxy.carrying.bodies import Bodies, Room
from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

SETTINGS = Settings(stream_over=None, bodies_limit=400_000)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 60)), max_size=40))
def test_rooms_never_hold_more_than_all_may(steps: list[tuple[int, int]]) -> None:
    """Each grows on its own, -1 releases; a refusal changes nothing, and at the end nothing is held."""
    bodies = Bodies()
    rooms: list[Room] = [bodies.room() for _ in range(4)]
    for number, size in steps:
        room, before = rooms[number], bodies.held
        if size < 0:
            room.release()
            room.release()
        elif not room.grow(max(size, room.size), 100):
            assert bodies.held == before
        assert bodies.held == sum(each.size for each in rooms) <= 100
    for room in rooms:
        room.release()
    assert bodies.held == 0


async def test_a_body_without_room_is_a_503_and_the_other_goes_on(run: Any) -> None:
    """The second one's bytes are dropped with its connection; the first one's are free when it is answered."""
    running = await run(answering(response_bytes(body=b"ok")), settings=SETTINGS)
    bodies = running.gateway.plane.bodies
    first, second = await running.client(), await running.client()
    length = [("content-length", "310000")]
    await first.send(request_bytes("POST", "/", length), b"x" * 300_000)
    await until(lambda: bodies.held > 230_000)
    await second.send(request_bytes("POST", "/", length), b"x" * 300_000)
    answer = await second.answer()
    assert (answer.status, answer.head.header("connection")) == (503, "close")
    assert (await running.done()).refusal == "buffers_full"
    assert 230_000 < bodies.held <= 310_000
    await first.send(b"x" * 10_000)
    assert (await first.answer()).status == 200
    await until(lambda: not bodies.held)


@pytest.mark.parametrize("leave", ["close", "abort"])
async def test_a_client_that_leaves_gives_its_room_back(run: Any, leave: str) -> None:
    """In the middle of its body."""
    running = await run(answering(response_bytes()), settings=SETTINGS)
    client = await running.client()
    await client.send(request_bytes("POST", "/", [("content-length", "310000")]), b"x" * 300_000)
    bodies = running.gateway.plane.bodies
    await until(lambda: bodies.held)
    if leave == "abort":
        client.abort()
    else:
        await client.close()
    assert (await running.done()).refusal == "client_left"
    assert bodies.held == 0


async def test_an_answer_is_never_buffered_beyond_the_limit(run: Any) -> None:
    """Where bodies do not stream, one that is larger than any may be streams all the same, and arrives whole."""
    body = b"y" * 300_000
    running = await run(answering(response_bytes(body=body)), settings=Settings(stream_over=None, body_limit=100_000))
    client = await running.client()
    assert (await client.request("GET", "/")).body == body
    running = await run(
        answering(response_bytes(body=body, chunked=True)), settings=Settings(stream_over=None, body_limit=100_000)
    )
    client = await running.client()
    assert (await client.request("GET", "/")).body == body
