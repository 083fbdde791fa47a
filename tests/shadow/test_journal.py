"""The journal survives crashes, full disks and company."""

import base64
import errno
import gzip
import json
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.shadow.journal import Journal, Write
from mirrorgate.shadow.journal_reading import Damaged, Record, files_of, read
from mirrorgate.shadow.recording import SCHEMA

BIG = 1 << 40


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def record(number: int, size: int = 0) -> bytes:
    return json.dumps({"schema": SCHEMA, "number": number, "pad": "x" * size}).encode()


def numbers(folder: Path) -> list[int]:
    found = list(read([folder]))
    assert all(isinstance(each, Record) for each in found), found
    return [each.value["number"] for each in found if isinstance(each, Record)]


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Any]:
    """Open journals that are closed with the test."""
    opened: list[Journal] = []

    def make(max_bytes: int = BIG, keep_bytes: int = 0, clock: Clock | None = None, write: Write = os.write) -> Journal:
        journal = Journal(tmp_path / "journal", max_bytes, keep_bytes, clock or Clock(), write)
        opened.append(journal)
        return journal

    yield make
    for journal in opened:
        journal.close()


def test_records_are_readable_as_soon_as_they_are_appended(journals: Any, tmp_path: Path) -> None:
    """A reader beside the writer sees every record."""
    journal = journals()
    for number in range(3):
        assert journal.append(record(number))
        assert numbers(tmp_path / "journal") == list(range(number + 1))
    assert (journal.written, journal.dropped) == (3, 0)


def test_only_the_owner_may_read(journals: Any, tmp_path: Path) -> None:
    """Folders are 0700 and files 0600, the compressed ones too."""
    journal = journals(max_bytes=10)
    journal.append(record(1))
    journal.append(record(2))
    journal.wait_for_compression()
    folder = tmp_path / "journal"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name.rpartition(".")[2]: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"jsonl": 0o600, "gz": 0o600}


def test_files_are_rotated_by_size_and_compressed(journals: Any, tmp_path: Path) -> None:
    """No file exceeds its size, the finished ones are gzip, and reading gives every record in order."""
    journal, clock = journals(max_bytes=500, clock=(clock := Clock())), clock
    for number in range(40):
        clock.now += 1
        assert journal.append(record(number, 60))
    journal.wait_for_compression()
    files = files_of([tmp_path / "journal"])
    assert len(files) > 5
    assert [file.suffix for file in files] == [".gz"] * (len(files) - 1) + [".jsonl"]
    assert all(len(gzip.decompress(file.read_bytes())) <= 500 for file in files[:-1])
    assert numbers(tmp_path / "journal") == list(range(40))


def test_two_rotations_in_one_moment_have_two_names(journals: Any, tmp_path: Path) -> None:
    """A clock that stands still loses no file."""
    journal = journals(max_bytes=1)
    for number in range(5):
        journal.append(record(number))
    journal.wait_for_compression()
    assert sorted(numbers(tmp_path / "journal")) == list(range(5))


def test_the_oldest_files_go_when_there_are_too_many(journals: Any, tmp_path: Path) -> None:
    """Finished files together stay within the limit; the newest stay; foreign files are not touched."""
    journal, clock = journals(max_bytes=200, keep_bytes=600, clock=(clock := Clock())), clock
    folder = tmp_path / "journal"
    folder.mkdir(mode=0o700)
    (folder / "notes.txt").write_text("mine")
    for number in range(60):
        clock.now += 1
        journal.append(record(number, 100))
    journal.wait_for_compression()
    finished = [path for path in folder.iterdir() if path.suffix == ".gz"]
    assert 0 < sum(path.stat().st_size for path in finished) <= 600
    kept = numbers(folder)
    assert kept == list(range(kept[0], 60))
    assert kept[0] > 40
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_cut_line_costs_itself_only(journals: Any, tmp_path: Path) -> None:
    """After a crash within a line the next process starts a new line, and reading shows the damage."""
    journal = journals()
    journal.append(record(1))
    journal.close()
    path = tmp_path / "journal" / "exchanges.jsonl"
    path.write_bytes(path.read_bytes() + record(2)[:17])
    journals().append(record(3))
    found = list(read([tmp_path / "journal"]))
    assert [type(each) for each in found] == [Record, Damaged, Record]
    assert isinstance(found[1], Damaged)
    assert (found[1].line, found[1].file) == (2, path)


def test_a_full_disk_drops_records_and_recovers(journals: Any, tmp_path: Path) -> None:
    """What does not fit is counted; a line that was half written is taken back; writing goes on when there is room."""
    room = 150

    def write(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = os.write(descriptor, data[:room])
        room -= taken
        return taken

    journal = journals(write=write)
    assert [journal.append(record(number, 50)) for number in range(4)] == [True, False, False, False]
    room = 10_000
    assert journal.append(record(4, 50))
    assert (journal.written, journal.dropped) == (2, 3)
    assert numbers(tmp_path / "journal") == [0, 4]


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The kernel's own limit on a file's size costs records, not the process."""
    script = textwrap.dedent(f"""
        import resource, sys
        from pathlib import Path
        from mirrorgate.shadow.journal import Journal
        journal = Journal(Path({str(tmp_path / "journal")!r}), 1 << 40, 0, lambda: 1.0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        line = b'{{"schema": "{SCHEMA}", "number": 1, "pad": "' + b"x" * 300 + b'"}}'
        first = [journal.append(line) for _ in range(4)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(first, journal.append(line), journal.written, journal.dropped)
        journal.close()
    """)
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "addons")},
    )
    assert done.stdout.strip() == "[True, True, False, False] True 3 2"
    assert numbers(tmp_path / "journal") == [1, 1, 1]
    assert resource.RLIMIT_FSIZE is not None
    assert signal.SIGXFSZ is not None


def test_a_folder_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    """A bad folder drops records; once it can be made they are written."""
    blocker = tmp_path / "blocker"
    blocker.write_text("a file")
    clock = Clock()
    journal = Journal(blocker / "journal", BIG, 0, clock)
    assert not journal.append(record(1))
    blocker.unlink()
    assert not journal.append(record(2))
    clock.now += 10
    assert journal.append(record(3))
    assert (journal.written, journal.dropped) == (1, 2)
    journal.close()
    assert numbers(blocker / "journal") == [3]


def test_a_deleted_file_is_begun_anew(journals: Any, tmp_path: Path) -> None:
    """A user who removes the file, or the folder, gets the next records in a new one."""
    journal, clock = journals(clock=(clock := Clock())), clock
    journal.append(record(1))
    path = tmp_path / "journal" / "exchanges.jsonl"
    path.unlink()
    path.parent.rmdir()
    clock.now += 2
    assert journal.append(record(2))
    assert numbers(tmp_path / "journal") == [2]


@pytest.mark.parametrize("waits", [2.0, 0.0])
def test_a_file_that_is_moved_away_is_left_and_a_new_one_begun(journals: Any, tmp_path: Path, waits: float) -> None:
    """A user who moves the file, or the whole folder, loses no record to a rotation that finds nothing to rename."""
    journal, clock = journals(max_bytes=300, clock=(clock := Clock())), clock
    assert journal.append(record(1))
    folder = tmp_path / "journal"
    (folder / "exchanges.jsonl").rename(tmp_path / "moved.jsonl")
    clock.now += waits
    for number in range(2, 20):
        clock.now += 0.01
        assert journal.append(record(number, 40))
    folder.rename(tmp_path / "moved")
    clock.now += 2
    assert journal.append(record(20))
    journal.wait_for_compression()
    assert journal.dropped == 0
    assert numbers(folder) == [20]
    moved = json.loads((tmp_path / "moved.jsonl").read_bytes().splitlines()[-1])["number"]
    assert numbers(tmp_path / "moved") == list(range(moved + 1, 20))


def test_writers_that_share_a_folder_do_not_mix(journals: Any, tmp_path: Path) -> None:
    """Each process has a file of its own, and a file that was left is taken up again."""
    one, two = journals(), journals()
    one.append(record(1))
    two.append(record(2))
    names = {path.name for path in (tmp_path / "journal").iterdir()}
    assert names == {"exchanges.jsonl", "exchanges.1.jsonl"}
    one.close()
    journals().append(record(3))
    assert {path.name for path in (tmp_path / "journal").iterdir()} == names
    assert sorted(numbers(tmp_path / "journal")) == [1, 2, 3]


def test_a_link_in_place_of_the_file_is_not_followed(journals: Any, tmp_path: Path) -> None:
    """A symbolic link cannot redirect the journal into another file."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / "exchanges.jsonl").symlink_to(victim)
    assert not journals().append(record(1))
    assert victim.read_text() == "precious"


def test_what_a_crash_left_is_compressed_at_the_next_start(journals: Any, tmp_path: Path) -> None:
    """A finished file that was not compressed is, and the rest of a broken compression goes."""
    folder = tmp_path / "journal"
    folder.mkdir()
    left = folder / "exchanges-20260101T000000.000000Z.jsonl"
    left.write_bytes(record(1) + b"\n")
    broken = folder / "exchanges-20260102T000000.000000Z.jsonl.gz.tmp"
    broken.write_bytes(b"half")
    journal = journals()
    journal.append(record(2))
    journal.wait_for_compression()
    assert {path.name for path in folder.iterdir()} == {"exchanges.jsonl", left.name + ".gz"}
    assert numbers(folder) == [1, 2]


def test_two_processes_do_not_compress_the_same_file(journals: Any, tmp_path: Path) -> None:
    """One that is being compressed is left alone: it is whole as soon as the plain one is gone."""
    folder = tmp_path / "journal"
    folder.mkdir(mode=0o700)
    finished = folder / "exchanges-20260101T000000.000000Z.jsonl"
    content = base64.b64encode(random.Random(1).randbytes(6 << 20))
    finished.write_bytes(content)
    half = finished.with_suffix(".jsonl.gz.tmp")
    first = journals()
    assert first.append(record(100))
    while finished.exists() and not (half.exists() and half.stat().st_size > 5 << 20):
        pass
    second = journals()
    assert second.append(record(101))
    first.wait_for_compression()
    assert not finished.exists()
    assert gzip.decompress(finished.with_suffix(".jsonl.gz").read_bytes()) == content


def test_a_clock_that_is_set_back_holds_nothing_up(journals: Any, tmp_path: Path) -> None:
    """A disk that is back is written again, and a file that was deleted is noticed, within seconds of any clock."""
    clock = Clock()
    journal = journals(clock=clock)
    assert journal.append(record(1))
    clock.now -= 86_400.0
    (tmp_path / "journal" / "exchanges.jsonl").unlink()
    assert journal.append(record(2))
    assert numbers(tmp_path / "journal") == [2]
    blocked = tmp_path / "blocked"
    blocked.write_bytes(b"")
    waiting = Journal(blocked, BIG, 0, clock)
    assert not waiting.append(record(3))
    blocked.unlink()
    clock.now -= 86_400.0
    assert waiting.append(record(4))
    waiting.close()
    assert numbers(blocked) == [4]
