"""The fastest of the chaos, for every run: every party misbehaves, and after each case the books balance."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mirrorgate.testing.chaos.asks import LEGS
from mirrorgate.testing.chaos.crowd import Ended, Manner
from mirrorgate.testing.chaos.crowd_http2 import Leaving, leave
from mirrorgate.testing.chaos.rig import ChaosRig, chaos_rig

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory, seed: int) -> AsyncIterator[ChaosRig]:
    """One gateway for all."""
    async with chaos_rig(tmp_path_factory.mktemp("smoke"), seed) as started:
        yield started


async def test_calm(rig: ChaosRig) -> None:
    """Without trouble every answer is whole; so the books themselves are right."""
    await rig.tell(*(rig.ask(stream=number % 2 == 0) for number in range(40)))
    await rig.pipeline(*(rig.ask(stream=number % 3 == 0) for number in range(10)))
    await rig.reuse(*(rig.ask() for _ in range(10)))
    await rig.tell_http2(*(rig.ask(stream=number % 2 == 0) for number in range(20)))
    assert rig.books.count(Ended.WHOLE) == 80
    await rig.books.balance()


@pytest.mark.parametrize("leg", LEGS)
async def test_a_leg_that_breaks(rig: ChaosRig, leg: str) -> None:
    """Resets and ends at places drawn by the seed, garbage and broken framing; other legs never notice."""
    faults = [f"{kind}={rig.rng.randrange(900)}" for kind in ("reset", "close") for _ in range(12)]
    faults += ["garbage", "malformed=bad_chunk_size", "malformed=huge_header", "malformed=half_a_head"]
    asks = [rig.ask(stream=rig.rng.random() < 0.5, faults={leg: fault}) for fault in faults]
    told = await rig.tell(*asks)
    if leg != "primary":
        assert {each.ended for each in told} == {Ended.WHOLE}
    await rig.books.balance()


@pytest.mark.parametrize("leg", LEGS)
async def test_a_leg_that_does_not_end(rig: ChaosRig, leg: str) -> None:
    """Silence and trickles are cut by the timeout; nothing is held after it."""
    faults = ["hang=0", "hang=30", "hang=400", "trickle=0.05", "endless", "deaf"]
    asks = [rig.ask("impatient", stream=rig.rng.random() < 0.5, faults={leg: fault}) for fault in faults]
    told = await rig.tell(*asks)
    if leg == "primary":
        assert not {Ended.WHOLE, Ended.LEFT} & {each.ended for each in told}
    await rig.books.balance()


async def test_servers_that_do_not_take_connections(rig: ChaosRig) -> None:
    """A primary that is gone is 503; a candidate that is gone is nobody's trouble."""
    told = await rig.tell(*(rig.ask(route) for route in ("refused", "deaf") for _ in range(5)))
    assert [each.status for each in told] == [503] * 10
    told = await rig.tell(*(rig.ask(route) for route in ("shadow-refused", "shadow-deaf") for _ in range(5)))
    assert {each.ended for each in told} == {Ended.WHOLE}
    await rig.books.balance()


async def test_clients_that_misbehave(rig: ChaosRig) -> None:
    """At every stage of a request, three times."""
    for manner in list(Manner) * 3:
        told = await rig.misbehave(rig.ask(stream=rig.rng.random() < 0.5, padding=rig.rng.randrange(3000)), manner)
        assert told.ended in (Ended.LEFT, Ended.CUT if manner is Manner.HALF_CLOSE else Ended.WHOLE)
    async with await rig.connect_http2() as client:
        rig.books.note(*[await leave(client, rig.ask(stream=True), when, rig.rng) for when in list(Leaving) * 3])
    await rig.books.balance()


async def test_a_crowd_before_a_narrow_breaker(rig: ChaosRig) -> None:
    """Whoever does not fit is refused, every place comes back, and the last one is served."""
    asks = [rig.ask("narrow", stream=number % 2 == 0) for number in range(60)]
    told = await rig.tell(*asks, at_once=30)
    assert {each.status for each in told} <= {200, 503}
    [last] = await rig.tell(rig.ask("narrow"))
    assert last.ended is Ended.WHOLE
    await rig.books.balance()
