"""The verdict over several candidates."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from mirrorgate.comparison.verdict import Decision
from mirrorgate.reporting.course import EvidencePoint, MeanPoint
from mirrorgate.reporting.reading import report_of
from mirrorgate.reporting.report import Damage, Earlier, Group, LegReport, Reading, Report, ShadowReport, overall
from mirrorgate.testing.journals import JournalMaker, plain_basis


def shadows(tmp_path: Path, **pairs: tuple[dict[str, float], int]):
    """Return the reports of candidates by name, each with so many pairs of the same losses."""
    file = tmp_path / "exchanges.jsonl"
    for name, (losses, count) in pairs.items():
        basis = plain_basis(name)
        journal = JournalMaker(file, basis, name)
        for _ in range(count):
            journal.pair(losses)
    return report_of([file], 0.0).shadows


def test_the_worst_decides(tmp_path: Path) -> None:
    """One rejected candidate is a REJECT that names it; PROMOTE takes all of them."""
    found = shadows(tmp_path, good=({}, 1200), new=({}, 3), bad=({"errors": 1.0}, 60))
    by_name = {each.cluster: each for each in found}
    assert {name: each.document.verdict.value for name, each in by_name.items()} == {
        "good": "PROMOTE",
        "new": "HOLD",
        "bad": "REJECT",
    }
    good, new, bad = by_name["good"], by_name["new"], by_name["bad"]
    assert overall((good, new, bad)) == (Decision.REJECT, f"bad: {bad.document.reason}")
    assert overall((good, new)) == (Decision.HOLD, f"new: {new.document.reason}")
    assert overall((good, good))[0] is Decision.PROMOTE
    assert overall((good,)) == (Decision.PROMOTE, good.document.reason)


def test_no_evidence_is_a_hold() -> None:
    """An empty journal neither promotes nor rejects."""
    assert overall(()) == (Decision.HOLD, "the journal holds no evidence")


def test_every_field_is_documented() -> None:
    """`docs/report.md` names what `--json` prints."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "report.md").read_text()
    for kind in (Report, Reading, ShadowReport, LegReport, Group, Earlier, EvidencePoint, MeanPoint, Damage):
        for field in dataclasses.fields(kind):
            assert re.search(rf"`\.?{field.name}(\[\])?`", text), (kind.__name__, field.name)
