"""Who has been without a heartbeat for too long, by what the supervisor has seen itself."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.workers.heartbeat import Silences, beat_on
from mirrorgate.workers.rows import Rows, allocate

MOST = 5
"""Looks without a beat that are too many."""


def test_a_heart_that_stands_still_is_told_of_once() -> None:
    """After as many looks as the seconds have; the other worker is not meant."""
    silences = Silences(2, MOST)
    assert silences.look([7, 1]) == []
    told = [silences.look([7, 2 + number]) for number in range(3 * MOST)]
    assert told == [[0] if number == MOST - 1 else [] for number in range(3 * MOST)]


def test_a_heart_that_beats_again_begins_anew() -> None:
    """A stall that ended, and a process that was started again, are not held against a worker."""
    silences = Silences(1, MOST)
    for life in ([3] * MOST, [4] * MOST, [0] * MOST, [4] * MOST):
        assert [hung for count in life for hung in silences.look([count])] == []


def test_who_starts_or_is_dead_does_not_hang() -> None:
    """However long it takes: a count of 0 is no heart yet."""
    silences = Silences(1, MOST)
    assert [silences.look([0]) for _ in range(10 * MOST)] == [[]] * (10 * MOST)


@pytest.mark.parametrize(("seconds", "looks"), [(2.0, 2), (2.5, 3), (30.0, 30)])
def test_seconds_are_looks(seconds: float, looks: int) -> None:
    """One a second; what is left over is rounded up."""
    silences = Silences(1, seconds)
    silences.look([1])
    assert [silences.look([1]) for _ in range(looks)] == [[]] * (looks - 1) + [[0]]


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), max_size=40))
def test_hanging_is_so_many_looks_in_a_row_without_a_beat(turns: list[list[bool]]) -> None:
    """Each worker by itself, whatever the others do; a beat between any two looks, however late they are, is enough."""
    silences = Silences(3, MOST)
    counts = [1, 1, 1]
    assert silences.look(counts) == []
    for at, beaten in enumerate(turns):
        counts = [count + more for count, more in zip(counts, beaten, strict=True)]
        quiet = [[turn[worker] for turn in turns[: at + 1]] for worker in range(3)]
        wanted = [
            worker
            for worker, beats in enumerate(quiet)
            if len(beats) >= MOST and not any(beats[-MOST:]) and (len(beats) == MOST or beats[-MOST - 1])
        ]
        assert silences.look(counts) == wanted


async def test_a_loop_that_turns_beats() -> None:
    """At once, and again; one's own beats, which dying ends."""
    descriptor = allocate(2)
    supervisor, worker = Rows(descriptor, 2, -1), Rows(descriptor, 2, 1)
    assert supervisor.beats() == [0, 0]
    beat_on(worker)
    assert supervisor.beats() == [0, 1]
    async with asyncio.timeout(30):
        while supervisor.beats() == [0, 1]:  # noqa: ASYNC110 - memory tells nobody
            await asyncio.sleep(0.01)
    assert supervisor.beats()[0] == 0
    supervisor.clear(1)
    assert supervisor.beats() == [0, 0]
    os.close(descriptor)
