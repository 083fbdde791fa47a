"""Counts and distributions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.telemetry.families import Distribution, Tally
from mirrorgate.telemetry.names import SPECS, Kind, Spec

BOUNDS = (0.1, 1.0, 10.0)
SPEC = Spec("d_seconds", Kind.HISTOGRAM, ("a", "b"), "Text.", buckets=BOUNDS)


@given(st.lists(st.floats(0, 100)))
def test_buckets_accumulate(values: list[float]) -> None:
    """A bucket counts what is not above its bound; the last is the count; the sum is the sum."""
    distribution = Distribution(SPEC)
    for value in values:
        distribution.observe(("x", "y"), value)
    rows = {(name, further): value for name, _, further, value in distribution.rows()}
    if not values:
        assert not rows
        return
    for bound in BOUNDS:
        assert rows["d_seconds_bucket", (("le", repr(bound)),)] == sum(v <= bound for v in values)
    assert rows["d_seconds_bucket", (("le", "+Inf"),)] == rows["d_seconds_count", ()] == len(values)
    assert rows["d_seconds_sum", ()] == pytest.approx(sum(values))


def test_forgetting_takes_only_the_series_of_that_value() -> None:
    """The same value under another label stays, and a label that is not there takes nothing."""
    distribution = Distribution(SPEC)
    tally = Tally(Spec("t_total", Kind.COUNTER, ("a", "b"), "Text."))
    for labels in (("x", "y"), ("y", "x"), ("x", "z")):
        distribution.observe(labels, 1.0)
        tally.add(labels)
    for family in (distribution, tally):
        assert family.forget("a", {"x"}) == 2
        assert family.forget("c", {"y"}) == 0
        assert list(family.cells) == [("y", "x")]


def test_a_tally_counts_sets_and_introduces() -> None:
    """Introducing never resets."""
    tally = Tally(SPECS["mirrorgate_shadow_sent_total"])
    tally.introduce(("c",))
    tally.add(("c",))
    tally.add(("c",), 2.5)
    tally.introduce(("c",))
    assert tally.cells == {("c",): 3.5}
    tally.set(("c",), 0.0)
    assert [row[3] for row in tally.rows()] == [0.0]


def test_a_distribution_without_bounds_is_refused() -> None:
    """A mistake in the table shows when the metrics are made."""
    for kind, buckets in ((Kind.HISTOGRAM, ()), (Kind.HISTOGRAM, (2.0, 1.0)), (Kind.COUNTER, (1.0,))):
        with pytest.raises(ValueError, match="ascending"):
            Distribution(Spec("x", kind, (), "Text.", buckets=buckets))


@given(st.lists(st.one_of(st.floats(-1, 100), st.sampled_from((0.005, 0.01, 10.0))), max_size=80))
def test_many_values_count_as_one_after_another(values: list[float]) -> None:
    """Bucket by bucket, on both sides of the number from which they are sorted."""
    one, many = Distribution(SPEC), Distribution(SPEC)
    for value in values:
        one.observe(("x", "y"), value)
    many.observe_all(("x", "y"), list(values))
    assert [row[:3] for row in many.rows()] == [row[:3] for row in one.rows()]
    assert [row[3] for row in many.rows()] == pytest.approx([row[3] for row in one.rows()])
