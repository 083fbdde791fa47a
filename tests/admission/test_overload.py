"""What is shed when the event loop is behind, and when it ends."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.overload import Overload, Shed

ROUNDS = st.lists(st.tuples(st.floats(0, 0.5), st.sampled_from((0.0, 0.0, 0.001, 0.02))), max_size=60)


class Loop:
    """An event loop in numbers: it tells a decision of its rounds. The interval is 0.1 s, a round in time 4 ms."""

    def __init__(self) -> None:
        self.overload = Overload(0.1)
        self.now = 1000.0

    def round(self, worked: float, rested: float = 0.0) -> bool:
        """Work, and rest behind it."""
        self.now += worked + rested
        return self.overload.round(worked, rested, self.now)

    def busy(self, seconds: float, each: float = 0.01) -> Loop:
        """Work for so long without a rest, behind a round that is late as well."""
        until = self.now + each + seconds
        while self.now < until - 1e-9:
            self.round(each)
        return self


@pytest.mark.parametrize(
    ("seconds", "shed"),
    [
        (0.02, Shed.NOTHING),
        (0.03, Shed.CONTROL),
        (0.05, Shed.CONTROL),
        (0.06, Shed.MIRRORS),
        (0.1, Shed.MIRRORS),
        (0.11, Shed.REQUESTS),
    ],
)
def test_the_order_is_control_mirrors_requests(seconds: float, shed: Shed) -> None:
    """Behind for more than a quarter, a half and the whole of the interval."""
    assert Loop().busy(seconds).overload.shed is shed


def test_one_stall_sheds_nothing() -> None:
    """However long it is, where what it left waiting is worked off within an interval."""
    loop = Loop()
    assert not loop.round(60.0)
    for worked in (0.02, 0.01, 0.01):
        loop.round(worked)
    assert loop.overload.shed is Shed.CONTROL
    assert not loop.overload.refuses(60.0, 0.1)
    loop.round(0.002)
    loop.round(0.001, rested=0.2)
    assert loop.overload.shed is Shed.NOTHING
    assert not loop.overload.refuses(60.0, 60.0)


def test_a_queue_that_stays_sheds() -> None:
    """Also behind a stall."""
    loop = Loop()
    loop.round(60.0)
    loop.round(0.06)
    loop.round(0.06)
    assert loop.overload.shed is Shed.REQUESTS


def test_short_rounds_are_no_queue() -> None:
    """A loop may be full: nobody waits for more than a round."""
    assert Loop().busy(10.0, each=0.004).overload.shed is Shed.NOTHING


def test_long_rounds_with_rests_are_no_queue() -> None:
    """Servers that write the tokens of all streams at once make long rounds, and pauses."""
    loop = Loop()
    for _ in range(1000):
        loop.round(0.015, rested=0.005)
    assert loop.overload.shed is Shed.NOTHING


def test_the_front_of_a_round_is_served() -> None:
    """What comes up within the CPU time that a round may take; by the clock it may be four times as long."""
    overload = Loop().busy(0.2).overload
    assert not overload.refuses(0.0, 0.0)
    assert not overload.refuses(0.004, 0.004)
    assert overload.refuses(0.0041, 0.0041)
    assert not overload.refuses(0.016, 0.003)
    assert overload.refuses(0.017, 0.003)


def test_before_it_a_round_may_have_the_work_of_an_interval() -> None:
    """Behind one that was late; the first late one of all is served whole, as is any that is only slow."""
    overload = Loop().overload
    assert not overload.wary
    assert not overload.refuses(60.0, 60.0)
    overload = Loop().busy(0.05).overload
    assert overload.wary
    assert not overload.refuses(60.0, 0.1)
    assert overload.refuses(0.11, 0.11)


def test_an_overload_that_has_just_ended_comes_back_at_once() -> None:
    """With one round that is much too long; later it takes an interval again."""
    loop = Loop().busy(0.2)
    for _ in range(20):
        loop.round(0.001, rested=0.02)
    assert loop.overload.shed is Shed.NOTHING
    loop.round(0.05)
    assert loop.overload.shed is Shed.NOTHING
    loop.round(0.06)
    assert loop.overload.shed is Shed.REQUESTS
    for _ in range(200):
        loop.round(0.001, rested=0.02)
    loop.round(0.06)
    assert loop.overload.shed is Shed.NOTHING


def test_it_lasts_while_there_is_no_rest() -> None:
    """Rounds are short then because requests are refused."""
    loop = Loop().busy(0.2)
    loop.busy(1.0, each=0.003)
    assert loop.overload.shed is Shed.REQUESTS
    for _ in range(100):
        loop.round(0.003, rested=0.0004)
    assert loop.overload.shed is Shed.NOTHING


@given(ROUNDS)
def test_it_is_over_within_two_intervals_of_a_loop_with_time(rounds: list[tuple[float, float]]) -> None:
    """Whatever was before."""
    loop = Loop()
    for worked, rested in rounds:
        loop.round(worked, rested)
    for _ in range(9):
        loop.round(0.001, rested=0.025)
    assert loop.overload.shed is Shed.NOTHING
    assert not loop.overload.sheds
    assert loop.overload.standing == 0


@given(ROUNDS)
def test_each_change_is_told(rounds: list[tuple[float, float]]) -> None:
    """And requests are refused exactly while they are shed."""
    loop = Loop()
    for worked, rested in rounds:
        before = loop.overload.shed
        assert loop.round(worked, rested) == (loop.overload.shed is not before)
        assert loop.overload.sheds == (loop.overload.shed is Shed.REQUESTS)
        assert loop.overload.refuses(0.05, 0.05) == loop.overload.sheds
        assert loop.overload.refuses(1.0, 1.0) == loop.overload.wary
        assert 0 <= loop.overload.standing <= loop.now


def test_copies_are_shed_for_an_interval_more() -> None:
    """At the edge they would come and go with every round."""
    loop = Loop().busy(0.06)
    loop.round(0.001, rested=0.05)
    assert loop.overload.shed is Shed.MIRRORS
    loop.round(0.001, rested=0.06)
    assert loop.overload.shed is Shed.NOTHING


@given(st.floats(1.2, 5), st.integers(0, 1000))
def test_what_is_admitted_goes_on_in_time_and_fills_the_loop(demand: float, seed: int) -> None:
    """Of a loop that is asked *demand* times what it can do, where a refusal costs a tenth of a request."""
    loop, rng, cost, refusal = Loop(), random.Random(seed), 0.0003, 0.00003
    arriving, longest, served, began = 0.0, 0.0, 0, 0.0
    for number in range(2000):
        worked = 0.0
        for _ in range(int(arriving)):
            if loop.overload.refuses(worked, worked):
                worked += refusal
            else:
                worked += cost
                served += number >= 1000
        worked = max(worked, 0.00005)
        loop.round(worked)
        arriving = arriving % 1 + demand / cost * worked * rng.uniform(0.8, 1.2)
        if number == 1000:
            began = loop.now
        if number >= 1000:
            longest = max(longest, worked)
    assert longest < 0.004 / (1 - demand * 0.1 * 1.2) + 0.001
    assert served * cost > 0.8 * (1 - demand * 0.1) * (loop.now - began)


def test_an_interval_is_more_than_nothing() -> None:
    """0 means in the options that nothing is shed, and no decision is made."""
    with pytest.raises(ValueError, match="more than 0"):
        Overload(0)
