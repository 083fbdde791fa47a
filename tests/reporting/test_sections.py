"""The parts of the page about one candidate."""

from __future__ import annotations

from pathlib import Path

from mirrorgate.reporting.reading import report_of
from mirrorgate.reporting.sections import shadow_sections, table
from mirrorgate.testing.journals import JournalMaker


def test_a_hold_says_what_is_missing(tmp_path: Path) -> None:
    """How many more observations, and that conversations are still open."""
    journal = JournalMaker(tmp_path / "exchanges.jsonl")
    for _ in range(20):
        journal.pair()
    journal.pair(conversation="c")
    (shadow,) = report_of([tmp_path], 0.0).shadows
    markup = shadow_sections(shadow, 0)
    assert f"about {shadow.document.pairs_needed}" in markup
    assert "1 still open" in markup
    assert "operationally" not in markup


def test_an_empty_table_says_so() -> None:
    """Instead of a head without rows."""
    assert table([("a", "")], [], "Nothing <here>.") == '<p class="empty">Nothing &lt;here&gt;.</p>'
