"""One candidate's part of the report."""

from __future__ import annotations

from pathlib import Path

from mirrorgate.reporting.course import Course
from mirrorgate.reporting.shadow_reports import shadow_report
from mirrorgate.reporting.tallies import PairTally
from mirrorgate.testing.journals import JournalMaker


def test_distributions_are_those_of_the_evidence(tmp_path: Path) -> None:
    """A curve rises from 0 to 1 and passes the quantiles that the table shows; without answers there is none."""
    journal = JournalMaker(tmp_path / "exchanges.jsonl")
    for number in range(1, 200):
        journal.pair(ttft=number / 1000.0)
    report = shadow_report([journal.ledger], PairTally(), Course(), [journal.ledger])
    curve = report.legs["candidate"].curves["ttft"]
    assert curve == sorted(curve)
    assert (curve[0][1], curve[-1][1]) == (0.0, 1.0)
    assert dict((share, value) for value, share in curve)[0.5] == report.document.latencies["candidate"]["ttft"].p50
    assert report.legs["control"].curves == {"ttft": [], "itl": [], "e2e": []}


def test_without_records_there_is_still_the_verdict(tmp_path: Path) -> None:
    """What only records tell is empty."""
    journal = JournalMaker(tmp_path / "exchanges.jsonl")
    journal.pair()
    report = shadow_report([journal.ledger], PairTally(), Course(), [journal.ledger])
    assert (report.pairs, report.first, report.groups, report.earlier) == (0, None, (), ())
    assert report.document.pairs == 1
