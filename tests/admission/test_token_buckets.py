"""Token buckets: how they fill, what they tell, and how many there may be. Rows as measured on Envoy 1.40."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.token_buckets import Meter, Meters


def rows(meter: Meter, *times: float) -> list[tuple[bool, int, int]]:
    found = [meter.take("", at) for at in times]
    return [(standing.allowed, standing.remaining, standing.reset) for standing in found]


def test_three_a_minute_as_measured() -> None:
    """One token comes back every 20 s; until there is one the reset counts down, rounded up."""
    full = [(True, 2, 0), (True, 1, 0), (True, 0, 20)]
    meter = Meter(3, 60.0)
    assert rows(meter, 0, 0, 0, 0, 5.5) == [*full, (False, 0, 20), (False, 0, 15)]
    assert rows(meter, 20, 20) == [(True, 0, 20), (False, 0, 20)]


def test_two_a_second_as_measured() -> None:
    """After 0.6 s there is one again, after long there are no more than two."""
    meter = Meter(2, 1.0)
    assert rows(meter, 7, 7, 7) == [(True, 1, 0), (True, 0, 1), (False, 0, 1)]
    assert rows(meter, 7.6, 7.6) == [(True, 0, 1), (False, 0, 1)]
    assert rows(meter, 90, 90, 90) == [(True, 1, 0), (True, 0, 1), (False, 0, 1)]


def test_nothing_is_allowed() -> None:
    """A limit of 0 refuses everything, and tells the whole period."""
    assert rows(Meter(0, 60.0), 0, 100) == [(False, 0, 60), (False, 0, 60)]


def test_a_charge_after_the_answer() -> None:
    """A request of cost 0 passes while a token is left; what its answer costs may leave the bucket in debt."""
    meter = Meter(100, 60.0)
    assert meter.take("", 0, 0).remaining == 100
    meter.charge("", 0, 130)
    standing = meter.take("", 0, 0)
    assert (standing.allowed, standing.remaining, standing.reset) == (False, 0, 19)
    assert not meter.take("", 18, 0).allowed
    assert meter.take("", 19, 0).allowed
    meter.charge("", 19, 1, estimated=True)
    assert (meter.under, meter.over, meter.charged, meter.estimated) == (2, 2, 130, 1)


def test_a_clock_that_goes_back_fills_nothing() -> None:
    """Nor does it take anything away."""
    meter = Meter(2, 1.0)
    assert rows(meter, 10, 9, 9) == [(True, 1, 0), (True, 0, 1), (False, 0, 1)]


def test_keys_have_buckets_of_their_own_and_a_bound() -> None:
    """The key that was used the longest time ago makes room and begins anew; one in use keeps its bucket."""
    meter = Meter(1, 60.0, most=2)
    assert [meter.take(key, 0).allowed for key in "aab"] == [True, False, True]
    assert not meter.take("a", 1).allowed
    assert meter.take("c", 2).allowed
    assert len(meter) == 2
    assert not meter.take("a", 3).allowed
    assert meter.take("b", 3).allowed


def test_meters_outlive_a_reload() -> None:
    """A limit that has not changed keeps its buckets; another amount is another limit."""
    meters = Meters()
    first = meters.of(("policy/0", 1, 60.0))
    assert meters.of(("policy/0", 1, 60.0)) is first
    assert meters.of(("policy/0", 2, 60.0)) is not first
    meters.retain({("policy/0", 1, 60.0)})
    assert [(name, meter) for name, meter in meters] == [("policy/0", first)]


@given(
    amount=st.integers(1, 50),
    period=st.floats(0.1, 1e6),
    gaps=st.lists(st.floats(0, 1e5), max_size=60),
)
def test_no_window_allows_more_than_the_bucket_and_what_flows_in(amount: int, period: float, gaps: list[float]) -> None:
    """Over any stretch of time: at most the amount, and the rate times the stretch."""
    meter = Meter(amount, period)
    now, passed = 0.0, []
    for gap in gaps:
        now += gap
        if meter.take("", now).allowed:
            passed.append(now)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            stretch = passed[last] - passed[first]
            assert last - first + 1 <= amount + stretch * amount / period + 1e-6 * (1 + stretch)
