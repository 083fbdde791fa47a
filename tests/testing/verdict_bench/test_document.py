from mirrorgate.testing.verdict_bench.document import written
from mirrorgate.testing.verdict_bench.results import HealthyRow, ModeRow, RaceRow, Races, RateRow, Results, SpeedRow


def race(name: str, *modes: ModeRow) -> RaceRow:
    return RaceRow(name, 4, modes, 3.0, 0.25, None, 0.5, 500.0, 1.0)


REJECTED = ModeRow("replacement", 0, 1, 3, {"errors": 2, "truncation": 1}, 1234.0, 2000.0)
HELD = ModeRow("margin of another size", 0, 4, 0, {}, None, None)


def test_tables_say_what_happened() -> None:
    """Decisions with their pairs and guardrail, what the minority did, and special rows below the table."""
    races = Races(10, 20, 30, 15, (0.5, None, 1.5), 1.5, (race("flaky_5xx", REJECTED), race("sharp, x", HELD)))
    text = written(Results(7, races=races, false_alarms=[HealthyRow("a rule", 1, 4)]))
    assert "| flaky 5xx | **REJECT** 1,234 (errors); HOLD 1 of 4 | 25% | never (50% of runs) | 500 |" in text
    assert "- sharp, x: HOLD (margin of another size)." in text
    assert "| a rule | 1 of 4 |" in text
    assert "seed 7" in text


def test_an_error_rate_is_shown_where_it_is_an_error() -> None:
    """A REJECT of a candidate beyond its margin is none, so the cell stays empty."""
    row = RateRow(
        "at it",
        1,
        1000,
        50,
        900,
        5,
        within=False,
        beyond=True,
        rejected_at_most=0.9,
        promoted_at_most=0.01,
        median_promoted=None,
    )
    text = written(Results(rates=[row]))
    assert "| at it | 1,000 × 50 |  |  | 0.50% | 1.00% |" in text
    assert "5 false PROMOTEs in 1,000 runs, 0.50%" in text


def test_parts_that_were_not_run_are_left_out() -> None:
    """A document of one part is whole."""
    text = written(Results(1, speed=[SpeedRow("streamed", 512.4)], machine="here"))
    assert "| streamed | 512 |" in text
    assert "Defects" not in text
    assert "{" not in text
