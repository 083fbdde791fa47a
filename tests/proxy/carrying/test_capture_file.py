"""The file of a capture holds whole flows, whatever happens to the disk and the process."""

import errno
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.io import FlowReader, FlowWriter, tnetstring
from mitmproxy.test import tflow

from mirrorgate.proxy.carrying.capture_file import CaptureFile, whole_length


def record(n: int = 0) -> bytes:
    """Return one flow in mitmproxy's format."""
    flow = tflow.tflow(resp=True)
    flow.request.path = f"/{n}"
    return tnetstring.dumps(flow.get_state())


def paths(file: Path) -> list[str]:
    """Read a file back with mitmproxy's own reader."""
    with file.open("rb") as stream:
        return [flow.request.path for flow in FlowReader(stream).stream()]  # type: ignore[attr-defined]


def test_what_is_appended_is_read_by_mitmproxy(tmp_path: Path) -> None:
    """Records of two lives of the process stand one after the other."""
    for n in range(2):
        file = CaptureFile(str(tmp_path / "new" / "a.mitm"), lambda: 0.0)
        file.append(record(n))
        file.close()
    assert paths(tmp_path / "new" / "a.mitm") == ["/0", "/1"]
    assert (tmp_path / "new" / "a.mitm").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_a_cut_tail_is_taken_back(tmp_path: Path, cut: int) -> None:
    """What a crash has cut would hide everything behind it."""
    path = tmp_path / "a.mitm"
    path.write_bytes(record(0) + record(1)[:-cut])
    file = CaptureFile(str(path), lambda: 0.0)
    file.append(record(2))
    file.close()
    assert paths(path) == ["/0", "/2"]


def test_another_document_is_not_touched(tmp_path: Path) -> None:
    """A file that holds something else is refused as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    with pytest.raises(ValueError, match="holds no flows"):
        CaptureFile(str(path), lambda: 0.0)
    assert path.read_text() == "my notes"


def test_a_full_disk_leaves_no_half_record(tmp_path: Path) -> None:
    """What was written of a record that does not fit is taken back, and the next one follows."""
    path = tmp_path / "a.mitm"
    room = [10]

    def write(descriptor: int, data: bytes) -> int:
        if not room:
            return os.write(descriptor, data)
        if not room[0]:
            raise OSError(errno.ENOSPC, "no space")
        part = data[: room[0]]
        room[0] -= len(part)
        return os.write(descriptor, part)

    file = CaptureFile(str(path), lambda: 0.0, write)
    with pytest.raises(OSError, match="no space"):
        file.append(record(0))
    room.clear()
    file.append(record(1))
    file.close()
    assert paths(path) == ["/1"]


def test_a_name_follows_the_time(tmp_path: Path) -> None:
    """Words of strftime begin a new file when they change."""
    now = [0.0]
    file = CaptureFile(str(tmp_path / "%Y-%m-%d.mitm"), lambda: now[0])
    file.append(record(0))
    now[0] = 3 * 86400.0
    file.append(record(1))
    file.close()
    assert [paths(each) for each in sorted(tmp_path.iterdir())] == [["/0"], ["/1"]]


@pytest.mark.parametrize("deleted", [True, False])
def test_a_file_that_is_deleted_or_moved_is_begun_anew(tmp_path: Path, deleted: bool) -> None:
    """What comes later stands where it is looked for, and the room of a deleted file is given back."""
    now = [100.0]
    path = tmp_path / "a.mitm"
    file = CaptureFile(str(path), lambda: now[0])
    file.append(record(0))
    moved = path.rename(tmp_path / "b.mitm")
    if deleted:
        moved.unlink()
    now[0] += 2.0
    file.append(record(1))
    file.close()
    assert paths(path) == ["/1"]
    assert deleted or paths(moved) == ["/0"]


def test_a_tail_that_cannot_be_taken_back_at_once_hides_nothing(tmp_path: Path) -> None:
    """A disk that refuses the rest of a record and its removal is asked again before the next record."""
    path = tmp_path / "a.mitm"
    broken = [True]

    def write(descriptor: int, data: bytes) -> int:
        if not broken:
            return os.write(descriptor, data)
        if broken[0]:
            broken[0] = False
            return os.write(descriptor, data[:10])
        raise OSError(errno.EIO, "input/output error")

    def truncate(descriptor: int, size: int) -> None:
        if broken:
            raise OSError(errno.EIO, "input/output error")
        os.ftruncate(descriptor, size)

    file = CaptureFile(str(path), lambda: 0.0, write, truncate)
    with pytest.raises(OSError, match="input/output error"):
        file.append(record(0))
    broken.clear()
    file.append(record(1))
    file.close()
    assert paths(path) == ["/1"]


@given(st.lists(st.integers(0, 3), max_size=4), st.binary(max_size=20))
def test_the_whole_length_is_that_of_whole_records(numbers: list[int], tail: bytes) -> None:
    """Whatever follows, the whole records at the beginning are found, and what is found can be read."""
    whole = b"".join(map(record, numbers))
    descriptor = os.memfd_create("capture")
    try:
        os.write(descriptor, whole + tail)
        length = whole_length(descriptor, len(whole) + len(tail))
    finally:
        os.close(descriptor)
    assert length >= len(whole)
    assert len(list(FlowReader(io.BytesIO(whole)).stream())) == len(numbers)


def test_our_records_are_mitmproxys() -> None:
    """What mitmproxy's own writer writes is a record of ours."""
    stream = io.BytesIO()
    FlowWriter(stream).add(tflow.tflow(resp=True))
    descriptor = os.memfd_create("capture")
    try:
        os.write(descriptor, stream.getvalue())
        assert whole_length(descriptor, len(stream.getvalue())) == len(stream.getvalue())
    finally:
        os.close(descriptor)
