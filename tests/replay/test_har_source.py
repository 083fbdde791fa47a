"""HAR files."""

import base64
import copy
import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.replay.captured import Captured, Item, Passed, Skip
from mirrorgate.replay.har_source import read_har

ENTRY: dict[str, Any] = {
    "startedDateTime": "2026-11-22T06:00:00.000Z",
    "time": 400.0,
    "request": {
        "method": "POST",
        "url": "http://user:pass@example.com:8080/v1/chat/completions?a=b",
        "headers": [{"name": ":authority", "value": "x"}, {"name": "content-type", "value": "application/json"}],
        "postData": {"mimeType": "application/json", "text": '{"model": "ü"}'},
    },
    "response": {
        "status": 200,
        "headers": [{"name": "Content-Encoding", "value": "br"}],
        "content": {"size": 2, "mimeType": "application/json", "text": "{}"},
    },
    "timings": {"blocked": -1, "dns": 10, "connect": 20, "send": 1, "wait": 69, "receive": 300},
}


def read(*entries: Any, indent: int | None = None) -> list[Item]:
    """Read an archive with these entries."""
    archive = {"log": {"version": "1.2", "creator": {"name": "test"}, "entries": list(entries)}}
    return list(read_har(io.BytesIO(json.dumps(archive, ensure_ascii=False, indent=indent).encode())))


def test_an_entry() -> None:
    """Its request as it was sent, its answer as it was decoded, its times as far as it has them."""
    [entry] = read(ENTRY)
    assert isinstance(entry, Captured)
    assert (entry.method, entry.path, entry.host) == ("POST", "/v1/chat/completions?a=b", "example.com:8080")
    assert entry.headers == [(b"content-type", b"application/json")]
    assert json.loads(entry.body) == {"model": "ü"}
    answer = entry.answer
    assert answer is not None
    assert (answer.status, answer.headers, answer.chunks, answer.times) == (200, [], [b"{}"], [0.4])
    assert (round(answer.upstream_started, 6), round(answer.head_at, 6)) == (0.031, 0.1)


def test_ids_are_the_same_in_every_run() -> None:
    """And differ between entries."""
    other = copy.deepcopy(ENTRY) | {"startedDateTime": "2026-11-22T06:00:01.000Z"}
    first, second = read(ENTRY, other), read(ENTRY, other, indent=2)
    assert first == second
    assert len({each.id for each in first if isinstance(each, Captured)}) == 2


def test_binary_and_missing_contents() -> None:
    """Base64 is decoded; an answer whose content the browser dropped is none."""
    binary, missing = copy.deepcopy(ENTRY), copy.deepcopy(ENTRY)
    binary["response"]["content"] = {"size": 2, "encoding": "base64", "text": base64.b64encode(b"\xff\x00").decode()}
    missing["response"]["content"] = {"size": 900}
    first, second = read(binary, missing)
    assert isinstance(first, Captured)
    assert isinstance(second, Captured)
    assert first.answer is not None
    assert first.answer.chunks == [b"\xff\x00"]
    assert second.answer is None


def test_entries_that_are_longer_than_a_read() -> None:
    """An entry may lie across any number of reads, and the next one is found."""
    long = copy.deepcopy(ENTRY)
    long["request"]["postData"]["text"] = "é" * 600_000
    found = read(ENTRY, long, ENTRY)
    assert [len(each.body) for each in found if isinstance(each, Captured)] == [15, 1_200_000, 15]


def test_damage() -> None:
    """An entry without what it must have is passed by, and an archive that is cut says so."""
    found = read({"request": {}}, ENTRY)
    assert isinstance(found[0], Passed)
    assert isinstance(found[1], Captured)
    whole = json.dumps({"log": {"entries": [ENTRY, ENTRY]}}).encode()
    cut = list(read_har(io.BytesIO(whole[:-100])))
    assert isinstance(cut[0], Captured)
    assert cut[1] == Passed(Skip.DAMAGED, "the archive ends within an entry")


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["request", "response", "url", "method", "headers", "content", "text", "startedDateTime"]), x
), max_leaves=10))  # fmt: skip
def test_any_entry_can_be_read(entry: Any) -> None:
    """No content raises."""
    read(entry, ENTRY | {"response": entry}, ENTRY | {"request": entry}, ENTRY | {"timings": entry})
