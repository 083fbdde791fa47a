"""Reading gives what there is and shows what is lost."""

import gzip
import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirrorgate.shadow.journal import Journal
from mirrorgate.shadow.journal_reading import Damaged, Record, files_of, read
from mirrorgate.shadow.recording import SCHEMA

GOOD = json.dumps({"schema": SCHEMA, "id": "a"}).encode() + b"\n"


def test_each_kind_of_damage_is_a_value(tmp_path: Path) -> None:
    """Bad lines are shown with their number, and good ones around them are read."""
    file = tmp_path / "x.jsonl"
    file.write_bytes(GOOD + b"{cut\n" + b"\n" + b"[1]\n" + b'{"schema": "other"}\n' + b"\xff\xfe\n" + GOOD + GOOD[:20])
    found = list(read([file]))
    assert [type(each) for each in found] == [Record, Damaged, Damaged, Damaged, Damaged, Record, Damaged]
    assert [each.line for each in found] == [1, 2, 4, 5, 6, 7, 8]
    last = found[-1]
    assert isinstance(last, Damaged)
    assert last.reason.startswith("the line is cut off")


def test_a_cut_gzip_gives_its_beginning(tmp_path: Path) -> None:
    """A compressed file that ends too early gives the lines before its end."""
    file = tmp_path / "x.jsonl.gz"
    raw = gzip.compress(b"".join(json.dumps({"schema": SCHEMA, "n": n}).encode() + b"\n" for n in range(5000)))
    file.write_bytes(raw[: len(raw) // 2])
    found = list(read([file]))
    assert isinstance(found[0], Record)
    assert isinstance(found[-1], Damaged)


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    """A path that does not exist is shown, and the next one is read."""
    good = tmp_path / "good.jsonl"
    good.write_bytes(GOOD)
    found = list(read([tmp_path / "none.jsonl", good]))
    assert [type(each) for each in found] == [Damaged, Record]


def test_files_come_in_the_order_of_their_time(tmp_path: Path) -> None:
    """Finished files by time, active ones last; no plain twin of a compressed file, no foreign file."""
    names = [
        "exchanges.jsonl",
        "exchanges.1.jsonl",
        "exchanges-20260102T000000.000000Z.jsonl.gz",
        "exchanges-20260102T000000.000000Z.jsonl",
        "exchanges-20260101T000000.000000Z.jsonl",
        "other.jsonl",
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in files_of([tmp_path])] == [names[4], names[2], names[1], names[0]]


@given(st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_can_be_read(tmp_path: Path, data: bytes) -> None:
    """No content raises, compressed or not."""
    for name, content in (("x.jsonl", data), ("y.jsonl.gz", data), ("z.jsonl.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(content)
        list(read([tmp_path / name]))


def numbered(number: int) -> bytes:
    return json.dumps({"schema": SCHEMA, "number": number}).encode()


def test_what_is_rotated_while_it_is_read_is_read(tmp_path: Path) -> None:
    """A report over a journal that is being written has every record that there was when it began, and each once."""
    moment = iter(range(1_800_000_000, 1_900_000_000))
    journal = Journal(tmp_path, 1, 0, lambda: float(next(moment)))
    for number in range(3):
        assert journal.append(numbered(number))
    journal.wait_for_compression()
    reading = read([tmp_path])
    first = next(reading)
    assert journal.append(numbered(3))
    journal.wait_for_compression()
    found = [first, *reading]
    assert [each.value["number"] for each in found if isinstance(each, Record)] == [0, 1, 2]
    assert len(found) == 3
    journal.close()


def test_what_is_compressed_while_others_are_read_is_read(tmp_path: Path) -> None:
    """The plain file that was there when it began may be gone; its content is not."""
    for day in (1, 2):
        (tmp_path / f"exchanges-2026010{day}T000000.000000Z.jsonl").write_bytes(numbered(day) + b"\n")
    reading = read([tmp_path])
    first = next(reading)
    journal = Journal(tmp_path, 1 << 30, 0, lambda: 1.0)
    assert journal.append(numbered(3))
    journal.wait_for_compression()
    found = [first, *reading]
    assert [each.value["number"] for each in found if isinstance(each, Record)] == [1, 2]
    assert len(found) == 2
    journal.close()
