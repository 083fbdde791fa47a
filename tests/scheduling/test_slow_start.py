"""New endpoints get their share little by little."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.scheduling.slow_start import LEAST_WEIGHT, SlowStart


@dataclass(frozen=True)
class View:
    key: str


OLD = [View("a"), View("b"), View("c")]
NEW = View("new")


def warming() -> SlowStart:
    """Return a slow start of 10 s with three old endpoints and one that came at second 100."""
    slow = SlowStart(10.0)
    slow.retain("abc", 0.0)
    slow.retain(["a", "b", "c", "new"], 100.0)
    return slow


@pytest.mark.parametrize(
    ("now", "weight"), [(100.0, 0.1), (100.5, 0.1), (102.0, 0.2), (105.0, 0.5), (109.9, 0.99), (110.0, 1.0)]
)
def test_the_weight_rises_with_time(now: float, weight: float) -> None:
    """From a tenth to the whole over the window; those that were there from the start have all of it."""
    slow = warming()
    assert slow.weight("new", now) == pytest.approx(weight)
    assert slow.weight("a", now) == 1.0


@pytest.mark.parametrize(("now", "share"), [(100.0, 0.1), (105.0, 0.5), (110.0, 1.0)])
def test_it_takes_part_in_that_share_of_the_picks(now: float, share: float) -> None:
    """Of ten thousand; the others take part in all."""
    slow, rng = warming(), random.Random(7)
    picks = [slow.candidates([*OLD, NEW], now, rng) for _ in range(10_000)]
    assert sum(NEW in pick for pick in picks) / len(picks) == pytest.approx(share, abs=0.02)
    assert all(set(OLD) <= set(pick) for pick in picks)


def test_one_that_is_back_begins_anew_and_one_that_left_is_forgotten() -> None:
    """A stranger does not begin."""
    slow = warming()
    slow.begin("a", 200.0)
    slow.begin("nobody", 200.0)
    assert slow.weight("a", 200.0) == LEAST_WEIGHT
    assert slow.weight("nobody", 200.0) == 1.0
    slow.retain(["b", "new"], 201.0)
    slow.retain(["a", "b", "new"], 202.0)
    assert slow.weight("a", 203.0) == LEAST_WEIGHT


@given(st.lists(st.sampled_from(["a", "b", "c", "new"]), unique=True), st.floats(90, 120), st.integers())
def test_somebody_is_always_left(keys: list[str], now: float, seed: int) -> None:
    """In the order in which they came; where all are equally new, all of them."""
    slow = warming()
    views = [View(key) for key in keys]
    left = slow.candidates(views, max(now, 100.0), random.Random(seed))
    assert bool(left) == bool(views)
    assert [view for view in views if view in left] == list(left)
    if keys == ["new"]:
        assert left == views
