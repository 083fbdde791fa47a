"""A loop that is blocked again and again sheds; a loop that runs does not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from mirrorgate.events import RequestsShed
from mirrorgate.proxy.downstream.shedding import Shedding
from mirrorgate.resources.loading import Document, load
from mirrorgate.snapshot import Snapshot
from mirrorgate.testing.clients import Client
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
        watch = LagWatch(gateway.plane, lags.append)
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
        await until(lambda: active(shedding) == 1)
        assert shedding.mirrors
        await until(lambda: sum(lag > 0.02 for lag in lags) >= 2)
        blocked = False
        await until(lambda: not shedding.control and active(shedding) == 0)
        watch.stop()


def active(shedding: Shedding) -> float:
    """Return the gauge that says whether requests are shed."""
    [value] = [each.value for each in shedding.samples() if each.labels == {"sheds": "requests"}]
    return value


async def test_what_is_refused_is_told_of_while_it_measures(snapshot: Snapshot) -> None:
    """In batches, the last one of them at the end."""
    async with GatewayInLoop(snapshot) as gateway:
        watch = LagWatch(gateway.plane, lambda lag: None)
        watch.configure(1)
        watch.start()
        shedding = gateway.plane.shedding
        assert shedding is not None
        for now in (1.0, 2.0, 3.0):
            shedding.observe(1.0, 0.0, now)
        blocked = True

        def block() -> None:
            shedding.observe(1.0, 0.0, time.monotonic())
            time.sleep(0.001)
            if blocked:
                asyncio.get_running_loop().call_soon(block)

        async with await Client.connect(gateway.port) as client:
            block()
            while (await client.request("GET", "/")).status != 503:
                pass
            await until(lambda: any(isinstance(event, RequestsShed) for event in gateway.events))
            blocked = False
        watch.stop()
        batches = [event for event in gateway.events if isinstance(event, RequestsShed)]
        assert sum(batch.count for batch in batches) >= 1


async def test_a_loop_whose_rounds_cannot_be_seen_is_complained_of(
    snapshot: Snapshot, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is shed then, and everything else goes on."""
    async with GatewayInLoop(snapshot) as gateway:
        first, second = (LagWatch(gateway.plane, lambda lag: None) for _ in range(2))
        for watch in (first, second):
            watch.configure(100)
            watch.start()
        assert "gateway_overload_lag has no effect" in caplog.text
        second.stop()
        first.stop()


async def test_the_limit_changes_while_the_gateway_runs(snapshot: Snapshot) -> None:
    """0 sheds nothing and shows nothing; the same limit again keeps what is known."""
    async with GatewayInLoop(snapshot) as gateway:
        watch = LagWatch(gateway.plane, lambda lag: None)
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
