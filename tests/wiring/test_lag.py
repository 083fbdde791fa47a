"""A loop that is blocked again and again sheds; a loop that runs does not."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from mirrorgate.proxy.shedding import Shedding
from mirrorgate.resources.loading import Document, load
from mirrorgate.snapshot import Snapshot
from mirrorgate.testing.in_loop import GatewayInLoop, until
from mirrorgate.wiring.lag import LagWatch

QUICKSTART = Path(__file__).resolve().parents[2] / "config" / "quickstart" / "mirrorgate.yaml"


@pytest.fixture
def snapshot() -> Snapshot:
    """The quickstart's."""
    return Snapshot.of(load([Document("quickstart", QUICKSTART.read_text("utf-8"))]).inventory, 1)


async def test_a_blocked_loop_sheds_until_it_runs_again(snapshot: Snapshot) -> None:
    """Every lag is told of, and the plane asks what is shed."""
    lags: list[float] = []
    async with GatewayInLoop(snapshot) as gateway:
        watch = LagWatch(gateway.plane, lags.append, random.Random(1))
        watch.configure(20)
        watch.start()
        shedding = gateway.plane.shedding
        assert shedding is not None
        blocked = True

        def block() -> None:
            if blocked:
                time.sleep(0.06)  # what a handler does that waits without `await`
                asyncio.get_running_loop().call_soon(block)

        block()
        await until(lambda: shedding.mirrors and shedding.refuses())
        blocked = False
        await until(lambda: not shedding.control and not shedding.refuses())
        watch.stop()
    assert sum(lag > 0.02 for lag in lags) >= 3


async def test_the_limit_changes_while_the_gateway_runs(snapshot: Snapshot) -> None:
    """0 sheds nothing and shows nothing; the same limit again keeps what is known."""
    async with GatewayInLoop(snapshot) as gateway:
        watch = LagWatch(gateway.plane, lambda lag: None, random.Random(1))
        watch.configure(0)
        assert gateway.plane.shedding is None
        assert [sample.name for sample in watch.samples()] == ["mirrorgate_event_loop_lag_max_seconds"]
        watch.configure(50)
        first = gateway.plane.shedding
        assert isinstance(first, Shedding)
        watch.configure(50)
        assert gateway.plane.shedding is first
        watch.configure(0)
        assert gateway.plane.shedding is None
