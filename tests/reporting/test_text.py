"""The report in a terminal."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from mirrorgate.reporting.reading import report_of
from mirrorgate.reporting.report import Report
from mirrorgate.reporting.text import text_of
from mirrorgate.testing.journals import JournalMaker


def shown(report: Report, width: int = 140) -> str:
    output = io.StringIO()
    Console(file=output, width=width, force_terminal=True, color_system=None).print(text_of(report))
    return output.getvalue()


def test_everything_is_there(mixed: JournalMaker) -> None:
    """Verdict, reason, every guardrail, latencies by leg, outcomes, drops and the worst pairs."""
    report = report_of([mixed.file], 0.0)
    (shadow,) = report.shadows
    text = shown(report)
    for words in ("REJECT", shadow.document.reason, "candidate-8b", "40 token_budget", "Worst pairs", "Lyon", "TTFT"):
        assert words in text
    assert all(standing.name in text for standing in shadow.document.standings)


def test_a_narrow_terminal_loses_no_guardrail(mixed: JournalMaker) -> None:
    """Cells are folded, not cut."""
    text = shown(report_of([mixed.file], 0.0), 80).replace("\n", "")
    assert "REJECT" in text
    assert max(map(len, shown(report_of([mixed.file], 0.0), 80).splitlines())) <= 80


def test_no_text_of_a_model_controls_the_terminal(tmp_path: Path) -> None:
    """Neither escape sequences nor rich's own markup."""
    journal = JournalMaker(tmp_path / "exchanges.jsonl")
    journal.pair(text="\x1b]0;owned\x07", candidate="[bold]\x1b[2J\x9b31m\r", similarity=0.0, outcome="different")
    journal.pair(summary="\x1b[31m[/]", similarity=0.1, outcome="different", candidate="x")
    text = shown(report_of([tmp_path], 0.0))
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\r"}
    assert "[bold]" in text


def test_no_evidence_is_said(tmp_path: Path) -> None:
    """An empty journal is a HOLD with its reason."""
    (tmp_path / "exchanges.jsonl").touch()
    text = shown(report_of([tmp_path], 0.0))
    assert "HOLD" in text
    assert "no evidence" in text
