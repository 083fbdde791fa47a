from pathlib import Path

from mirrorgate.testing.verdict_bench.results import ModeRow, PairsRow, RaceRow, Races, Results, load, save


def test_results_survive_the_file(tmp_path: Path) -> None:
    """What is written is what is read, and a missing file has no results."""
    file = tmp_path / "new" / "results.json"
    mode = ModeRow("replacement", 0, 1, 2, {"errors": 2}, 20.5, None)
    row = RaceRow("slow", 3, (mode,), None, 0.5, 100.0, 1.0, None, 0.0)
    races = Races(10, 20, 30, 15, (0.5, None, 1.5), 1.5, (row,))
    results = Results(7, pairs=[PairsRow("case", True, 10, 5.0, None)], races=races)
    assert load(file) == Results()
    save(results, file)
    assert load(file) == results
