"""Work in the background: what fails is told of, what is cancelled is not."""

from __future__ import annotations

import asyncio

import pytest

from mirrorgate.wiring.background import Background


async def test_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With what was raised."""

    async def fails() -> None:
        raise ZeroDivisionError("by hand")

    task = Background().spawn(fails())
    await asyncio.wait([task])
    await asyncio.sleep(0)
    [record] = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_an_end_and_a_cancellation_are_not(caplog: pytest.LogCaptureFixture) -> None:
    """They are what was wanted."""
    background = Background()
    ends, waits = background.spawn(asyncio.sleep(0)), background.spawn(asyncio.sleep(60))
    await ends
    waits.cancel()
    await asyncio.wait([waits])
    await asyncio.sleep(0)
    assert caplog.records == []
