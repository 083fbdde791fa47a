"""What is shed when the event loop is late, and when it ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.overload import Overload, Shed

LAGS = st.lists(st.floats(0, 2, allow_nan=False), max_size=40)


def late(lag: float, times: int = 3) -> Overload:
    """Return a decision with a limit of 0.1 s that has seen the same lag several times."""
    overload = Overload(0.1)
    for _ in range(times):
        overload.observe(lag)
    return overload


@pytest.mark.parametrize(
    ("lag", "shed"),
    [
        (0.0, Shed.NOTHING),
        (0.025, Shed.NOTHING),
        (0.026, Shed.CONTROL),
        (0.051, Shed.MIRRORS),
        (0.1, Shed.MIRRORS),
        (0.101, Shed.REQUESTS),
    ],
)
def test_the_order_is_control_mirrors_requests(lag: float, shed: Shed) -> None:
    """At a quarter, a half and the whole of the limit."""
    assert late(lag).shed is shed


def test_one_stall_sheds_nothing() -> None:
    """However long it is."""
    overload = late(0.0)
    assert not overload.observe(60.0)
    assert not overload.observe(60.0)
    assert overload.shed is Shed.NOTHING
    assert overload.observe(60.0), "the third in a row is no stall"
    assert overload.shed is Shed.REQUESTS


def test_too_few_measurements_say_nothing() -> None:
    """A process that has just started is late by its imports."""
    assert late(5.0, times=2).shed is Shed.NOTHING


@given(LAGS)
def test_it_is_over_within_half_a_second_in_time(lags: list[float]) -> None:
    """Twenty measurements, which are made every 25 ms, whatever was before."""
    overload = Overload(0.1)
    for lag in lags:
        overload.observe(lag)
    overload.observe(0.0)
    assert overload.shed in (Shed.NOTHING, Shed.REQUESTS), "copies go on at once"
    for _ in range(19):
        overload.observe(0.0)
    assert overload.shed is Shed.NOTHING
    assert not overload.refuses(0.999, 5.0)


def test_copies_are_shed_until_half_of_what_began_it() -> None:
    """At the edge they would come and go with every measurement."""
    overload = late(0.06)
    overload.observe(0.03)
    assert overload.shed is Shed.MIRRORS
    overload.observe(0.02)
    assert overload.shed is Shed.CONTROL
    overload.observe(0.012)
    assert overload.shed is Shed.NOTHING


@given(LAGS)
def test_the_share_belongs_to_requests(lags: list[float]) -> None:
    """A share is within 0 and 1, above 0 exactly while requests are shed, and never all of them."""
    overload = Overload(0.1)
    for lag in lags:
        before = overload.shed
        assert overload.observe(lag) == (overload.shed is not before)
        assert 0 <= overload.share < 1
        assert (overload.share > 0) == (overload.shed is Shed.REQUESTS)
        assert not overload.refuses(0.0, 0.0)


@given(LAGS, st.floats(0, 2), st.floats(0, 2))
def test_more_lag_sheds_no_less(lags: list[float], one: float, other: float) -> None:
    """Whatever was before, a later round of the loop never admits more than an earlier one would."""
    shares = []
    for last in sorted((one, other)):
        overload = Overload(0.1)
        for lag in [*lags, last]:
            overload.observe(lag)
        shares.append(overload.share)
    assert shares[0] <= shares[1]


def test_a_late_round_behind_a_late_one_admits_hardly_any_more() -> None:
    """From the limit on; the first late round is a stall, whose requests are served."""
    overload = late(0.0)
    assert not overload.refuses(0.5, 5.0)
    overload.observe(0.3)
    assert overload.shed is Shed.NOTHING
    assert not overload.refuses(0.5, 0.1)
    assert overload.refuses(0.5, 0.11)
    assert not overload.refuses(0.01, 0.11), "a few get through"
    overload.observe(0.01)
    assert not overload.refuses(0.5, 5.0)


def test_what_is_given_too_much_is_divided() -> None:
    """A round of twice the limit had four times the work of half the limit."""
    assert late(0.2).share == pytest.approx(0.75)
    assert late(0.2, times=4).share == pytest.approx(0.9375)


@given(st.floats(1.2, 12))
def test_it_settles_where_the_loop_does_what_it_takes(demand: float) -> None:
    """Of a loop that is asked *demand* times what it can do, what is admitted comes to what it can do, on average."""
    overload, backlog, done = Overload(0.1), 0.0, 0.0
    for step in range(4000):
        gap = 0.025
        backlog += demand * gap * (1 - overload.share)
        done += min(backlog, gap) if step >= 400 else 0.0
        backlog = max(0.0, backlog - gap)
        overload.observe(backlog)
        assert backlog < 1.5
    assert done / (3600 * 0.025) > 0.7


def test_a_limit_is_more_than_nothing() -> None:
    """0 means in the options that nothing is shed, and no decision is made."""
    with pytest.raises(ValueError, match="more than 0"):
        Overload(0)
