"""A checkpoint is replaced whole, belongs to one process, and never raises."""

import stat
import subprocess
import sys
import time
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


_HOLDER = """
import sys
from pathlib import Path
from mirrorgate.shadow.checkpoint import Checkpoint
checkpoint = Checkpoint(Path(sys.argv[1]))
checkpoint.load()
print("holds", flush=True)
sys.stdin.readline()
checkpoint.save([b"all that it judged"])
checkpoint.close()
"""
_GATEWAY = """
import subprocess, sys
subprocess.run([sys.executable, "-c", *sys.argv[1:]])
"""


def test_the_evidence_of_a_gateway_that_was_killed_is_waited_for(tmp_path: Path) -> None:
    """Its shadow process still judges what it has, and saves it at its end; nobody begins without it meanwhile."""
    command = [sys.executable, "-c", _GATEWAY, _HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as gateway:
        assert gateway.stdin is not None
        assert gateway.stdout is not None
        assert gateway.stdout.readline() == b"holds\n"
        other = Checkpoint(tmp_path)
        assert other.load() == [], "nobody waits for one whose gateway lives"
        other.close()
        gateway.kill()
        gateway.wait()
        waited = []

        def pause(seconds: float) -> None:
            if not waited:
                gateway.stdin.write(b"\n")  # type: ignore[union-attr]
                gateway.stdin.flush()  # type: ignore[union-attr]
            waited.append(seconds)
            time.sleep(seconds)

        successor = Checkpoint(tmp_path, pause)
        assert successor.load() == [b"all that it judged"]
        assert waited
        successor.close()


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
