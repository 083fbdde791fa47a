"""Journals become the verdict that was live, whatever else is in the files."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirrorgate.comparison.ledger_book import verdict_of
from mirrorgate.comparison.verdict import Decision
from mirrorgate.comparison.verdict_document import document_of
from mirrorgate.replay.journal_source import read_journal
from mirrorgate.reporting.reading import Reader, UnknownGuardrails, merged, report_of
from mirrorgate.reporting.terms import DECLARED, Selection, Terms
from mirrorgate.shadow.journal_reading import Record, StepLine
from mirrorgate.shadow.recording import SCHEMA
from mirrorgate.testing.journals import JournalMaker, plain_basis


def test_the_report_is_the_live_verdict_to_the_last_digit(mixed: JournalMaker) -> None:
    """The document over a journal is the live one, every float included; only worst pairs come from the records."""
    (shadow,) = report_of([mixed.file.parent], 0.0).shadows
    live = msgspec.to_builtins(document_of([mixed.ledger]))
    found = msgspec.to_builtins(shadow.document)
    assert found | {"worst": None} == live | {"worst": None}
    assert shadow.document.worst
    assert shadow.pairs == mixed.pairs


@pytest.mark.parametrize("field", ["started", "similarity"])
def test_a_number_beyond_all_bounds_costs_its_line_at_most(tmp_path: Path, field: str) -> None:
    """JSON has integers of any length; a report that ended over one would hide all the rest."""
    journal = JournalMaker(tmp_path / "exchanges.jsonl")
    for _ in range(3):
        journal.pair({"errors": 1.0}, similarity=0.5)
    lines = journal.file.read_bytes().splitlines()
    place = next(index for index, line in enumerate(lines) if SCHEMA.encode() in line)
    record = msgspec.json.decode(lines[place])
    lines[place] = lines[place].replace(
        b'"%b":%b' % (field.encode(), msgspec.json.encode(record[field])), b'"%b":%b' % (field.encode(), b"9" * 400)
    )
    assert b"9" * 400 in lines[place]
    journal.file.write_bytes(b"\n".join(lines) + b"\n")
    report = report_of([journal.file.parent], 0.0)
    assert report.shadows[0].pairs >= 2
    assert list(read_journal(journal.file))


def test_what_is_counted_beside_the_verdict(mixed: JournalMaker) -> None:
    """Pairs by guardrail, outcome, similarity and leg add up."""
    (shadow,) = report_of([mixed.file], 0.0).shadows
    failed = shadow.document.outcomes["candidate_failed"]
    assert shadow.worse["errors"] == failed
    assert "errors" not in shadow.better
    assert sum(shadow.similarity) == mixed.pairs - failed
    assert shadow.legs["candidate"].statuses == {"200": mixed.pairs - failed, "503": failed}
    assert shadow.legs["candidate"].models == {"candidate-8b": mixed.pairs}
    assert sum(shadow.noise_floor) == shadow.legs["control"].answers > 0
    assert (shadow.first, shadow.last) == (mixed.begin + 1, mixed.begin + mixed.pairs)
    assert sum(group.pairs for group in shadow.groups) == mixed.pairs


def test_the_course_ends_where_the_verdict_is(mixed: JournalMaker) -> None:
    """The last point of each plot is the verdict's own number, and points are few."""
    (shadow,) = report_of([mixed.file], 0.0).shadows
    last = shadow.course[-1]
    assert last.pairs == shadow.document.pairs
    assert last.log_ni == {each.name: each.log_ni for each in shadow.document.standings}
    assert len(shadow.course) <= 401
    assert shadow.course[0].pairs == 2
    named = next(each for each in shadow.document.standings if each.name == shadow.document.guardrail)
    assert (shadow.focus[-1].mean, shadow.focus[-1].high) == (named.mean, named.high)


def test_replicas_are_added_up(tmp_path: Path) -> None:
    """Two folders with evidence for the same comparison give the verdict over both, in any order of the arguments."""
    one = JournalMaker(tmp_path / "a" / "exchanges.jsonl", id="one")
    two = JournalMaker(tmp_path / "b" / "exchanges.jsonl", id="two", begin=one.begin + 0.5)
    for _ in range(120):
        one.pair()
        two.pair({"errors": 0.0})
    folders = [one.file.parent, two.file.parent]
    for paths in (folders, folders[::-1]):
        report = report_of(paths, 0.0)
        (shadow,) = report.shadows
        expected = verdict_of([one.ledger, two.ledger])
        assert shadow.document.ledgers == ["one", "two"]
        assert shadow.document.standings == expected.standings
        assert report.verdict is Decision.PROMOTE or expected.decision is not Decision.PROMOTE
        assert shadow.course[-1].pairs == 240


def test_folders_are_read_side_by_side(tmp_path: Path) -> None:
    """Lines of several folders come about in the order of their time."""
    one = JournalMaker(tmp_path / "a" / "exchanges.jsonl", id="one")
    two = JournalMaker(tmp_path / "b" / "exchanges.jsonl", id="two", begin=one.begin + 0.5)
    for _ in range(5):
        one.pair()
        two.pair()
    times = [line.value["started"] for line in merged([one.file.parent, two.file]) if isinstance(line, Record)]
    assert times == sorted(times)
    assert len(times) == 10


def test_damage_is_counted_and_nothing_else_is_lost(mixed: JournalMaker) -> None:
    """Cut, foreign and misshapen lines are told with their place; the verdict stays that of the rest."""
    with mixed.file.open("ab") as file:
        file.write(b'{"schema": "mirrorgate.exchange/v1", "id": 5}\n{"cut": \n\x00\xff\n[]\n{"step":"observed"}\n')
        file.write(b'{"schema": "mirrorgate.exchange/v1", "started"')
    report = report_of([mixed.file], 0.0)
    assert report.reading.damaged == 6
    assert report.reading.damages[0].file == str(mixed.file)
    assert report.shadows[0].document.standings == document_of([mixed.ledger]).standings


@given(data=st.binary(max_size=300))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_file_can_be_read(tmp_path: Path, data: bytes) -> None:
    """No bytes raise."""
    file = tmp_path / "x.jsonl"
    file.write_bytes(data)
    assert report_of([file], 0.0).shadows == ()


def test_compressed_files_count_once(mixed: JournalMaker, tmp_path: Path) -> None:
    """A finished file, compressed, and the one that is written after it are one journal."""
    folder = mixed.file.parent
    finished = folder / "exchanges-20261118T120000.000000Z.jsonl"
    shutil.move(mixed.file, finished)
    Path(f"{finished}.gz").write_bytes(gzip.compress(finished.read_bytes()))
    mixed.pair()
    report = report_of([folder], 0.0)
    assert report.reading.files == 2
    assert report.shadows[0].document.standings == document_of([mixed.ledger]).standings
    assert report.shadows[0].pairs == mixed.pairs


def test_evidence_of_deleted_files_is_carried(tmp_path: Path) -> None:
    """Where older files are gone, the verdict still has their evidence, and the report says so."""
    journal = JournalMaker(tmp_path / "exchanges.jsonl")
    for _ in range(50):
        journal.pair()
    journal.file.unlink()
    journal.opened = False
    for _ in range(10):
        journal.pair()
    report = report_of([tmp_path], 0.0)
    assert report.reading.carried == 50
    assert report.shadows[0].document.pairs == 60
    assert report.shadows[0].pairs == 10
    assert report.shadows[0].document.standings == document_of([journal.ledger]).standings


def test_a_change_of_what_is_compared_starts_anew(tmp_path: Path) -> None:
    """The latest comparison is reported; the one before it is summed up and adds nothing."""
    before = JournalMaker(tmp_path / "exchanges.jsonl", id="before")
    for _ in range(30):
        before.pair({"errors": 1.0}, similarity=None, outcome="candidate_failed", status=503)
    changed = msgspec.structs.replace(before.basis, subject={"candidate": {"ref": "Service default/newer"}})
    after = JournalMaker(tmp_path / "exchanges.jsonl", changed, "after", before.begin + 100)
    for _ in range(20):
        after.pair()
    (shadow,) = report_of([tmp_path], 0.0).shadows
    assert shadow.document.pairs == shadow.pairs == 20
    assert shadow.document.verdict is Decision.HOLD
    assert [each.decision for each in shadow.earlier] == [Decision.REJECT]
    assert shadow.earlier[0].pairs == 30


def test_pairs_can_be_chosen(tmp_path: Path) -> None:
    """By cluster and by time; the choice is told."""
    one = JournalMaker(tmp_path / "exchanges.jsonl")
    other = JournalMaker(tmp_path / "exchanges.jsonl", plain_basis("other"), "other")
    for _ in range(10):
        one.pair()
        other.pair()
    report = report_of([tmp_path], 0.0, Selection(frozenset({"other"}), one.begin + 4, one.begin + 8))
    (shadow,) = report.shadows
    assert shadow.cluster == "other"
    assert shadow.document.pairs == shadow.pairs == 4
    assert report.reading.chosen == 4
    assert len(report.reading.filters) == 3
    assert {shadow.cluster for shadow in report_of([tmp_path], 0.0).shadows} == {one.basis.mirror, "other"}


def test_pairs_can_be_judged_by_other_terms(mixed: JournalMaker) -> None:
    """Other margins and error rates give the verdict that they would have given, over the same pairs."""
    declared = report_of([mixed.file], 0.0)
    assert declared.verdict is Decision.REJECT
    terms = Terms({"errors": 0.1, "ttft_slo": 0.3, "broken_streams": 0.02}, alpha_promote=0.2, min_pairs=5)
    report = report_of([mixed.file], 0.0, terms=terms)
    (shadow,) = report.shadows
    margins = {each.name: each.margin for each in shadow.document.standings}
    assert (margins["errors"], margins["ttft_slo"], margins["truncation"]) == (0.1, 0.3, 0.02)
    assert (shadow.document.pairs, shadow.pairs) == (mixed.pairs, mixed.pairs)
    assert report.verdict is Decision.PROMOTE
    assert shadow.document.identity != declared.shadows[0].document.identity
    assert shadow.worse == declared.shadows[0].worse
    assert len(report.reading.changes) == 5


def test_the_declared_terms_give_the_declared_verdict(mixed: JournalMaker) -> None:
    """Judging anew by the same numbers comes to the same ones: no pair is lost on the way."""
    terms = Terms(min_pairs=mixed.basis.policy.min_pairs)
    declared, anew = (report_of([mixed.file], 0.0, terms=each).shadows[0] for each in (DECLARED, terms))
    assert anew.document.standings == declared.document.standings
    assert anew.document.coverage == declared.document.coverage
    assert report_of([mixed.file], 0.0).reading.carried == 0


def test_a_margin_for_nothing_is_refused(mixed: JournalMaker) -> None:
    """A guardrail's name that no candidate has is more likely a slip than a wish."""
    with pytest.raises(UnknownGuardrails, match="no guardrail eror; there are broken_streams,"):
        report_of([mixed.file], 0.0, terms=Terms({"eror": 0.1}))


def test_lines_that_count_for_nothing_are_not_counted(mixed: JournalMaker) -> None:
    """A step that is read twice counts once, beside the verdict as in it."""
    reader = Reader()
    lines = list(merged([mixed.file]))
    for line in lines:
        reader.take(line)
        if isinstance(line, StepLine):
            reader.take(line)
    (shadow,) = reader.report([mixed.file], 0.0).shadows
    assert shadow.worse == report_of([mixed.file], 0.0).shadows[0].worse


def test_many_candidates_stay_within_bounds(tmp_path: Path) -> None:
    """A journal of more candidates than are counted apart still has every verdict."""
    file = tmp_path / "exchanges.jsonl"
    for number in range(260):
        JournalMaker(file, plain_basis(f"mirror-{number:03}"), f"ledger-{number}").pair()
    report = report_of([file], 0.0)
    assert len(report.shadows) == 260
    assert sum(shadow.pairs for shadow in report.shadows) == 256
