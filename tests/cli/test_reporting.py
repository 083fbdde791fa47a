"""`mirrorgate report` from the outside: exit codes, output, wrong use."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mirrorgate.cli.__main__ import main
from mirrorgate.cli.reporting import EXIT_CODES
from mirrorgate.comparison.verdict import Decision
from mirrorgate.testing.journals import JournalMaker, plain_basis


def run(*words: object) -> int:
    """Run the command; a wrong use that argparse finds is its exit code too."""
    try:
        return main(["report", *map(str, words)])
    except SystemExit as end:
        return int(str(end.code))


@pytest.fixture
def journal(tmp_path: Path) -> JournalMaker:
    """Return a journal in which the candidate did what the primary did, a few times."""
    made = JournalMaker(tmp_path / "journal" / "exchanges.jsonl", begin=time.time() - 1000.0)
    for _ in range(20):
        made.pair()
    return made


def test_exit_codes_are_those_of_the_contract() -> None:
    """Pipelines rely on them."""
    assert EXIT_CODES == {Decision.PROMOTE: 0, Decision.HOLD: 10, Decision.REJECT: 20}


@pytest.mark.parametrize(
    ("losses", "pairs", "code"),
    [({}, 5, 10), ({"errors": 1.0}, 60, 20), ({}, 1100, 0)],
    ids=["hold", "reject", "promote"],
)
def test_the_verdict_is_the_exit_code(tmp_path: Path, losses: dict[str, float], pairs: int, code: int) -> None:
    """0 PROMOTE, 10 HOLD, 20 REJECT."""
    made = JournalMaker(tmp_path / "exchanges.jsonl")
    for _ in range(pairs):
        made.pair(losses)
    assert run(tmp_path, "--quiet") == code


def test_json_is_one_document(journal: JournalMaker, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """It says its schema, and the verdict as `/verdict` does."""
    assert run(journal.file.parent, "--json") == 10
    document = json.loads(capsysbinary.readouterr().out)
    assert document["schema"] == "mirrorgate.report/v1"
    assert document["shadows"][0]["document"]["schema"] == "mirrorgate.verdict/v1"
    assert (document["verdict"], document["shadows"][0]["pairs"]) == ("HOLD", 20)


def test_text_and_html(journal: JournalMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page is for its owner only, replaces what was there, and leaves nothing beside it."""
    page = tmp_path / "out" / "report.html"
    page.parent.mkdir()
    page.write_text("old")
    assert run(journal.file, "--html", page) == 10
    output = capsys.readouterr().out
    assert "HOLD" in output
    assert str(page) in output.replace("\n", "")
    assert page.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert [each.name for each in page.parent.iterdir()] == ["report.html"]


def test_pairs_can_be_chosen_by_age(journal: JournalMaker, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """`--since` takes how long ago as well as a time."""
    assert run(journal.file, "--json", "--since", "1h") == 10
    assert json.loads(capsysbinary.readouterr().out)["reading"]["chosen"] == 20
    assert run(journal.file, "--json", "--since", "2000-01-01T00:00:00Z", "--until", "2000-01-02T00:00:00+02:00") == 10
    assert json.loads(capsysbinary.readouterr().out)["reading"]["chosen"] == 0


def test_other_terms(journal: JournalMaker, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """They are applied and told."""
    words = ["--margin", "errors=0.3", "--alpha-promote", "0.4", "--alpha-reject", "0.1", "--min-pairs", "7"]
    assert run(journal.file, "--json", "--min-coverage", "0", *words) == 10
    document = json.loads(capsysbinary.readouterr().out)
    verdict = document["shadows"][0]["document"]
    assert (verdict["alpha_promote"], verdict["alpha_reject"], verdict["min_pairs"]) == (0.4, 0.1, 7)
    assert len(document["reading"]["changes"]) == 5


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["JOURNAL", "--since", "yesterday"],
        ["JOURNAL", "--margin", "errors"],
        ["JOURNAL", "--margin", "errors=2"],
        ["JOURNAL", "--margin", "erors=0.1"],
        ["JOURNAL", "--alpha-promote", "0"],
        ["JOURNAL", "--alpha-reject", "nan"],
        ["JOURNAL", "--min-pairs", "1.5"],
        ["JOURNAL", "--min-pairs", "inf"],
        ["JOURNAL", "--min-coverage", "1.1"],
    ],
)
def test_wrong_use(journal: JournalMaker, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """2, with a line that says what is wrong, and nothing on standard output."""
    assert run(*(journal.file if word == "JOURNAL" else word for word in words)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "mirrorgate report: " in captured.err


def test_failures(journal: JournalMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1, never a traceback: no such journal, no such candidate, no place for the page."""
    assert run(tmp_path / "none") == 1
    assert run(journal.file, "--cluster", "none") == 1
    assert run(journal.file, "--html", tmp_path / "none" / "report.html") == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert all(line.startswith("mirrorgate report: ") for line in errors)


def test_one_of_several_candidates(journal: JournalMaker, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """The verdict, and so the exit code, is that of the candidate that was asked for."""
    bad = JournalMaker(journal.file, plain_basis("bad"), "bad")
    for _ in range(60):
        bad.pair({"errors": 1.0})
    assert run(journal.file, "--quiet") == 20
    assert run(journal.file, "--json", "--cluster", journal.basis.mirror) == 10
    assert len(json.loads(capsysbinary.readouterr().out)["shadows"]) == 1


def test_a_reader_that_leaves_early_is_no_failure(journal: JournalMaker) -> None:
    """`mirrorgate report J --json | head` ends with the verdict's code and without complaint."""
    command = [sys.executable, "-m", "mirrorgate.cli", "report", str(journal.file), "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (10, b"")
