"""The unruly server's own word, and the port that takes nobody in."""

from __future__ import annotations

import asyncio

import pytest

from mirrorgate.testing.chaos.asks import LEG_HEADER, Ask
from mirrorgate.testing.chaos.crowd import Ended, ask
from mirrorgate.testing.chaos.unruly import FLOOD_PIECE, UnrulyServer, deaf_port
from mirrorgate.testing.clients import Client


async def test_a_leg_meets_its_own_failure_only() -> None:
    """The candidate's failure is nothing to the primary."""
    request = Ask("ask-1", "calm.test", faults={"candidate": "early=500"}).request()
    copy = request.replace(b"\r\n", f"\r\n{LEG_HEADER}: candidate\r\n".encode(), 1)
    async with UnrulyServer() as server:
        for data, status in ((request, 200), (copy, 500)):
            async with await Client.connect(server.port) as client:
                await client.send(data)
                assert (await client.answer("POST")).status == status
        assert server.answered == {("ask-1", "primary"): 1}


async def test_a_flood_has_the_length_that_it_says() -> None:
    """To the byte."""
    async with UnrulyServer() as server, await Client.connect(server.port) as client:
        await client.send(Ask("ask-1", "calm.test", faults={"primary": "flood=2"}).request())
        assert len((await client.answer("POST")).body) == 2 * len(FLOOD_PIECE)


async def test_hanging_up_ends_every_connection() -> None:
    """In good order."""
    async with UnrulyServer() as server, await Client.connect(server.port) as client:
        await client.send(Ask("ask-1", "calm.test").request())
        await client.answer("POST")
        assert server.connections == 1
        server.hang_up()
        assert await client.closed()


async def test_a_deaf_port_takes_nobody_in() -> None:
    """A connection is neither made nor refused."""
    with deaf_port() as port, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_failure_for_each_time() -> None:
    """The first, the second, and the last from there on."""
    question = Ask("ask-1", "calm.test", faults={"primary": "close=0|early=500|"})
    async with UnrulyServer() as server:
        for ended in (Ended.CUT, Ended.REFUSED, Ended.WHOLE, Ended.WHOLE):
            async with await Client.connect(server.port) as client:
                assert (await ask(client, question)).ended is ended


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_dropped(chunked: bool) -> None:
    """After so many of its bytes, whatever its framing; one that is read whole is answered."""
    async with UnrulyServer() as server:
        for fault, ended in (("drop=1000", Ended.CUT), ("", Ended.WHOLE)):
            question = Ask("ask-1", "calm.test", padding=500_000, chunked=chunked, faults={"primary": fault})
            async with await Client.connect(server.port) as client:
                assert (await ask(client, question)).ended is ended
