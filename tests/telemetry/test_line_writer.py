"""Lines to a file whose disk may be slow, full, or swapped."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mirrorgate.telemetry.line_writer import LineWriter


def _until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for another thread's effect, in short steps and not for ever."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("it did not happen in time")


@contextmanager
def _writer(path: Path | str, size: int = 1_000_000) -> Iterator[LineWriter]:
    writer = LineWriter(str(path), max_buffered_bytes=size)
    try:
        yield writer
    finally:
        writer.close(5.0)


def test_lines_arrive_in_order(tmp_path: Path) -> None:
    """All of them, whole, and counted; `close` waits for the last."""
    path = tmp_path / "log"
    lines = [b"line %d\n" % n for n in range(5000)]
    with _writer(path) as writer:
        assert all(writer.write(line) for line in lines)
    assert path.read_bytes() == b"".join(lines)
    assert writer.written == 5000
    assert writer.buffered_bytes == 0
    assert not any(writer.dropped.values())
    assert path.stat().st_mode & 0o777 & ~0o640 == 0


def test_a_buffer_that_fills_waits_for_nothing(tmp_path: Path) -> None:
    """Complete batches are written at once, however many: a wait's worth of lines can be more than the buffer holds."""
    line = b"x" * 1023 + b"\n"
    writer = LineWriter(str(tmp_path / "log"), batch_seconds=3600.0)
    try:
        for part in range(1, 5):
            assert all(writer.write(line) for _ in range(6 << 10))
            _until(lambda part=part: writer.written == part * 6 << 10)  # type: ignore[misc]
    finally:
        writer.close(10.0)
    assert writer.dropped["buffer_full"] == 0


def test_lines_arrive_without_close(tmp_path: Path) -> None:
    """A batch is written soon, not at the end."""
    path = tmp_path / "log"
    with _writer(path) as writer:
        writer.write(b"one\n")
        _until(lambda: path.read_bytes() == b"one\n")


def test_after_close_lines_are_counted_as_lost(tmp_path: Path) -> None:
    """Writing to a closed log is no error."""
    with _writer(tmp_path / "log") as writer:
        pass
    assert not writer.write(b"late\n")
    assert writer.dropped["closed"] == 1


def test_a_full_disk_costs_lines_only(caplog: pytest.LogCaptureFixture) -> None:
    """Every write to /dev/full fails: the buffer fills, then lines are dropped, and it is said once."""
    with _writer("/dev/full", 1000) as writer:
        results = [writer.write(b"x" * 99 + b"\n") for _ in range(50)]
        assert results == [True] * 10 + [False] * 40
        _until(lambda: "cannot be written" in caplog.text)
    assert writer.dropped == {"buffer_full": 40, "torn": 0, "closed": 10}
    assert writer.written == 0
    assert caplog.text.count("cannot be written") == 1


def test_a_disk_that_stalls_holds_nobody_up(tmp_path: Path) -> None:
    """A pipe that nobody reads is the slowest disk: writing returns at once, and resumes when it is read."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with _writer(path, 300_000) as writer:
            line = b"x" * 999 + b"\n"
            accepted = sum(writer.write(line) for _ in range(1000))
            assert 300 <= accepted < 1000
            assert writer.dropped["buffer_full"] == 1000 - accepted
            got = bytearray()

            def read() -> bool:
                with suppress(BlockingIOError):
                    got.extend(os.read(reader, 1 << 20))
                return len(got) == accepted * 1000

            _until(read)
            assert bytes(got) == line * accepted
    finally:
        os.close(reader)


def test_a_disk_with_room_again_goes_on_in_the_middle_of_the_line(tmp_path: Path) -> None:
    """A write that the disk takes half of is continued, so that no line is torn or written twice."""
    path = tmp_path / "log"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with _writer(path) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (25, hard))
        try:
            for number in range(5):
                writer.write(b"number %d.\n" % number)
            _until(lambda: path.stat().st_size == 25)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        _until(lambda: writer.written == 5)
    assert path.read_bytes() == b"".join(b"number %d.\n" % number for number in range(5))


def test_a_renamed_file_is_left(tmp_path: Path) -> None:
    """As logrotate does it: rename, and the next lines are in a new file, without a signal."""
    path = tmp_path / "log"
    with _writer(path) as writer:
        writer.write(b"old\n")
        _until(lambda: path.read_bytes() == b"old\n")
        path.rename(tmp_path / "log.1")

        def moved() -> bool:
            writer.write(b"new\n")
            return path.exists() and path.read_bytes().startswith(b"new\n")

        _until(moved)
    old, new = (tmp_path / "log.1").read_bytes(), path.read_bytes()
    assert old.startswith(b"old\n")
    assert (old + new).count(b"\n") == writer.written


def test_reopen_takes_effect_at_once(tmp_path: Path) -> None:
    """Whoever renames and says so gets the new file without a wait."""
    path = tmp_path / "log"
    with _writer(path) as writer:
        writer.write(b"old\n")
        _until(lambda: path.read_bytes() == b"old\n")
        path.rename(tmp_path / "log.1")
        writer.reopen()
        _until(path.exists)
        writer.write(b"new\n")
    assert (tmp_path / "log.1").read_bytes() == b"old\n"
    assert path.read_bytes() == b"new\n"


def test_a_folder_that_went_away_is_survived(tmp_path: Path) -> None:
    """Lines go on to the old file until the path can be opened again."""
    folder = tmp_path / "logs"
    folder.mkdir()
    with _writer(folder / "log") as writer:
        writer.write(b"one\n")
        _until(lambda: writer.written == 1)
        folder.rename(tmp_path / "moved")
        writer.reopen()
        writer.write(b"two\n")
        _until(lambda: writer.written == 2)
        folder.mkdir()
        writer.reopen()
        _until((folder / "log").exists)
        writer.write(b"three\n")
    assert (tmp_path / "moved/log").read_bytes() == b"one\ntwo\n"
    assert (folder / "log").read_bytes() == b"three\n"


def test_a_line_that_a_crash_cut_is_ended(tmp_path: Path) -> None:
    """The line before ours stays broken, ours does not become its tail."""
    path = tmp_path / "log"
    path.write_bytes(b"whole\nhalf a li")
    with _writer(path) as writer:
        writer.write(b"next\n")
    assert path.read_bytes() == b"whole\nhalf a li\nnext\n"


def test_a_file_that_changes_in_the_middle_of_a_line(tmp_path: Path) -> None:
    """The rest of that line is in neither file: it is dropped and counted."""
    path = tmp_path / "log"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with _writer(path) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))
        try:
            writer.write(b"number 1\n")
            writer.write(b"number 2\n")
            _until(lambda: path.stat().st_size == 5)
            path.rename(tmp_path / "log.1")
        finally:
            writer.reopen()
            _until(path.exists)
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        _until(lambda: writer.written == 1)
    assert path.read_bytes() == b"number 2\n"
    assert writer.dropped["torn"] == 1
    assert writer.buffered_bytes == 0


def test_what_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """At the start, where somebody reads it."""
    for path in (tmp_path / "missing/log", tmp_path):
        with pytest.raises(OSError, match=str(path)):
            LineWriter(str(path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"):
        LineWriter(str(tmp_path / "pipe"))


def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """`-` writes to the descriptor, and closing leaves it open."""
    with _writer("-") as writer:
        writer.write(b"to stdout\n")
        writer.reopen()
    assert capfd.readouterr().out == "to stdout\n"
    os.fstat(1)
