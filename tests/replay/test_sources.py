"""What a source is, and how several are read."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.replay.captured import Captured, Passed
from mirrorgate.replay.gor_source import SEPARATOR
from mirrorgate.replay.sources import Kind, Reading, kind_of

BATCH = b'{"custom_id": "a", "url": "/v1/completions", "body": {}}\n'
HAR = json.dumps({"log": {"version": "1.2", "entries": []}}).encode()
GOR = b"1 a 1 0\nGET / HTTP/1.1\r\nHost: h\r\n\r\n" + SEPARATOR
RECORD = b'{"schema":"mirrorgate.exchange/v1"}\n'


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (BATCH, Kind.BATCH),
        (HAR, Kind.HAR),
        (b"\xef\xbb\xbf " + HAR, Kind.HAR),
        (GOR, Kind.GOREPLAY),
        (RECORD, Kind.JOURNAL),
        (b"", Kind.EMPTY),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_source_is_known_by_its_content(tmp_path: Path, content: bytes, kind: Kind, packed: bool) -> None:
    """Whatever its name, compressed or not."""
    path = tmp_path / "capture"
    path.write_bytes(gzip.compress(content) if packed else content)
    assert kind_of(path) is kind


def test_folders_and_flows(tmp_path: Path, captures: Any) -> None:
    """A folder is a journal's, or nothing."""
    assert kind_of(captures.write(tmp_path / "x", [captures.flow()])) is Kind.FLOWS
    with pytest.raises(ValueError, match="without a journal"):
        kind_of(tmp_path)
    (tmp_path / "exchanges.jsonl").write_bytes(RECORD)
    assert kind_of(tmp_path) is Kind.JOURNAL


def test_what_nobody_knows_is_refused(tmp_path: Path) -> None:
    """Before anything is sent."""
    (tmp_path / "x").write_text("notes")
    with pytest.raises(ValueError, match="no capture that is known"):
        Reading([tmp_path / "x"])
    with pytest.raises(OSError, match="missing"):
        Reading([tmp_path / "missing"])


def test_several_sources_are_read_in_their_order(tmp_path: Path, captures: Any) -> None:
    """A damaged one costs itself, and at the end everything is read."""
    flows = captures.write(tmp_path / "a", [captures.flow(1), captures.flow(2)])
    batch = tmp_path / "b.gz"
    lines = b"".join(BATCH.replace(b'"a"', b'"%d"' % (n * n)) for n in range(20_000))
    batch.write_bytes(gzip.compress(lines)[:-5000])
    reading = Reading([flows, batch, flows])
    found = list(reading)
    ids = [each.id for each in found if isinstance(each, Captured)]
    assert ids[:2] == ids[-2:] == ["flow-1", "flow-2"]
    assert len(ids) > 1000
    assert any(isinstance(each, Passed) and "b.gz" in each.detail for each in found)
    assert reading.position == reading.total
