"""Clients' verdicts: an unruly server without a gateway between, so that what is sent is what is seen."""

from __future__ import annotations

from typing import Any

import pytest

from mirrorgate.testing.backends import Backend, answering, response_bytes
from mirrorgate.testing.chaos.asks import Ask, wire
from mirrorgate.testing.chaos.crowd import Ended, ask, ask_each, pipeline
from mirrorgate.testing.chaos.unruly import UnrulyServer
from mirrorgate.testing.clients import Client


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "ended"),
    [
        ("", Ended.WHOLE),
        ("trickle=0", Ended.WHOLE),
        ("stale=0", Ended.WHOLE),
        ("early=503", Ended.REFUSED),
        ("close=0", Ended.CUT),
        ("close=50", Ended.CUT),
        ("close=300", Ended.CUT),
        ("reset=300", Ended.CUT),
        ("garbage", Ended.CUT),
    ],
)
async def test_what_a_client_tells(server: UnrulyServer, question: Ask, ended: Ended, agreement: Any) -> None:
    """Whole only where the server said so too."""
    async with await Client.connect(server.port) as client:
        agreement.check(await ask(client, question), server, ended)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_answer_of_another_is_wrong(stream: bool) -> None:
    """A body that belongs to another request, and one with a byte too much."""
    question = Ask("ask-1", "calm.test", stream=stream)
    for reply in (wire("ask-2", 12, stream), response_bytes(200, question.answer() + b" ")):
        async with Backend(answering(reply)) as backend, await Client.connect(backend.port) as client:
            assert (await ask(client, question)).ended is Ended.WRONG


async def test_nothing_comes_behind_a_cut(server: UnrulyServer) -> None:
    """A pipeline's answers come in order, until one is cut."""
    asks = [Ask(f"ask-{number}", "calm.test") for number in range(4)]
    asks[2] = Ask("ask-2", "calm.test", faults={"primary": "close=20"})
    async with await Client.connect(server.port) as client:
        told = await pipeline(client, asks)
    assert [each.ended for each in told] == [Ended.WHOLE, Ended.WHOLE, Ended.CUT, Ended.CUT]


async def test_who_is_not_let_in_is_cut_where_that_may_be(server: UnrulyServer) -> None:
    """Each has a connection of its own; elsewhere a connection that comes to nothing is an error of the test's."""
    asks = [Ask(f"ask-{number}", "calm.test") for number in range(4)]
    told = await ask_each(lambda: Client.connect(server.port), asks, 2)
    assert [(each.ask.id, each.ended) for each in told] == [(each.id, Ended.WHOLE) for each in asks]
    assert [each.ended for each in await ask_each(lambda: Client.connect(1), asks[:1], 2, resets=True)] == [Ended.CUT]
    with pytest.raises(ConnectionError):
        await ask_each(lambda: Client.connect(1), asks[:1], 2)
