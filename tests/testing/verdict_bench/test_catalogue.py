from dataclasses import replace

from mirrorgate.testing.verdict_bench.catalogue import FULL, SMOKE, pairs_needed


def test_scales_can_be_asked_for_more() -> None:
    """The number of requests holds for fake and real servers."""
    assert FULL.asking(7).requests == FULL.asking(7).real_requests == 7
    assert FULL.asking(7).race_runs == FULL.race_runs


def test_published_cases_take_fewer_pairs() -> None:
    """Where nothing is random one run says it all."""
    rows = pairs_needed(replace(SMOKE, scenario_runs=1), 1, lambda text: None)
    certain = {row.name: row for row in rows if row.name.startswith("no errors")}
    assert len(certain) == 2
    for row in certain.values():
        assert row.middle is not None
        assert row.middle < 0.75 * row.grid
