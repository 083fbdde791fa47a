"""The pace of what is only counted."""

import asyncio
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.shadow.pacing import Brake, Pace


class Reading:
    """A transport, as far as its reading goes."""

    def __init__(self) -> None:
        self.paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return False


def reading() -> asyncio.Transport:
    return cast(asyncio.Transport, Reading())


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 100, allow_nan=False)), max_size=30),
    st.integers(1, 500),
)
def test_no_more_is_read_than_the_pace_allows(reads: list[tuple[int, float]], rate: int) -> None:
    """Whoever waits as told has read at most one piece more than the time since the first allows."""
    pace, now, total = Pace(rate), 0.0, 0
    for size, pause in reads:
        now += pause
        wait = pace.wait(size, now)
        assert wait >= 0
        total += size
        assert now + wait >= total / rate * (1 - 1e-9)


def test_a_rest_saves_nothing_up() -> None:
    """A long silence is no credit: what follows is slowed as at the beginning."""
    pace = Pace(100)
    assert pace.wait(50, 10.0) == 0.5
    assert pace.wait(50, 1000.0) == 0.5


async def test_a_brake_pauses_and_reads_on() -> None:
    """Reading pauses for the time that the bytes take, and pressing twice is pressing once."""
    loop, transport = asyncio.get_running_loop(), reading()
    brake = Brake(loop, Pace(1e9))
    brake.press(transport, 1000)
    assert brake.on
    assert cast(Reading, transport).paused
    brake.press(transport, 1000)
    resumed = asyncio.Event()
    cast(Reading, transport).resume_reading = resumed.set  # type: ignore[method-assign]
    await resumed.wait()
    assert not brake.on


async def test_a_brake_is_released() -> None:
    """A connection that ends, or serves the next request, is not held back by what is over."""
    loop, transport = asyncio.get_running_loop(), reading()
    brake = Brake(loop, Pace(1))
    brake.press(transport, 1000)
    brake.release(transport)
    assert not brake.on
    assert not cast(Reading, transport).paused
    brake.press(transport, 1000)
    brake.release(None)
    brake.release(None)
    assert not brake.on
