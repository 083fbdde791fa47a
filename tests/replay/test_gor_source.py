"""GoReplay's files."""

import io

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.replay.captured import Captured, Item, Passed, Skip
from mirrorgate.replay.gor_source import SEPARATOR, read_gor

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: example.com\r\nContent-Length: 2\r\n\r\n{}"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"


def record(kind: int, id: str, at: int, message: bytes) -> bytes:
    """Write one record."""
    return f"{kind} {id} {at} 0\n".encode() + message + SEPARATOR


def read(data: bytes) -> list[Item]:
    """Read a file."""
    return list(read_gor(io.BytesIO(data)))


def test_requests_and_their_original_answers() -> None:
    """Whatever stands between them; a replayed answer is none of production's."""
    data = (
        record(1, "a", 2_000_000_000, REQUEST)
        + record(1, "b", 2_500_000_000, REQUEST)
        + record(3, "a", 2_600_000_000, ANSWER)
        + record(2, "b", 3_000_000_000, ANSWER)
    )
    first, second = read(data)
    assert isinstance(first, Captured)
    assert isinstance(second, Captured)
    assert (first.id, first.started, first.path, first.host, first.body) == (
        "b", 2.5, "/v1/chat/completions", "example.com", b"{}",
    )  # fmt: skip
    assert first.answer is not None
    assert (first.answer.status, first.answer.chunks, first.answer.times) == (200, [b"[]"], [0.5])
    assert (second.id, second.answer) == ("a", None)


def test_bodies_are_taken_out_of_their_chunks() -> None:
    """A chunked request has the body that was meant."""
    chunked = b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    [entry] = read(record(1, "a", 1, chunked))
    assert isinstance(entry, Captured)
    assert entry.body == b"abc"


def test_damage_is_passed_by() -> None:
    """Half messages and lines that are no record cost themselves only."""
    data = record(1, "a", 1, REQUEST[:-1]) + b"what is this\n" + SEPARATOR + record(1, "b", 1, REQUEST)
    found = read(data)
    assert [each.reason for each in found if isinstance(each, Passed)] == [Skip.DAMAGED] * 2
    assert [each.id for each in found if isinstance(each, Captured)] == ["b"]


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes) -> None:
    """No content raises."""
    read(data)
    read(record(1, "a", 1, data) + record(2, "a", 2, data))
