"""Allowances: a burst, and then as much as the rate gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.proxy.downstream.http2_limits import Allowance


def test_burst_and_rate() -> None:
    """A full bucket is spent at once; afterwards a token comes back every 1/rate seconds."""
    bucket = Allowance(3, 2.0, 0.0)
    assert [bucket.spend(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.spend(0.5), bucket.spend(0.6), bucket.spend(1.1)] == [True, False, True]


def test_earned_tokens() -> None:
    """What is earned counts, up to the bucket's size."""
    bucket = Allowance(2, 0.0, 0.0)
    assert [bucket.spend(0.0) for _ in range(3)] == [True, True, False]
    bucket.earn(10.0)
    assert [bucket.spend(0.0) for _ in range(3)] == [True, True, False]


@given(st.lists(st.floats(0, 10), max_size=200), st.integers(1, 20), st.floats(0, 5))
def test_no_more_than_burst_and_rate(steps: list[float], most: int, rate: float) -> None:
    """Over any time, no more is spent than the bucket holds and the rate gives."""
    bucket, now, spent = Allowance(most, rate, 0.0), 0.0, 0
    for step in steps:
        now += step
        spent += bucket.spend(now)
        assert spent <= most + now * rate + 1e-6
