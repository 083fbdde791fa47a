import xml.etree.ElementTree as ElementTree
from pathlib import Path

from mirrorgate.testing.verdict_bench.pictures import draw_error_rates, draw_races
from mirrorgate.testing.verdict_bench.results import ModeRow, RaceRow, Races, RateRow


def test_pictures_are_svg_and_reproducible(tmp_path: Path) -> None:
    """The same numbers give the same bytes, with the names as text."""
    modes = tuple(
        ModeRow("replacement", promoted, held, rejected, {}, middle, middle)
        for promoted, held, rejected, middle in ((2, 0, 0, 900.0), (0, 2, 0, None), (0, 0, 2, 30.0))
    )
    rows = tuple(
        RaceRow(f"row_{number}", 2, (mode,), 3.0, 0.6, None, 0.0, None, 0.0) for number, mode in enumerate(modes)
    )
    races = Races(10, 1000, 500, 300, (0.5, None, None), 1.0, rows)
    rates = [RateRow("a guardrail", 1, 100, 10, 1, 1, True, True, 0.05, 0.05, None)]
    for attempt in "ab":
        draw_races(races, "Races", tmp_path / attempt / "races.svg")
        draw_error_rates(rates, 0.01, "Rates", tmp_path / attempt / "rates.svg")
    for name, label in (("races.svg", "row 1"), ("rates.svg", "a guardrail")):
        first, second = ((tmp_path / attempt / name).read_text() for attempt in "ab")
        assert first == second
        assert label in "".join(ElementTree.fromstring(first).itertext())
