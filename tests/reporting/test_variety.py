"""The order of the worst pairs where there is room for few."""

from __future__ import annotations

from mirrorgate.reporting.reading import report_of
from mirrorgate.reporting.variety import varied
from mirrorgate.testing.journals import JournalMaker


def test_each_kind_comes_first_once(mixed: JournalMaker) -> None:
    """The first of every kind, then the rest, each in its own order; none is lost."""
    pairs = report_of([mixed.file], 0.0).shadows[0].document.worst
    ordered = varied(pairs)
    kinds = {pair.kind for pair in pairs}
    assert len(kinds) >= 2
    assert {pair.kind for pair in ordered[: len(kinds)]} == kinds
    assert sorted(pair.id for pair in ordered) == sorted(pair.id for pair in pairs)
    rest = [pair for pair in pairs if pair in ordered[len(kinds) :]]
    assert ordered[len(kinds) :] == rest
