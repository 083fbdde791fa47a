"""The lag of the event loop."""

from __future__ import annotations

import asyncio
import time

from mirrorgate.telemetry.loop_lag import LoopLag


def test_a_stall_is_seen() -> None:
    """A handler that blocks the loop for 50 ms shows as a lag of nearly that."""
    lags: list[float] = []

    async def run() -> None:
        seen = asyncio.Event()

        def observe(seconds: float) -> None:
            lags.append(seconds)
            if seconds > 0.03:
                seen.set()

        lag = LoopLag(observe, interval=0.001)
        lag.start()
        lag.start()
        asyncio.get_running_loop().call_later(0.005, _block, 0.05)
        await asyncio.wait_for(seen.wait(), 5)
        (sample,) = lag.samples()
        assert sample.value >= 0.03
        (again,) = lag.samples()
        assert again.value >= 0.03, "a second scraper sees it too"
        lag.stop()
        lag.stop()
        count = len(lags)
        await asyncio.sleep(0.01)
        assert len(lags) == count

    asyncio.run(run())
    assert all(value >= 0 for value in lags)


def _block(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
