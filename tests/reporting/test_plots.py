"""What the page's script gets to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mirrorgate.reporting.plots import plot_data
from mirrorgate.reporting.reading import report_of
from mirrorgate.testing.journals import JournalMaker, plain_basis


def test_equal_curves_are_one_line(tmp_path: Path) -> None:
    """Guardrails that saw the same differences at the same margin are named together."""
    journal = JournalMaker(tmp_path / "exchanges.jsonl")
    for _ in range(30):
        journal.pair()
    (shadow,) = report_of([tmp_path], 0.0).shadows
    data: Any = plot_data(shadow)
    names = [curve["names"] for curve in data["promote"]]
    assert ["truncation", "refusal", "emptiness", "repetition"] in names
    assert sorted(name for each in names for name in each) == sorted(
        each.name for each in shadow.document.standings if each.gating
    )
    assert sum(curve["named"] for curve in data["promote"]) == 1
    assert data["slo"] == {"ttft": 0.3}


@pytest.mark.parametrize("rules", [{}, {"slo": None}, {"slo": []}, {"slo": {"ttft": "0.3", "e2e": -1, "itl": None}}])
def test_rules_that_are_none_draw_no_line(tmp_path: Path, rules: dict[str, Any]) -> None:
    """A journal may hold anything there."""
    basis = msgspec.structs.replace(plain_basis(), rules=rules)
    JournalMaker(tmp_path / "exchanges.jsonl", basis).pair()
    (shadow,) = report_of([tmp_path / "exchanges.jsonl"], 0.0).shadows
    assert plot_data(shadow)["slo"] == {}
