from pathlib import Path

import pytest

from mirrorgate.testing.model_server.behaviour import Defect
from mirrorgate.testing.verdict_bench.__main__ import main
from mirrorgate.testing.verdict_bench.results import load


def test_the_smoke_run_goes_through_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every part but the real model runs, and the document, its numbers and its pictures are there."""
    assert main(["--smoke", "--output", str(tmp_path)]) == 0
    results = load(tmp_path / "verdict-benchmark.json")
    assert results.races is not None
    assert {defect.value for defect in Defect} <= {row.name for row in results.races.rows}
    assert results.rates
    assert results.pairs
    assert results.speed
    text = (tmp_path / "verdict-benchmark.md").read_text()
    for defect in Defect:
        assert defect.value.replace("_", " ") in text
    assert {file.name for file in (tmp_path / "images").iterdir()} == {"verdict-error-rates.svg", "verdict-races.svg"}
    assert "false alarms" in capsys.readouterr().err


def test_the_document_can_be_written_anew(tmp_path: Path) -> None:
    """From the kept numbers, without measuring."""
    main(["--smoke", "--part", "speed", "--output", str(tmp_path)])
    document = tmp_path / "verdict-benchmark.md"
    before = document.read_text()
    document.unlink()
    assert main(["--only-write", "--output", str(tmp_path)]) == 0
    assert document.read_text() == before
