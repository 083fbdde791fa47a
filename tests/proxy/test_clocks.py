"""Timers of an exchange, by themselves; what they cut is tested through the proxy (`test_carrying`)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from mirrorgate.errors import Refusal
from mirrorgate.plans import Effective
from mirrorgate.proxy.clocks import Clocks
from mirrorgate.testing.in_loop import until


class Held:
    """What clocks see of an exchange."""

    def __init__(self, **timeouts: float) -> None:
        self.plan: Any = SimpleNamespace(timeouts=Effective(**timeouts))
        self.hooks = SimpleNamespace(busy=False)
        self.connection = SimpleNamespace(unsent=0)
        self.cut: list[Refusal] = []

    def timed_out(self, refusal: Refusal) -> None:
        """Take note."""
        self.cut.append(refusal)


async def test_each_clock_names_its_reason() -> None:
    """Once."""
    held = Held(request=0.01)
    clocks = Clocks(held)  # type: ignore[arg-type]
    clocks.start_request()
    clocks.start_request()
    clocks.start_duration(0.02)
    clocks.start_idle(0.03)
    await until(lambda: len(held.cut) == 3)
    assert held.cut == [Refusal.REQUEST_TIMEOUT, Refusal.MAX_DURATION, Refusal.STREAM_IDLE]


async def test_zero_switches_a_clock_off() -> None:
    """And stopped ones do not ring."""
    held = Held(request=0)
    clocks = Clocks(held)  # type: ignore[arg-type]
    clocks.start_request()
    clocks.start_duration(0)
    clocks.start_idle(0)
    assert not clocks._timers
    clocks.start_duration(0.01)
    clocks.start_idle(0.01)
    clocks.stop("idle")
    clocks.stop()
    assert not clocks._timers
    await asyncio.sleep(0.03)  # longer than both: that they are silent is what is tested
    assert held.cut == []


async def test_a_client_that_reads_is_not_idle() -> None:
    """What waits for it becomes less."""
    held = Held()
    clocks = Clocks(held)  # type: ignore[arg-type]
    held.connection.unsent = 100
    clocks.start_idle(0.02)
    for left in (80, 60, 40):
        await asyncio.sleep(0.015)  # under the limit: the pace of the reader is what is tested
        held.connection.unsent = left
    assert held.cut == []
    await until(lambda: held.cut == [Refusal.STREAM_IDLE])


async def test_nobody_is_cut_while_an_addon_is_at_work() -> None:
    """The time is the addon's."""
    held = Held()
    held.hooks.busy = True
    clocks = Clocks(held)  # type: ignore[arg-type]
    clocks.start_idle(0.01)
    clocks.start_duration(0.01)
    await asyncio.sleep(0.05)  # five times the limits: this is what is tested
    assert held.cut == []
    assert set(clocks._timers) == {"idle", "duration"}
    held.hooks.busy = False
    await until(lambda: Refusal.STREAM_IDLE in held.cut)
    clocks.stop()
