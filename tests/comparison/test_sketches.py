"""Quantiles out of bounded memory, within two percent, in any order."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.sketches import LatencySketch, quantiles_of

latencies = st.lists(st.floats(1e-5, 1e4), min_size=1, max_size=60)


def sketch_of(values: list[float]) -> LatencySketch:
    sketch = LatencySketch()
    for value in values:
        sketch.add(value)
    return sketch


@given(latencies, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_within_two_percent(values: list[float], share: float) -> None:
    """Of the value at that rank."""
    found = sketch_of(values).quantile(share)
    assert found == pytest.approx(sorted(values)[int(share * (len(values) - 1))], rel=0.0205)


@given(latencies, latencies)
def test_sketches_add_up(first: list[float], second: list[float]) -> None:
    """Two replicas' sketches are that of all latencies, in any order."""
    merged = sketch_of(first)
    merged.merge(sketch_of(second))
    everything = [*second, *first]
    random.Random(1).shuffle(everything)
    assert merged == sketch_of(everything)
    assert quantiles_of([sketch_of(first), sketch_of(second)]) == quantiles_of([merged])


def test_it_goes_through_json() -> None:
    """Its checkpoint is its JSON."""
    sketch = sketch_of([0.001, 0.5, 0.5, 12.0])
    assert msgspec.json.decode(msgspec.json.encode(sketch), type=LatencySketch) == sketch


def test_what_is_no_time_is_left_out_and_memory_is_bounded() -> None:
    """Negative and undefined numbers do not count; the absurdly large and small share a bucket each."""
    sketch = sketch_of([-1.0, float("nan")])
    assert (sketch.count, sketch.quantile(0.5)) == (0, None)
    assert quantiles_of([]).p99 is None
    sketch = sketch_of([10.0**power for power in range(-40, 40)] + [0.0, float("inf")])
    assert len(sketch.buckets) <= 12
    assert sketch.count == 82
