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
def test_one_measurement_in_time_ends_it(lags: list[float]) -> None:
    """Recovery waits for nothing."""
    overload = Overload(0.1)
    for lag in lags:
        overload.observe(lag)
    overload.observe(0.0)
    assert overload.shed is Shed.NOTHING
    assert not overload.refuses(0.0)


def test_what_is_shed_goes_on_until_half_of_what_began_it() -> None:
    """At the edge it would come and go with every measurement."""
    overload = late(0.11)
    overload.observe(0.06)
    assert overload.shed is Shed.REQUESTS
    overload.observe(0.049)
    assert overload.shed is Shed.MIRRORS
    overload.observe(0.02)
    assert overload.shed is Shed.CONTROL
    overload.observe(0.012)
    assert overload.shed is Shed.NOTHING


@given(LAGS)
def test_the_share_belongs_to_requests(lags: list[float]) -> None:
    """A share is within 0 and 1, and above 0 exactly while requests are shed."""
    overload = Overload(0.1)
    for lag in lags:
        before = overload.shed
        assert overload.observe(lag) == (overload.shed is not before)
        assert 0 <= overload.share <= 1
        assert (overload.share > 0) == (overload.shed is Shed.REQUESTS)
        assert overload.refuses(0.0) == (overload.share > 0)


@given(st.floats(0.101, 3), st.floats(0.101, 3))
def test_more_lag_sheds_no_less(one: float, other: float) -> None:
    """The share grows with the standing lag, up to everything at twice the limit."""
    less, more = sorted((one, other))
    assert late(less).share <= late(more).share
    assert late(0.2).share == pytest.approx(1)


def test_a_limit_is_more_than_nothing() -> None:
    """0 means in the options that nothing is shed, and no decision is made."""
    with pytest.raises(ValueError, match="more than 0"):
        Overload(0)
