"""Clocks that jump: what decides and what measures looks at the monotonic clock, so that the wall clock's steps cut
nothing short, and show in no latency."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.io import FlowReader

from mirrorgate.testing.chaos.crowd import Ended
from mirrorgate.testing.chaos.rig import ChaosRig, chaos_rig
from mirrorgate.testing.processes import PROJECT

PACKAGE = PROJECT / "addons" / "mirrorgate"
DECIDING = (
    *("admission", "comparison", "routing", "scheduling", "inference", "shadow"),
    *("proxy/carrying/clocks.py", "proxy/carrying/flow_control.py", "proxy/downstream/shedding.py"),
    *("proxy/upstream/upstream_side.py", "proxy/upstream/dialing.py"),
    *("exchange.py", "health.py", "director.py", "tries.py"),
)
"""Where timeouts, limits, ejections, budgets and evidence are decided."""
MEASURING = tuple(f"proxy/carrying/{name}.py" for name in ("answering", "carrier", "mirroring", "capturing"))
"""Where an exchange's times are taken. Its start, which is told by the wall clock too, is `client_side`'s."""
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
STEPS = ("-3600", "+86400", "-86400", "+30", "+0")


def test_nothing_that_decides_or_measures_reads_the_wall_clock() -> None:
    """Timestamps are for people to read; intervals are of the monotonic clock, or of a `now` that is given."""
    files = [PACKAGE / name for name in DECIDING + MEASURING]
    modules = [module for each in files for module in (each.rglob("*.py") if each.is_dir() else [each])]
    assert len(modules) > 80
    wall = re.compile(r"\btime\.time(_ns)?\(|datetime\.now\(|from time import[^\n]*\btime\b")
    assert [str(each.relative_to(PACKAGE)) for each in modules if wall.search(each.read_text())] == []


@pytest.mark.chaos
@pytest.mark.e2e
@pytest.mark.asyncio
@pytest.mark.skipif(not FAKETIME, reason="needs libfaketime, Debian's package of that name")
async def test_a_wall_clock_that_steps_under_load(tmp_path: Path, seed: int) -> None:
    """By hours and days, both ways, while answers stream: no latency is negative or longer than the test took."""
    clock, capture = tmp_path / "clock", tmp_path / "capture.flow"
    clock.write_text("+0", encoding="utf-8")
    environment = {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    options = {"gateway_capture": str(capture)}
    began = time.monotonic()
    async with chaos_rig(tmp_path, seed, options=options, environment=environment) as rig:
        slow = {"primary": "trickle=0.001", "candidate": "trickle=0.001"}
        asks = [rig.ask(words=4, stream=number % 2 == 0, faults=slow) for number in range(60)]
        load = asyncio.create_task(rig.tell(*asks, at_once=12))
        steps = 0
        while not load.done():
            clock.write_text(STEPS[steps % len(STEPS)], encoding="utf-8")
            steps += 1
            await asyncio.wait([load], timeout=0.1)
        assert steps > 2 * len(STEPS)
        assert {each.ended for each in await load} == {Ended.WHOLE}
        took = time.monotonic() - began
        found = sorted(_latencies(rig))
        await rig.books.balance()
    flows = list(_flows(capture))
    assert len(flows) >= len(asks)
    assert len({int(flow.request.timestamp_start) // 3600 for flow in flows}) > 2  # the steps were seen
    found += sorted(latency for flow in flows for latency in _latencies_of(flow))
    assert len(found) > 8 * len(asks)
    assert min(found) >= 0
    assert max(found) < took


def _latencies(rig: ChaosRig) -> Iterator[float]:
    """Yield every duration of the access log, in seconds."""
    for line in map(json.loads, rig.books.log.read_text(encoding="utf-8").splitlines()):
        names = ("duration", "response_duration", "response_tx_duration", "ttft", "itl", "queued")
        yield from (line[name] / 1000 for name in names if line[name] is not None)


def _flows(capture: Path) -> Iterator[http.HTTPFlow]:
    with capture.open("rb") as file:
        for flow in FlowReader(file).stream():
            assert isinstance(flow, http.HTTPFlow)
            yield flow


def _latencies_of(flow: http.HTTPFlow) -> Iterator[float]:
    """Yield the times between what a captured flow tells of."""
    kept: dict[str, Any] = flow.metadata["mirrorgate.capture"]
    assert flow.response is not None
    yield kept["head_at"] - kept["upstream_started"]
    yield (flow.request.timestamp_end or 0) - flow.request.timestamp_start
    yield flow.response.timestamp_start - flow.request.timestamp_start
    yield (flow.response.timestamp_end or 0) - flow.response.timestamp_start
    yield from (micros / 1e6 for micros in kept["micros"])
