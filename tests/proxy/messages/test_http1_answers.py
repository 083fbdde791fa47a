"""Reading answers of upstreams: how they end, what is malformed, and which connections may be used again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.proxy.messages.heads import Fields, Malformed, ResponseHead
from mirrorgate.proxy.messages.http1 import MAX_HEADER_FIELDS
from mirrorgate.proxy.messages.http1_answers import ResponseReader

MAX_HEAD = 4096


class Sink:
    """Notes what a reader tells, with pieces of a body joined."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self.heads: list[ResponseHead] = []

    def response_head(self, head: ResponseHead) -> None:
        self.heads.append(head)
        self.events.append(("head", head.status))

    def response_body(self, data: bytes) -> None:
        if self.events[-1][0] == "body":
            data = self.events.pop()[1] + data  # type: ignore[operator]
        self.events.append(("body", data))

    def response_end(self, trailers: Fields) -> None:
        self.events.append(("end", trailers))


def read_response(*pieces: bytes, head: bool = False) -> tuple[Sink, ResponseReader, str]:
    """Feed the answer to one request; the third is what is malformed, empty for nothing."""
    sink = Sink()
    reader = ResponseReader(sink, MAX_HEAD)
    reader.begin(head=head)
    try:
        for piece in pieces:
            reader.feed(piece)
    except Malformed as error:
        return sink, reader, str(error)
    return sink, reader, ""


OK = b"HTTP/1.1 200 OK\r\n"


def test_answers_are_framed_by_length_chunks_or_the_end() -> None:
    """And the connection may be used again where the end is known."""
    sized, reader, _ = read_response(OK + b"content-length: 2\r\n\r\na", b"b")
    assert (sized.events, reader.keep_alive) == ([("head", 200), ("body", b"ab"), ("end", ())], True)
    chunked, reader, _ = read_response(OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nt: 1\r\n\r\n")
    assert (chunked.events, reader.keep_alive) == ([("head", 200), ("body", b"a"), ("end", ((b"t", b"1"),))], True)
    open_ended, reader, _ = read_response(OK + b"\r\nab", b"c")
    assert open_ended.events == [("head", 200), ("body", b"abc")]
    assert reader.eof()
    assert (open_ended.events[-1], reader.keep_alive) == (("end", ()), False)
    assert not reader.eof()


def test_an_end_before_the_end_is_no_end() -> None:
    """Of a head, a sized body or a chunked one."""
    for data in (
        b"HTTP/1.1 2",
        OK,
        OK + b"content-length: 2\r\n\r\na",
        OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n",
    ):
        sink, reader, _ = read_response(data)
        assert not reader.eof()
        assert ("end", ()) not in sink.events


@pytest.mark.parametrize(
    "fields", [b"", b"content-length: 5\r\n", b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n"]
)
def test_the_answer_to_head_ends_with_its_head(fields: bytes) -> None:
    """Whatever its fields say, and the connection goes on with the next answer."""
    sink, reader, _ = read_response(OK + fields + b"\r\n", head=True)
    assert sink.events == [("head", 200), ("end", ())]
    if fields:
        assert reader.keep_alive
        reader.begin(head=False)
        reader.feed(OK + b"content-length: 1\r\n\r\nx")
        assert sink.events[2:] == [("head", 200), ("body", b"x"), ("end", ())]


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("fields", [b"", b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n"])
def test_answers_without_a_body_end_with_their_head(status: bytes, fields: bytes, head: bool) -> None:
    """204 and 304, whatever their fields say."""
    sink, reader, problem = read_response(b"HTTP/1.1 " + status + b"\r\n" + fields + b"\r\n", head=head)
    assert (sink.events, problem) == ([("head", int(status[:3])), ("end", ())], "")
    assert reader.keep_alive


def test_interim_answers_are_passed_over() -> None:
    """100 and 103 are of this connection; the answer follows, to HEAD too."""
    early = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    sink, _, _ = read_response(b"HTTP/1.1 100 Continue\r\n\r\n" + early, early + OK + b"content-length: 1\r\n\r\nx")
    assert sink.events == [("head", 200), ("body", b"x"), ("end", ())]
    assert sink.heads[0].fields == ((b"content-length", b"1"),)
    sink, _, _ = read_response(early + OK + b"content-length: 1\r\n\r\n", head=True)
    assert sink.events == [("head", 200), ("end", ())]


@pytest.mark.parametrize("extra", [b"x", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\nHTTP/1.1 200 OK\r\n\r\n"])
@pytest.mark.parametrize(
    "fields", [b"content-length: 2\r\n\r\nab", b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"]
)
def test_bytes_behind_an_answer_poison_the_connection(fields: bytes, extra: bytes) -> None:
    """The answer stands, but whatever comes next would be taken for somebody else's."""
    sink, reader, problem = read_response(OK + fields + extra)
    assert sink.events == [("head", 200), ("body", b"ab"), ("end", ())]
    assert problem
    assert not reader.keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        b"HTTP/1.1 99 X\r\n\r\n",
        b"HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        OK + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        OK + b"content-length: 1\r\ncontent-length: 1\r\n\r\nx",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"transfer-encoding: gzip\r\n\r\n",
        OK + b"x: a\r\n b\r\n\r\n",
        OK + b"x: a\x00\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        OK + b"x: " + b"y" * MAX_HEAD,
        OK + b"x: y\r\n" * (MAX_HEADER_FIELDS + 2),
        b"HTTP/1.1 200 " + b"y" * MAX_HEAD + b"y\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 100 Continue\r\nx: " + b"y" * MAX_HEAD,
    ],
)
def test_malformed_answers_are_none(data: bytes) -> None:
    """Not even a head is told."""
    sink, reader, problem = read_response(data)
    assert problem
    assert sink.events == []
    assert not reader.keep_alive


@pytest.mark.parametrize("status", [100, 102, 103, 199])
@pytest.mark.parametrize(
    "framing", [b"content-length: 2\r\n\r\nab", b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"]
)
def test_a_body_in_an_interim_answer_is_malformed(status: int, framing: bytes) -> None:
    """Or a body would be told of that no head came before."""
    sink, reader, problem = read_response(b"HTTP/1.1 %d X\r\n%b" % (status, framing))
    assert (problem, sink.events) == ("a body in an interim answer", [])
    assert not reader.keep_alive


def test_a_body_in_the_answer_to_head_is_malformed() -> None:
    """A server that sends one is out of step."""
    _, reader, problem = read_response(OK + b"content-length: 2\r\n\r\nab", head=True)
    assert problem == "a body in the answer to HEAD"
    assert not reader.keep_alive


def test_data_without_a_request_is_malformed() -> None:
    """Before the first request, and after an answer."""
    reader = ResponseReader(Sink(), MAX_HEAD)
    with pytest.raises(Malformed, match="without a request"):
        reader.feed(OK)


def test_a_switch_of_protocols_is_a_head_alone() -> None:
    """What stands behind it belongs to the tunnel, and is there when the head is told."""
    sink, reader, _ = read_response(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nabc")
    assert (sink.events, reader.rest) == ([("head", 101)], b"abc")
    assert not reader.keep_alive


@pytest.mark.parametrize(
    ("fields", "behind", "keeps"),
    [
        (b"", b"", True),
        (b"connection: close\r\n", b"", False),
        (b"", OK, False),
        (b"connection: close\r\n", OK, False),
    ],
)
@pytest.mark.parametrize("cut", [0, 1, 100_000, 199_999])
def test_a_long_answer_goes_past_the_parser(fields: bytes, behind: bytes, keeps: bool, cut: int) -> None:
    """Whether the connection may be used again is known all the same, and bytes behind it poison it."""
    head = OK + fields + b"content-length: 200000\r\n\r\n"
    body = bytes(range(200)) * 1000
    sink, reader, problem = read_response(head + body[:cut], body[cut:] + behind)
    assert sink.events == [("head", 200), ("body", body), ("end", ())]
    assert bool(problem) == bool(behind)
    assert reader.keep_alive == keeps
    if keeps:
        reader.begin(head=False)
        reader.feed(OK + b"content-length: 2\r\n\r\nab")
        assert sink.events[3:] == [("head", 200), ("body", b"ab"), ("end", ())]
        assert reader.keep_alive


def test_a_long_answer_of_an_old_server_ends_its_connection() -> None:
    """As HTTP/1.0 has it."""
    head = b"HTTP/1.0 200 OK\r\ncontent-length: 200000\r\n\r\n"
    sink, reader, _ = read_response(head, bytes(100_000), bytes(100_000))
    assert sink.events[-1] == ("end", ())
    assert not reader.keep_alive


def test_the_end_inside_a_long_answer_is_no_end() -> None:
    """Its declared length has not come."""
    _, reader, _ = read_response(OK + b"content-length: 200000\r\n\r\n", bytes(100_000))
    assert not reader.eof()


ANSWERS = st.sampled_from(
    [
        OK + b"content-length: 5\r\n\r\nhello",
        OK + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nt: 1\r\n\r\n",
        OK + b"\r\nhello",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nabc",
        OK + b"content-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
    ]
)


@given(st.integers(0, 2), ANSWERS, st.data())
def test_the_cuts_of_an_answer_do_not_matter(interim: int, answer: bytes, draw: st.DataObject) -> None:
    """Any cut gives the same events, the same verdict on the connection, and the same rest."""
    stream = b"HTTP/1.1 100 Continue\r\n\r\n" * interim + answer
    cuts = sorted(draw.draw(st.sets(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]
    whole, reader, problem = read_response(stream)
    cut, again, cut_problem = read_response(*pieces)
    if whole.heads and whole.heads[0].status == 101:
        assert cut.events == whole.events  # the rest is the tunnel's from here on
        return
    assert cut.events == whole.events
    assert bool(cut_problem) == bool(problem)
    assert again.keep_alive == reader.keep_alive


def test_it_is_known_whether_a_chunk_has_begun() -> None:
    """From the end of a size line to the end of the chunk one has; behind the last there is none to come."""
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    reads = (chunked, b"3\r\n", b"abc", b"\r", b"\n", b"1\r\na\r\n2\r\nb", b"b\r\n", b"0\r\n", b"a: b\r\n", b"\r\n")
    reader = ResponseReader(Sink(), MAX_HEAD)
    reader.begin(head=False)
    known = []
    for read in reads:
        reader.feed(read)
        known.append(reader.between_chunks)
    assert known == [True, False, False, False, True, False, True, False, False, False]


def test_a_body_that_has_no_chunks_is_never_between_them() -> None:
    """Of a declared length, or until the close."""
    for framing in (b"content-length: 9\r\n", b""):
        _, reader, _ = read_response(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n", b"1\r\na\r\n")
        assert not reader.between_chunks
