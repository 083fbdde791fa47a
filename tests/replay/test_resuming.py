"""A run that goes on, and one that must not."""

import gzip
import json
from pathlib import Path

import pytest

from mirrorgate.replay.resuming import NOTHING_DONE, Asked, Done, done_in, prepare

ASKED = Asked(["/a"], "http://b", "", "", "{}", "", 1)


def record(id: str) -> bytes:
    """Write the beginning of a journal's record."""
    return json.dumps({"schema": "mirrorgate.exchange/v1", "run": "r", "sequence": 1, "id": id}).encode() + b"\n"


def test_what_a_journal_has_is_done(tmp_path: Path) -> None:
    """Finished and active files, other lines and cut ones."""
    (tmp_path / "exchanges-20260101T000000.000000Z.jsonl.gz").write_bytes(gzip.compress(record("a") + record("b")))
    (tmp_path / "exchanges.jsonl").write_bytes(record("c") + b'{"step":"dropped"}\n' + record("d")[:-20])
    assert list(done_in(tmp_path)) == ["a", "b", "c"]
    done = Done(done_in(tmp_path))
    assert [id in done for id in "abcd"] == [True, True, True, False]
    assert len(done) == 3


def test_a_run_is_resumed_with_the_same_question_only(tmp_path: Path) -> None:
    """Evidence of two questions is never added up."""
    folder = tmp_path / "j"
    assert prepare(folder, ASKED, resume=False) is NOTHING_DONE
    (folder / "exchanges.jsonl").write_bytes(record("a"))
    assert "a" in prepare(folder, ASKED, resume=True)
    with pytest.raises(ValueError, match="repeat"):
        prepare(folder, Asked(["/a"], "http://b", "", "", "{}", "", 2), resume=True)


def test_another_run_s_journal_is_not_written_into(tmp_path: Path) -> None:
    """Neither a replay's nor the gateway's."""
    prepare(tmp_path / "j", ASKED, resume=False)
    with pytest.raises(ValueError, match="--resume"):
        prepare(tmp_path / "j", ASKED, resume=False)
    (tmp_path / "exchanges.jsonl").write_bytes(b"")
    with pytest.raises(ValueError, match="--resume"):
        prepare(tmp_path, ASKED, resume=False)
    with pytest.raises(ValueError, match="no replay"):
        prepare(tmp_path, ASKED, resume=True)
