"""An answer is read the same however it is cut, and whatever is wrong with it ends it."""

import itertools
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.shadow.answering import HEAD_LIMIT, AnswerReader, LegOutcome
from mirrorgate.shadow.holding import Holding

ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\nX-T: 1\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    "to the end": b"HTTP/1.1 200 OK\r\n\r\nhello world",
    "1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
}
REUSABLE = {"length", "chunked", "interim"}


def read(wire: bytes, cuts: list[int], method: str = "POST") -> AnswerReader:
    reader = AnswerReader(method)
    edges = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    for number, (a, b) in enumerate(itertools.pairwise(edges)):
        reader.feed(wire[a:b], float(number))
    reader.eof(99.0)
    return reader


@pytest.mark.parametrize("name", ANSWERS)
@given(cuts=st.lists(st.integers(0, 200), max_size=12))
def test_any_cut_gives_the_same_answer(name: str, cuts: list[int]) -> None:
    """Status, fields, body and the judgement on the connection do not depend on the reads."""
    reader = read(ANSWERS[name], cuts)
    answer = reader.answer
    assert (answer.outcome, answer.status, answer.detail) == (LegOutcome.COMPLETE, 200, "")
    assert b"".join(answer.chunks) == b"hello world"
    assert (answer.size, answer.kept) == (11, 11)
    assert len(answer.times) == len(answer.chunks)
    assert answer.times == sorted(answer.times)
    assert reader.keep_alive is (name in REUSABLE)


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_garbage_ends_as_an_outcome(pieces: list[bytes]) -> None:
    """No bytes raise; an answer always ends once the connection does."""
    reader = AnswerReader("POST")
    for number, piece in enumerate(pieces):
        reader.feed(piece, float(number))
    reader.eof(99.0)
    assert reader.done


@pytest.mark.parametrize(
    ("wire", "outcome"),
    [
        (b"", LegOutcome.RESET),
        (b"HTTP/1.1 200 OK\r\n", LegOutcome.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", LegOutcome.RESET),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", LegOutcome.RESET),
        (b"HTTP/1.1 100 Continue\r\n\r\n", LegOutcome.RESET),
        (b"\x16\x03\x01\x02\x00", LegOutcome.PROTOCOL_ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", LegOutcome.PROTOCOL_ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", LegOutcome.PROTOCOL_ERROR),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", LegOutcome.PROTOCOL_ERROR),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            LegOutcome.PROTOCOL_ERROR,
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (HEAD_LIMIT + 1), LegOutcome.PROTOCOL_ERROR),
    ],
)
def test_what_is_wrong_has_a_name(wire: bytes, outcome: LegOutcome) -> None:
    """Each way of being cut or malformed is an outcome, and the connection is not used again."""
    reader = read(wire, [])
    assert reader.answer.outcome is outcome
    assert reader.answer.detail
    assert not reader.keep_alive


@pytest.mark.parametrize(
    ("wire", "method"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "POST"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", "GET"),
    ],
)
def test_answers_without_a_body_are_complete_with_their_head(wire: bytes, method: str) -> None:
    """HEAD, 204 and 304 have no body whatever their fields say."""
    reader = AnswerReader(method)
    reader.feed(wire, 1.0)
    assert reader.done
    assert reader.answer.outcome is LegOutcome.COMPLETE
    assert reader.answer.size == 0


def test_bytes_behind_an_answer_are_ignored_and_spoil_the_connection() -> None:
    """A second answer that nobody asked for changes nothing in the first."""
    for extra in (b"HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nX", b"junk"):
        together = AnswerReader("POST")
        together.feed(ANSWERS["length"] + extra, 1.0)
        apart = AnswerReader("POST")
        apart.feed(ANSWERS["length"], 1.0)
        assert apart.keep_alive
        apart.feed(extra, 2.0)
        for reader in (together, apart):
            assert (reader.answer.status, b"".join(reader.answer.chunks)) == (200, b"hello world")
            assert reader.answer.outcome is LegOutcome.COMPLETE
            assert not reader.keep_alive


def test_an_answer_beyond_what_is_kept_is_read_counted_and_too_large() -> None:
    """The beginning is kept, the rest counted; beyond the second limit the answer is cut off."""
    reader = AnswerReader("POST", keep=10, discard=1000)
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n" + b"a" * 8, 1.0)
    reader.feed(b"b" * 8, 2.0)
    assert not reader.done
    reader.feed(b"c" * 14, 3.0)
    assert reader.answer.outcome is LegOutcome.TOO_LARGE
    assert b"".join(reader.answer.chunks) == b"a" * 8 + b"bb"
    assert reader.answer.size == 30
    assert reader.keep_alive
    flood = AnswerReader("POST", keep=10, discard=1000)
    flood.feed(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1000, 1.0)
    assert flood.done
    assert flood.answer.outcome is LegOutcome.TOO_LARGE
    assert not flood.keep_alive


def test_what_is_kept_is_counted_and_stops_when_memory_is_short() -> None:
    """The bytes taken from the holding are exactly those in the chunks."""
    holding = Holding(20)
    reader = AnswerReader("POST", holding)
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + b"a" * 15, 1.0)
    reader.feed(b"b" * 15, 2.0)
    reader.feed(b"c" * 10, 3.0)
    assert reader.answer.outcome is LegOutcome.TOO_LARGE
    assert (reader.answer.kept, holding.held, b"".join(reader.answer.chunks)) == (15, 15, b"a" * 15)


def test_the_first_end_counts() -> None:
    """A timeout after the end changes nothing, and bytes after a timeout neither."""
    reader = read(ANSWERS["length"], [])
    reader.stop(LegOutcome.TIMEOUT, "late", 100.0)
    assert reader.answer.outcome is LegOutcome.COMPLETE
    stopped = AnswerReader("POST")
    stopped.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 1.0)
    stopped.stop(LegOutcome.TIMEOUT, "late", 2.0)
    stopped.feed(b"cde", 3.0)
    stopped.eof(4.0)
    assert stopped.answer.outcome is LegOutcome.TIMEOUT
    assert (stopped.answer.finished, b"".join(stopped.answer.chunks)) == (2.0, b"ab")


@pytest.mark.parametrize("ending", ["whole", "cut", "stopped", "malformed"])
def test_an_answer_that_is_over_is_freed_at_once(ending: str) -> None:
    """The collector comes by seldom in a process that is idle, and nobody counts what waits for it."""
    reader = AnswerReader("POST")
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 1.0)
    if ending == "whole":
        reader.feed(b"0\r\n\r\n", 2.0)
    elif ending == "cut":
        reader.eof(2.0)
    elif ending == "stopped":
        reader.stop(LegOutcome.TIMEOUT, "late", 2.0)
    else:
        reader.feed(b"no size", 2.0)
    assert reader.done
    answer = weakref.ref(reader)
    del reader
    assert answer() is None
