"""Heads that a client sends again: they mean what they would mean if they were parsed each time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.proxy.messages.head_memory import HeadMemory
from mirrorgate.proxy.messages.heads import Fields, Malformed, RequestHead, ResponseHead
from mirrorgate.proxy.messages.http1 import RequestReader
from mirrorgate.proxy.messages.http1_answers import ResponseReader


class Sink:
    """Notes what a reader tells, heads without the notes that remembered ones share, pieces of a body joined."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.heads: list[RequestHead] = []

    def request_head(self, head: RequestHead) -> None:
        self.heads.append(head)
        self.events.append(msgspec.structs.replace(head, notes=None))

    def request_body(self, data: bytes) -> None:
        if isinstance(self.events[-1], bytes):
            data = self.events.pop() + data  # type: ignore[operator]
        self.events.append(data)

    def request_end(self, trailers: Fields) -> None:
        self.events.append(("end", trailers))


def read(pieces: Iterable[bytes], most: int = 4096) -> tuple[Sink, tuple[object, ...]]:
    """Feed pieces until the end, or until they are malformed, and say how the reader is left."""
    sink = Sink()
    reader = RequestReader(sink, most)
    error = ""
    try:
        for piece in pieces:
            reader.feed(piece)
    except Malformed as malformed:
        error = str(malformed)
    return sink, (error, reader.idle, reader.past, reader.upgraded, reader.held)


def parsed(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """Cut each piece behind its first byte, so that nothing comes whole and all of it is parsed."""
    return (part for piece in pieces for part in (piece[:1], piece[1:]) if part)


def post(length: bytes, body: bytes = b"", *fields: bytes) -> bytes:
    """Return the bytes of a POST."""
    return b"\r\n".join(
        (b"POST /a?b HTTP/1.1", b"Host: a", b"Content-Length: " + length, b"X-A: 1", *fields, b"", body)
    )


def whole(size: int, *fields: bytes) -> bytes:
    """Return a POST with a body of so many bytes."""
    return post(b"%d" % size, b"x" * size, *fields)


GET = b"GET / HTTP/1.1\r\nhost: a\r\naccept: */*\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [GET, GET],
        [whole(5), whole(5)],
        [whole(5), whole(0), whole(700), whole(99_999)],
        [whole(5, b"connection: keep-alive"), whole(6, b"connection: keep-alive")],
    ],
)
def test_the_same_head_is_known_again(pieces: Sequence[bytes]) -> None:
    """With whatever length; what has been worked out of one serves the next."""
    sink, left = read(pieces)
    assert left == ("", True, 0, False, b"")
    assert len({id(head.notes) for head in sink.heads}) == 1
    assert sink.heads[0].notes is not None
    assert (sink.events, left) == (lambda other: (other[0].events, other[1]))(read(parsed(pieces)))


@pytest.mark.parametrize(
    "second",
    [
        post(b"5", b"1234"),
        post(b"5", b"123456"),
        post(b"+5", b"12345"),
        post(b"-5", b"12345"),
        post(b"0x5", b"12345"),
        post(b"5_0", b"x" * 50),
        post(b"", b"12345"),
        post(b" ", b"12345"),
        post(b"5,5", b"12345"),
        post(b"5\r\nContent-Length: 5", b"12345"),
        post(b"5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        post("٥".encode(), b"12345"),
        post(b"5", b"12345", b"x: 2"),
        whole(5) + whole(5),
        whole(5)[:-1],
        whole(5).replace(b"\r\n", b"\n"),
        whole(5).replace(b"X-A: 1", b"X-A:\x001"),
        GET,
    ],
)
def test_another_head_is_parsed(second: bytes) -> None:
    """A length that is none, another field, more or less than one request: nothing of it is taken for the known one."""
    sink, left = read([whole(5), second])
    assert all(head.notes is not sink.heads[0].notes for head in sink.heads[1:2])
    other, otherwise = read([whole(5), *parsed([second])])
    assert (sink.events, left) == (other.events, otherwise)


@pytest.mark.parametrize(
    "first",
    [
        whole(5, b"connection: close"),
        whole(5, b"transfer-encoding: chunked"),
        whole(5, b"expect: 100-continue"),
        whole(5, b"upgrade: h2c", b"connection: upgrade"),
        whole(5, b"user-agent: a", b"user-agent: b"),
        whole(5).replace(b"1.1\r\n", b"1.0\r\nconnection: keep-alive\r\n"),
        whole(5).replace(b"/a?b", b"http://b/a?b"),
        whole(5, b"x-b: " + b"y" * 2048),
        post(b"5 ", b"12345"),
    ],
)
def test_a_head_with_something_to_decide_is_not_kept(first: bytes) -> None:
    """Nor one that would take an idle connection's memory."""
    sink, _ = read([first, first])
    assert [head.notes for head in sink.heads] == [None] * len(sink.heads)


@pytest.mark.parametrize("size", [5, 100_000])
def test_a_request_behind_a_last_one_is_none(size: int) -> None:
    """Also one whose head is known, and one behind a body that went past the parser."""
    last = whole(size, b"connection: close")
    cut = len(last) // 2
    sink, left = read([whole(5), last[:cut], last[cut:], whole(5)])
    assert left[0]
    assert len(sink.heads) == 2


def test_a_body_is_no_request() -> None:
    """Bytes of a body that look like the known head are the body's."""
    known, begun = whole(5), post(b"%d" % (2 * len(whole(5))))
    sink, left = read([known, begun, known, known])
    assert len(sink.heads) == 2
    assert sink.events[-2:] == [known + known, ("end", ())]
    assert left[:3] == ("", True, 0)


def test_a_client_that_repeats_nothing_costs_nothing() -> None:
    """After a few heads that came once, none is kept."""
    pieces = [whole(5, b"x-b: %d" % (n // 2 if n > 20 else n)) for n in range(40)]
    sink, _ = read(pieces)
    assert [head.notes is not None for head in sink.heads] == [True] * 4 + [False] * 36


def test_a_malformed_stream_ends() -> None:
    """What comes behind it is no request, however well it is known."""
    sink = Sink()
    reader = RequestReader(sink, 4096)
    reader.feed(GET)
    for data in (b"\x00\x00", GET, GET):
        with pytest.raises(Malformed):
            reader.feed(data)
    assert len(sink.heads) == 1


_BYTES = st.sampled_from(
    [b"\r\n", b"\n", b" ", b"\t", b"0", b"9", b":", b",", b"\x00", b"close", b"X", b"\r\n\r\n", b""]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One of a few requests, which often follow one another, with a byte or two exchanged now and then."""
    body = b"x" * draw(st.sampled_from([0, 1, 5, 10, 700]))
    made: bytes = draw(
        st.sampled_from(
            [
                GET,
                post(b"%d" % len(body), body),
                post(b"%d" % len(body), body),
                post(b"0%d" % len(body), body),
                post(b"%d" % len(body), body, b"connection: close"),
                post(b"%d" % len(body), body, b"connection: upgrade", b"upgrade: websocket"),
                GET.replace(b"accept", b"connection: upgrade\r\nupgrade: websocket\r\naccept"),
                whole(len(body)).replace(b"Content-Length", b"content-LENGTH"),
                post(b"%d" % len(body), body).replace(b"1.1", b"1.0"),
                b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            ]
        )
    )
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(made)))
        made = made[:at] + draw(_BYTES) + made[at + draw(st.integers(0, 1)) :]
    return made


@given(st.lists(requests(), min_size=2, max_size=6), st.booleans())
def test_what_is_known_again_means_what_it_would_mean(pieces: list[bytes], join: bool) -> None:
    """The same events, the same heads and the same end, whether heads are remembered or parsed."""
    if join:
        pieces = [b"".join(pieces[:2]), *pieces[2:]]
    sink, left = read(pieces)
    other, otherwise = read(parsed(pieces))
    assert (sink.events, left) == (other.events, otherwise)


@given(st.binary(max_size=40), st.integers(0, 60))
def test_nothing_is_read_beyond_what_came(tail: bytes, cut: int) -> None:
    """Whatever comes in place of the length and behind it."""
    memory: HeadMemory[RequestHead] = HeadMemory()
    sink, _ = read([whole(5)])
    assert memory.keep(sink.heads[0], whole(5), length=1)
    known = memory.recall(whole(5)[:cut] + tail)
    assert known is None or known[0].content_length == len(whole(5)[:cut] + tail) - known[1]


# Answers

NOON = b"Sun, 22 Nov 2026 12:00:00 GMT"
LATER = b"Mon, 23 Nov 2026 00:00:01 GMT"


class Answers:
    """Notes what a reader of answers tells, pieces of a body joined."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.heads: list[ResponseHead] = []

    def response_head(self, head: ResponseHead) -> None:
        self.heads.append(head)
        self.events.append(head)

    def response_body(self, data: bytes) -> None:
        if isinstance(self.events[-1], bytes):
            data = self.events.pop() + data  # type: ignore[operator]
        self.events.append(data)

    def response_end(self, trailers: Fields) -> None:
        self.events.append(("end", trailers))


def answered(
    answers: Iterable[tuple[bytes, bool]], *, cut: bool = False
) -> tuple[Answers, HeadMemory[ResponseHead], tuple[str, bool]]:
    """Feed answers, each to a request that may be HEAD, for as long as their connection may be used again; `cut` has
    each of them parsed."""
    sink = Answers()
    reader = ResponseReader(sink, 4096)
    error = ""
    try:
        for data, head in answers:
            reader.begin(head=head)
            for piece in parsed([data]) if cut else [data]:
                reader.feed(piece)
            if not reader.keep_alive:
                break
    except Malformed as malformed:
        error = str(malformed)
    return sink, reader.memory, (error, reader.keep_alive)


def ok(size: int, *fields: bytes, date: bytes = NOON, status: bytes = b"200 OK") -> bytes:
    """Return the bytes of an answer with a body of so many bytes."""
    lines = (b"HTTP/1.1 " + status, b"Date: " + date, b"content-length: %d" % size, b"content-type: a/b", *fields)
    return b"\r\n".join((*lines, b"", b"x" * size))


def test_the_same_answer_is_known_again_at_another_time() -> None:
    """With its own length and date."""
    pieces = [ok(5), ok(5), ok(70), ok(5, date=LATER), ok(0), ok(9, date=LATER)]
    sink, memory, left = answered([(piece, False) for piece in pieces])
    assert memory.recall(ok(12, date=LATER)) is not None
    assert [(head.content_length, dict(head.fields)[b"Date"]) for head in sink.heads] == [
        (5, NOON), (5, NOON), (70, NOON), (5, LATER), (0, NOON), (9, LATER),
    ]  # fmt: skip
    other, _, otherwise = answered([(piece, False) for piece in pieces], cut=True)
    assert (sink.events, left) == (other.events, otherwise)
    assert left == ("", True)


@pytest.mark.parametrize(
    "data",
    [
        ok(5, date=b"Sun, 22 Nov 2026 12:00:0\x00 GMT"),
        ok(5, date=b"Sun, 22 Nov 2026 12:00\r\nX: G"),
        ok(5, date=b"Sunday, 22-Nov-26 12:00:00 GM"),
        ok(5, date=b""),
        ok(5)[:-1],
        ok(5) + b"x",
        ok(5) + ok(5),
        ok(5, status=b"206 OK"),
        ok(5, b"x: 1"),
        ok(5).replace(b"th: 5", b"th: +5"),
    ],
)
def test_another_answer_is_parsed(data: bytes) -> None:
    """A date that is none, more or less than one answer, another status."""
    _, memory, _ = answered([(ok(5), False)])
    assert memory.recall(data) is None
    answers = [(ok(5), False), (data, False), (ok(5), False)]
    sink, _, left = answered(answers)
    other, _, otherwise = answered(answers, cut=True)
    assert (sink.events, left) == (other.events, otherwise)


@pytest.mark.parametrize(
    "data",
    [
        ok(5, b"connection: close"),
        ok(5, b"transfer-encoding: chunked"),
        ok(5).replace(b"1.1", b"1.0"),
        ok(0, status=b"204 No Content"),
        ok(0, status=b"304 Not Modified"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + ok(5),
    ],
)
def test_an_answer_with_something_to_decide_is_not_kept(data: bytes) -> None:
    """About its framing, or what follows it."""
    _, memory, _ = answered([(data, False)])
    assert memory.recall(data) is None


def test_an_answer_to_head_has_no_body() -> None:
    """However well its head is known, and whatever comes."""
    sink, _, left = answered([(ok(5), False), (ok(5)[:-5], True), (ok(0), False), (ok(0), True), (ok(0), False)])
    assert [head.bodiless for head in sink.heads] == [False, True, False, True, False]
    assert sink.events[3:6] == [sink.heads[1], ("end", ()), sink.heads[2]]
    assert left == ("", True)
    _, _, left = answered([(ok(5), False), (ok(5), True)])
    assert left == ("a body in the answer to HEAD", False)


@st.composite
def _answers(draw: st.DrawFn) -> tuple[bytes, bool]:
    """One of a few answers, which often follow one another, with a byte or two exchanged now and then."""
    size = draw(st.sampled_from([0, 1, 5, 10, 700]))
    date = draw(st.sampled_from([NOON, NOON, LATER]))
    plain = ok(size, date=date)
    made = draw(
        st.sampled_from(
            [
                plain,
                plain,
                plain,
                ok(size, b"connection: close", date=date),
                ok(size, date=date, status=b"503 Service Unavailable"),
                ok(0, date=date, status=b"204 No Content"),
                ok(size, b"date: " + date, date=date),
                plain.replace(b"content-length: ", b"Content-LENGTH:\t0"),
                plain.replace(b"1.1", b"1.0"),
                b"HTTP/1.1 100 Continue\r\n\r\n" + plain,
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
                b"HTTP/1.1 200 OK\r\n\r\nuntil the close",
            ]
        )
    )
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(made)))
        made = made[:at] + draw(_BYTES) + made[at + draw(st.integers(0, 1)) :]
    return made, draw(st.integers(0, 9)) == 0


@given(st.lists(_answers(), min_size=2, max_size=6))
def test_an_answer_that_is_known_again_means_what_it_would_mean(answers: list[tuple[bytes, bool]]) -> None:
    """The same events, the same heads and the same end, whether heads are remembered or parsed."""
    sink, _, left = answered(answers)
    other, _, otherwise = answered(answers, cut=True)
    assert (sink.events, left) == (other.events, otherwise)
