"""The rounds of a real event loop: what they took, and where it rested."""

from __future__ import annotations

import asyncio
import time

from mirrorgate.proxy.downstream.rounds import Rounds
from mirrorgate.testing.in_loop import until


async def test_work_and_rest_are_told_apart() -> None:
    """A handler that blocks makes a round long; a loop without anything to do rests."""
    told: list[tuple[float, float, float]] = []
    rounds = Rounds(lambda *measured: told.append(measured))
    assert rounds.watch(asyncio.get_running_loop())
    asyncio.get_running_loop().call_later(0.02, time.sleep, 0.05)
    await until(lambda: any(worked >= 0.05 for worked, _, _ in told))
    rounds.leave()
    assert any(rested >= 0.001 for _, rested, _ in told)
    assert all(worked >= 0 and rested >= 0 for worked, rested, _ in told)
    assert [now for _, _, now in told] == sorted(now for _, _, now in told)


async def test_a_round_that_is_asked_to_go_on_at_once_has_no_rest() -> None:
    """The loop looks, and does not wait, while callbacks are due."""
    loop, told = asyncio.get_running_loop(), list[float]()
    rounds = Rounds(lambda worked, rested, now: told.append(rested))
    rounds.watch(loop)
    for _ in range(20):
        await asyncio.sleep(0)
    rounds.leave()
    assert told.count(0.0) >= 20


async def test_short_rounds_are_told_of_when_they_are_asked_for() -> None:
    """Behind a long one, for as long as whoever is told says so."""
    loop, told = asyncio.get_running_loop(), list[float]()

    def take(worked: float, rested: float, now: float) -> bool:
        told.append(worked)
        return len(told) < 3

    rounds = Rounds(take, 0.02)
    rounds.watch(loop)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not told
    time.sleep(0.03)  # noqa: ASYNC251 - a handler that blocks
    for _ in range(20):
        await asyncio.sleep(0)
    rounds.leave()
    assert len(told) == 3
    assert told[0] >= 0.03


async def test_the_loop_is_left_as_it_was() -> None:
    """Nothing is told any more, and another one may watch; leaving twice is harmless."""
    loop, told = asyncio.get_running_loop(), list[float]()
    before = loop._selector.select  # type: ignore[attr-defined]
    rounds = Rounds(lambda worked, rested, now: told.append(now))
    assert rounds.watch(loop)
    assert rounds.watch(loop)
    assert not Rounds(lambda worked, rested, now: None).watch(loop)
    rounds.leave()
    rounds.leave()
    assert loop._selector.select == before  # type: ignore[attr-defined]
    count = len(told)
    await asyncio.sleep(0.01)
    assert len(told) == count
    assert Rounds(lambda worked, rested, now: None).watch(loop)


async def test_the_round_under_way_has_a_beginning() -> None:
    """From which a request knows how long it has waited."""
    rounds = Rounds(lambda worked, rested, now: None)
    rounds.watch(asyncio.get_running_loop())
    await asyncio.sleep(0)
    began = rounds.began
    time.sleep(0.01)  # noqa: ASYNC251 - a handler that blocks
    assert rounds.began == began
    assert time.monotonic() - began >= 0.01
    rounds.leave()


def test_another_kind_of_loop_cannot_be_watched() -> None:
    """It says so, and nothing else happens."""
    assert not Rounds(lambda worked, rested, now: None).watch(asyncio.AbstractEventLoop())
