"""A checkpoint is replaced whole, belongs to one process, and never raises."""

import stat
from pathlib import Path

from mirrorgate.shadow.checkpoint import Checkpoint


def saved(folder: Path, *lines: bytes) -> Checkpoint:
    checkpoint = Checkpoint(folder)
    checkpoint.load()
    checkpoint.save(lines)
    return checkpoint


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """By the next process, from a file that only its owner reads."""
    folder = tmp_path / "new" / "folder"
    first = saved(folder, b"one", b"two")
    first.save([b"three"])
    first.close()
    assert not first.busy
    assert first.working
    second = Checkpoint(folder)
    assert second.load() == [b"three"]
    second.close()
    assert stat.S_IMODE((folder / ".verdicts.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_two_processes_have_a_file_each(tmp_path: Path) -> None:
    """Evidence is never taken up twice; what one let go, the next may take."""
    first = saved(tmp_path, b"first")
    second = Checkpoint(tmp_path)
    assert second.load() == []
    second.save([b"second"])
    second.close()
    third = Checkpoint(tmp_path)
    assert third.load() == [b"second"]
    first.close()
    fourth = Checkpoint(tmp_path)
    assert fourth.load() == [b"first"]
    third.close()
    fourth.close()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """It is logged once, and the caller knows."""
    (tmp_path / "file").write_text("")
    checkpoint = saved(tmp_path / "file" / "folder", b"x")
    checkpoint.close()
    assert not checkpoint.working
    assert checkpoint.load() == []
    checkpoint.close()


def test_a_disk_that_fails_later(tmp_path: Path) -> None:
    """The former file stays, and writing goes on when it works again."""
    checkpoint = saved(tmp_path, b"old")
    checkpoint.close()
    (tmp_path / ".verdicts.tmp").mkdir()
    failing = Checkpoint(tmp_path)
    assert failing.load() == [b"old"]
    failing.save([b"new"])
    failing.close()
    assert not failing.working
    (tmp_path / ".verdicts.tmp").rmdir()
    again = Checkpoint(tmp_path)
    assert again.load() == [b"old"]
    again.save([b"newer"])
    again.close()
    assert (tmp_path / ".verdicts.json").read_bytes() == b"newer\n"


def test_a_strange_file_is_not_followed(tmp_path: Path) -> None:
    """A link in place of the lock is none of ours."""
    (tmp_path / "other").write_text("")
    (tmp_path / ".verdicts.lock").symlink_to(tmp_path / "other")
    checkpoint = Checkpoint(tmp_path)
    assert checkpoint.load() == []
    checkpoint.close()
