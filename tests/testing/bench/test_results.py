"""Medians and ratios of the benchmark's rounds."""

import pytest

from mirrorgate.testing.bench.measures import Footprint, Measure, spread
from mirrorgate.testing.bench.results import Results

FOOTPRINT = Footprint(proxy="a", idle=1000, clients=100, with_clients=2000, streams=20, with_streams=3000)


def measure(proxy: str, number: int, cpu: float, requests: int = 1) -> Measure:
    return Measure(scenario="small", proxy=proxy, round=number, window=1.0, requests=requests, cpu=cpu)


def test_a_ratio_is_taken_within_its_round() -> None:
    """A round in which the machine was slow for both says as much as another."""
    runs = [measure("a", 0, 2.0), measure("b", 0, 1.0), measure("b", 1, 10.0), measure("a", 1, 30.0)]
    runs += [measure("a", 2, 5.0), measure("b", 2, 1.0)]
    results = Results(runs, "here")
    assert results.ratio("a", "b", "small", lambda m: m.cpu_per_request) == 3.0
    assert results.median("a", "small", lambda m: m.cpu) == 5.0
    assert (results.rounds("small"), results.proxies, results.scenarios) == (3, ["a", "b"], ["small"])


def test_a_difference_is_taken_within_its_round() -> None:
    """As a ratio is; a round that only one of them has says nothing."""
    runs = [
        measure("a", 0, 2.0),
        measure("b", 0, 0.5),
        measure("a", 1, 30.0),
        measure("b", 1, 10.0),
        measure("a", 2, 9.0),
    ]
    results = Results(runs, "here")
    assert results.difference("a", "b", "small", lambda m: m.cpu) == (1.5 + 20.0) / 2
    assert results.difference("a", "c", "small", lambda m: m.cpu) is None


def test_a_part_is_measured_anew_over_the_others() -> None:
    """What was measured again goes, with all of its rounds; the rest stays."""
    before = Results([measure("a", 0, 1.0), measure("a", 1, 1.0), measure("b", 0, 2.0)], "there", [FOOTPRINT])
    results = Results([measure("a", 0, 3.0)], "here").over(before)
    assert [(m.proxy, m.cpu) for m in results.measures] == [("b", 2.0), ("a", 3.0)]
    assert (results.machine, results.footprints) == ("here", [FOOTPRINT])


def test_a_footprint_is_a_difference() -> None:
    """A stream beside the clients that are there already, a client beside nothing."""
    assert (FOOTPRINT.per_client, FOOTPRINT.per_stream) == (10.0, 50.0)


def test_a_run_without_answers_has_no_cost() -> None:
    """It is left out of medians and ratios rather than counted as free."""
    results = Results([measure("a", 0, 1.0, requests=0), measure("b", 0, 1.0)], "here")
    assert results.median("a", "small", lambda m: m.cpu_per_request) is None
    assert results.ratio("a", "b", "small", lambda m: m.cpu_per_request) is None


@pytest.mark.parametrize(("values", "p50", "p99"), [([3.0], 3.0, 3.0), (list(range(1, 101)), 50, 99)])
def test_percentiles_are_of_the_nearest_rank(values: list[float], p50: float, p99: float) -> None:
    """They are values that were seen."""
    found = spread(values)
    assert found is not None
    assert (found.p50, found.p99) == (p50, p99)


def test_nothing_has_no_percentiles() -> None:
    """An empty run shows a dash."""
    assert spread([]) is None
