"""Upstreams that break at every byte, flood, race and dribble, on every leg."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mirrorgate.testing.chaos.asks import LEGS, wire
from mirrorgate.testing.chaos.crowd import Ended, Told
from mirrorgate.testing.chaos.rig import ChaosRig, chaos_rig
from mirrorgate.testing.chaos.unruly import FLOOD_PIECE
from mirrorgate.testing.model_server.malformed import MALFORMED

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]

MIB = 1024 * 1024
GIB = 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory, seed: int) -> AsyncIterator[ChaosRig]:
    """One gateway for all."""
    async with chaos_rig(tmp_path_factory.mktemp("wire"), seed) as started:
        yield started


@pytest.mark.parametrize("leg", LEGS)
@pytest.mark.parametrize("kind", ["reset", "close"])
async def test_an_end_at_every_byte_of_an_answer(rig: ChaosRig, leg: str, kind: str) -> None:
    """Of one with its length and of a stream: what the client gets is a beginning of the right answer, or an error."""
    asks = []
    for stream in (False, True):
        length = len(wire(f"ask-{0:06}", 1, stream))
        asks += [rig.ask(words=1, stream=stream, faults={leg: f"{kind}={cut}"}) for cut in range(length + 5)]
    rig.rng.shuffle(asks)
    told = await rig.tell(*asks)
    if leg != "primary":
        assert {each.ended for each in told} == {Ended.WHOLE}
    else:
        assert {each.ended for each in told} >= {Ended.CUT, Ended.REFUSED}
    await rig.books.balance()


@pytest.mark.parametrize("leg", LEGS)
async def test_every_malformed_answer(rig: ChaosRig, leg: str) -> None:
    """A megabyte of headers among them."""
    asks = [rig.ask(faults={leg: f"malformed={variant}"}) for variant in MALFORMED for _ in range(4)]
    if leg == "primary":
        asks = [each for each in asks if "second_answer" not in each.faults[leg]]
        for question in asks:
            async with await rig.gateway.connect() as client:
                await client.send(question.request())
                try:
                    head = await client.head()
                    rig.books.note(Told(question, Ended.CUT, head.status))
                except Exception:
                    rig.books.note(Told(question, Ended.CUT))
    else:
        assert {each.ended for each in await rig.tell(*asks)} == {Ended.WHOLE}
    await rig.books.balance()


async def test_a_gigabyte_for_a_client(rig: ChaosRig) -> None:
    """It streams through: the gateway never holds more than a little of it."""
    before = rig.peak()
    question = rig.ask(faults={"primary": f"flood={GIB}"})
    async with await rig.gateway.connect() as client:
        await client.send(question.request())
        head = await client.head()
        left = int(head.header("content-length") or 0)
        assert left == GIB * len(FLOOD_PIECE)
        while left and (piece := await client.read(MIB)):
            left -= len(piece)
    rig.books.note(Told(question, Ended.WHOLE if not left else Ended.WRONG, head.status))
    await rig.books.balance()
    assert rig.peak() < before + 64


@pytest.mark.parametrize("leg", ["candidate", "control"])
async def test_a_gigabyte_from_the_shadow(rig: ChaosRig, leg: str) -> None:
    """Production's answers are whole, and nobody keeps the flood."""
    told = await rig.tell(*(rig.ask(faults={leg: f"flood={GIB}"}) for _ in range(3)))
    assert {each.ended for each in told} == {Ended.WHOLE}
    await rig.books.balance(memory=64)


async def test_clients_that_never_read(rig: ChaosRig) -> None:
    """Twenty floods that nobody takes: the servers are slowed down, and memory is not what holds them."""
    before = rig.peak()
    clients = []
    for _ in range(20):
        client = await rig.gateway.connect(receive_buffer=4096)
        question = rig.ask(faults={"primary": "flood=64"})
        client.stop_reading()
        await client.send(question.request())
        rig.books.note(Told(question, Ended.LEFT))
        clients.append(client)
    assert (await rig.tell(rig.ask()))[0].ended is Ended.WHOLE
    await asyncio.sleep(2)
    for client in clients:
        client.abort()
    await rig.books.balance(memory=64)
    assert rig.peak() < before + 128


async def test_kept_connections_that_end_under_the_next_request(rig: ChaosRig) -> None:
    """The race of keep-alive: an answer is whole or a clean error, never another's, and no server sees one twice."""
    asks = [rig.ask(stream=rig.rng.random() < 0.3) for _ in range(600)]
    asks = [
        each if rig.rng.random() < 0.5 else rig.ask(faults={"primary": f"stale={rig.rng.random() * 0.01:.4f}"})
        for each in asks
    ]
    await asyncio.gather(*(rig.reuse(*asks[at::8]) for at in range(8)))
    assert rig.books.count(Ended.WHOLE) > 300
    await rig.books.balance()


@pytest.mark.parametrize("leg", LEGS)
async def test_a_byte_at_a_time(rig: ChaosRig, leg: str) -> None:
    """Slow is not broken: the answer is whole."""
    asks = [rig.ask(words=2, stream=number % 2 == 0, faults={leg: "trickle=0.01"}) for number in range(6)]
    assert {each.ended for each in await rig.tell(*asks)} == {Ended.WHOLE}
    await rig.books.balance()
