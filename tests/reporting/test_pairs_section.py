"""The worst pairs on the page."""

from __future__ import annotations

from pathlib import Path

from mirrorgate.reporting.pairs_section import worst_section
from mirrorgate.reporting.reading import report_of
from mirrorgate.testing.journals import JournalMaker


def test_words_that_differ_are_marked(tmp_path: Path) -> None:
    """On the side that has them, and nowhere else."""
    journal = JournalMaker(tmp_path / "exchanges.jsonl")
    journal.pair(text="It is red & warm.", candidate="It is blue & warm.", similarity=0.8, outcome="different")
    markup = worst_section(report_of([tmp_path], 0.0).shadows[0])
    assert '<pre class="primary">It is <mark>red</mark> &amp; warm.</pre>' in markup
    assert '<pre class="candidate">It is <mark>blue</mark> &amp; warm.</pre>' in markup
    assert markup.count("<details open") == 1
    assert "What is the capital of France?" in markup


def test_an_answer_without_text_says_so(tmp_path: Path) -> None:
    """Nothing said is not the same as nothing kept."""
    journal = JournalMaker(tmp_path / "exchanges.jsonl")
    journal.pair({"emptiness": 1.0}, text="words", candidate="", similarity=0.0, outcome="different")
    markup = worst_section(report_of([tmp_path], 0.0).shadows[0])
    assert "No text." in markup
    assert "keeps no content" not in markup


def test_no_bad_pair_is_good_news(tmp_path: Path) -> None:
    """A candidate that is always the same has none."""
    journal = JournalMaker(tmp_path / "exchanges.jsonl")
    journal.pair()
    assert "No pair speaks against" in worst_section(report_of([tmp_path], 0.0).shadows[0])
