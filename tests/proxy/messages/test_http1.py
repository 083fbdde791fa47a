"""Reading requests: what is refused, what is understood, and that the cuts of a stream do not matter."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.errors import Refusal
from mirrorgate.proxy.messages.heads import Fields, Malformed, RequestHead
from mirrorgate.proxy.messages.http1 import MAX_HEADER_FIELDS, RequestReader

MAX_HEAD = 4096
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
GET_EVENTS = [("head", b"GET", b"/"), ("end", ())]


class Sink:
    """Notes what a reader tells, with pieces of a body joined."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self.heads: list[RequestHead] = []

    def request_head(self, head: RequestHead) -> None:
        self.heads.append(head)
        self.events.append(("head", head.method, head.path))

    def request_body(self, data: bytes) -> None:
        if self.events[-1][0] == "body":
            data = self.events.pop()[1] + data  # type: ignore[operator]
        self.events.append(("body", data))

    def request_end(self, trailers: Fields) -> None:
        self.events.append(("end", trailers))


def read_requests(pieces: Iterable[bytes]) -> tuple[Sink, RequestReader, Malformed | None]:
    """Feed pieces until the end, or until they are malformed."""
    sink = Sink()
    reader = RequestReader(sink, MAX_HEAD)
    try:
        for piece in pieces:
            reader.feed(piece)
    except Malformed as error:
        return sink, reader, error
    return sink, reader, None


def post(*fields: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    """Return the bytes of a POST with these lines beside its Host."""
    return b"\r\n".join((b"POST / HTTP/" + version, b"host: a", *fields, b"", body))


CHUNKED = b"transfer-encoding: chunked"
WHOLE_TRAILER = post(CHUNKED, body=b"0\r\nx: " + b"y" * MAX_HEAD + b"\r\n\r\n")
PIPELINED = GET + b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * MAX_HEAD + b"\r\n\r\n" + GET

MALFORMED_HEADS = {
    "length and coding": post(b"content-length: 3", CHUNKED, body=b"0\r\n\r\n"),
    "coding and length": post(CHUNKED, b"content-length: 3", body=b"0\r\n\r\n"),
    "two codings": post(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "a list of codings": post(b"transfer-encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunked not last": post(b"transfer-encoding: chunked, identity", body=b"0\r\n\r\n"),
    "an unknown coding": post(b"transfer-encoding: xchunked"),
    "identity": post(b"transfer-encoding: identity"),
    "a coding behind a control character": post(b"transfer-encoding: \x0bchunked"),
    "no coding": post(b"transfer-encoding:"),
    "a coding in HTTP/1.0": post(CHUNKED, version=b"1.0"),
    "two lengths": post(b"content-length: 3", b"content-length: 3", body=b"abc"),
    "two different lengths": post(b"content-length: 3", b"content-length: 4", body=b"abc"),
    "a list of lengths": post(b"content-length: 3, 3", body=b"abc"),
    "a signed length": post(b"content-length: +3", body=b"abc"),
    "a negative length": post(b"content-length: -3", body=b"abc"),
    "a hexadecimal length": post(b"content-length: 0x3", body=b"abc"),
    "a length with an underscore": post(b"content-length: 1_0", body=b"abc"),
    "no length": post(b"content-length: "),
    "a length that overflows": post(b"content-length: 99999999999999999999"),
    "bare LF": b"GET / HTTP/1.1\nhost: a\n\n",
    "bare LF after a field": b"GET / HTTP/1.1\r\nhost: a\n\r\n",
    "bare CR": b"GET / HTTP/1.1\rhost: a\r\n\r\n",
    "CR in a value": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
    "space before the first field": b"GET / HTTP/1.1\r\n host: a\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nhost: a\r\nx : a\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nhost: a\r\nnocolon\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nhost: a\r\n: b\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\nhost: a\r\nx\x00: a\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n",
    "a control character in a value": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\x01b\r\n\r\n",
    "a delimiter in a name": b"GET / HTTP/1.1\r\nhost: a\r\nx(: a\r\n\r\n",
    "NUL in the target": b"GET /a\x00 HTTP/1.1\r\nhost: a\r\n\r\n",
    "8 bits in the target": b"GET /\xc3\xa4 HTTP/1.1\r\nhost: a\r\n\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
    "tab for space": b"GET /\tHTTP/1.1\r\nhost: a\r\n\r\n",
    "space after the version": b"GET / HTTP/1.1 \r\nhost: a\r\n\r\n",
    "no version": b"GET /\r\nhost: a\r\n\r\n",
    "HTTP/0.9": b"GET / HTTP/0.9\r\nhost: a\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nhost: a\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nhost: a\r\n\r\n",
    "HTTP/11.1": b"GET / HTTP/11.1\r\nhost: a\r\n\r\n",
    "a version in small letters": b"GET / http/1.1\r\nhost: a\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"FOO / HTTP/1.1\r\nhost: a\r\n\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\nhost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
    "a Host with a path": b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
    "an asterisk for GET": b"GET * HTTP/1.1\r\nhost: a\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "nonsense": b"hello there\r\n\r\n",
}

MALFORMED_BODIES = {
    "a negative chunk": b"-3\r\nabc\r\n0\r\n\r\n",
    "a signed chunk": b"+3\r\nabc\r\n0\r\n\r\n",
    "a prefixed chunk": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a space after the size": b"3 \r\nabc\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "a size that is no number": b"xyz\r\nabc\r\n0\r\n\r\n",
    "a size that overflows": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "bare LF after the size": b"3\nabc\n0\n\n",
    "bare LF in an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "more than the size": b"3\r\nabcd\r\n0\r\n\r\n",
    "bare LF after the data": b"3\r\nabc\n0\r\n\r\n",
    "Content-Length among the trailers": b"0\r\ncontent-length: 5\r\n\r\n",
    "Transfer-Encoding among the trailers": b"0\r\ntransfer-encoding: chunked\r\n\r\n",
    "an obs-fold among the trailers": b"0\r\nx: a\r\n b\r\n\r\n",
    "bare LF after a trailer": b"0\r\nx: a\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED_HEADS.values(), ids=MALFORMED_HEADS)
@pytest.mark.parametrize("by", [1, 1000])
def test_malformed_heads_never_become_requests(data: bytes, by: int) -> None:
    """Whole or byte by byte: 400, and not even a head is told."""
    sink, _, error = read_requests(data[at : at + by] for at in range(0, len(data), by))
    assert sink.events == []
    assert error is not None
    assert error.refusal is Refusal.BAD_REQUEST


@pytest.mark.parametrize("data", MALFORMED_BODIES.values(), ids=MALFORMED_BODIES)
def test_malformed_bodies_never_end(data: bytes) -> None:
    """A request in a body that breaks the framing is not believed to be complete, and nothing behind it is read."""
    sink, _, error = read_requests([post(CHUNKED, body=data) + GET])
    assert error is not None
    assert [event[0] for event in sink.events if event[0] != "body"] == ["head"]


def test_requests_follow_one_another() -> None:
    """Pipelined in one piece, with empty lines before the first (RFC 9112, 2.2), bodies and trailers."""
    data = (
        b"\r\n\r\n"
        + GET
        + post(b"content-length: 3", body=b"abc")
        + post(CHUNKED, body=b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nt: 1\r\n\r\n")
        + GET
    )
    sink, reader, error = read_requests([data])
    body = [("head", b"POST", b"/"), ("body", b"abc")]
    assert sink.events == [*GET_EVENTS, *body, ("end", ()), *body, ("end", ((b"t", b"1"),)), *GET_EVENTS]
    assert error is None
    assert reader.idle


def test_old_clients_are_understood() -> None:
    """HTTP/1.0 needs no Host and keeps the connection only when it says so."""
    sink, _, _ = read_requests([b"GET / HTTP/1.0\r\n\r\n"])
    again, _, _ = read_requests([b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"])
    assert [sink.heads[0].version, sink.heads[0].keep_alive] == [b"HTTP/1.0", False]
    assert again.heads[0].keep_alive


def test_nothing_comes_behind_a_close() -> None:
    """A request behind `Connection: close` is an error of its own; the first stands."""
    sink, _, error = read_requests([b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" + GET])
    assert sink.events == GET_EVENTS
    assert error is not None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * MAX_HEAD,
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * (MAX_HEADER_FIELDS + 2),
        b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * MAX_HEAD + b"\r\n\r\n",
        b"\r\n" * MAX_HEAD,
        post(CHUNKED, body=b"0\r\nx: " + b"y" * 2 * MAX_HEAD),
        post(CHUNKED, body=b"0\r\n" + b"x: y\r\n" * (MAX_HEADER_FIELDS + 2)),
        post(CHUNKED, body=b"3;" + b"y" * 2 * MAX_HEAD),
        WHOLE_TRAILER,
        PIPELINED,
    ],
    ids=[
        "value",
        "fields",
        "target",
        "whole value",
        "empty lines",
        "trailer",
        "trailers",
        "extension",
        "whole trailer",
        "pipelined",
    ],
)
@pytest.mark.parametrize("by", [1, 100, 4000])
def test_nothing_that_is_collected_grows_without_end(data: bytes, by: int) -> None:
    """Heads, trailers and chunk extensions over the limit are 431, finished or not, in whatever pieces they come."""
    _, _, error = read_requests(data[at : at + by] for at in range(0, len(data), by))
    assert error is not None
    assert error.refusal in (Refusal.HEADERS_TOO_LARGE, Refusal.BAD_REQUEST if data.startswith(b"\r") else None)


def test_what_comes_whole_has_limits_too() -> None:
    """Behind another message, or another part of it, in the same piece."""
    for data in (WHOLE_TRAILER, PIPELINED):
        _, _, error = read_requests([data])
        assert error is not None
        assert error.refusal is Refusal.HEADERS_TOO_LARGE


def test_bodies_may_be_of_any_size() -> None:
    """The limits are of heads: a body passes, in many small pieces and chunks."""
    pieces = [post(CHUNKED), *[b"1\r\nx\r\n"] * (2 * MAX_HEAD), b"0\r\n\r\n"]
    sink, _, error = read_requests(pieces)
    assert error is None
    assert sink.events[1] == ("body", b"x" * (2 * MAX_HEAD))


LONG = 200_000


@given(st.data())
def test_the_cuts_of_a_long_body_do_not_matter(draw: st.DataObject) -> None:
    """A long body of declared length goes past the parser, and the requests behind it are read as ever."""
    body = bytes(range(256)) * (LONG // 256)
    stream = post(b"content-length: %d" % len(body), body=body) * 2 + GET
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    sink, reader, error = read_requests(pieces)
    assert error is None
    assert reader.idle
    assert sink.events == [("head", b"POST", b"/"), ("body", body), ("end", ())] * 2 + GET_EVENTS


def test_a_long_piece_is_not_copied() -> None:
    """What goes past the parser is passed on as it came."""
    told: list[bytes] = []
    sink = Sink()
    sink.request_body = told.append  # type: ignore[method-assign]
    reader = RequestReader(sink, MAX_HEAD)
    piece = bytes(LONG)
    reader.feed(post(b"content-length: %d" % (2 * LONG)))
    reader.feed(piece)
    assert told[0] is piece


@pytest.mark.parametrize("cut", [1, LONG // 2, LONG - 1])
def test_nothing_comes_behind_a_long_last_request(cut: int) -> None:
    """A request that closes its connection is the last one, however its body was read."""
    request = post(b"content-length: %d" % LONG, b"connection: close", body=bytes(LONG))
    head = len(request) - LONG
    sink, _, error = read_requests([request[: head + cut], request[head + cut :] + GET])
    assert isinstance(error, Malformed)
    assert [event[0] for event in sink.events] == ["head", "body", "end"]


def test_a_head_that_is_under_way_is_not_idle() -> None:
    """Its clock runs from its first byte, also behind another request."""
    for before in (b"", GET):
        _, reader, _ = read_requests([before + b"G"])
        assert not reader.idle
    assert read_requests([GET])[1].idle


WEBSOCKET = b"connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n"


def test_what_follows_a_websocket_request_is_held_back() -> None:
    """Until the upstream has decided: then it is the tunnel's, or HTTP again."""
    sink, reader, _ = read_requests([b"GET / HTTP/1.1\r\nhost: a\r\n" + WEBSOCKET + b"\r\n" + GET[:9], GET[9:]])
    assert sink.events == GET_EVENTS
    assert (reader.upgraded, reader.held) == (True, GET)
    reader.resume()
    assert sink.events == GET_EVENTS * 2


@pytest.mark.parametrize(
    "fields",
    [
        b"connection: upgrade\r\nupgrade: h2c\r\n",
        b"connection: not-upgrade\r\nupgrade: websocket\r\n",
        b"connection: upgrade\r\nupgrade:\r\n",
        b"connection: upgrade\r\n",
        b"upgrade: websocket\r\n",
        b"connection: upgrade\r\nconnection: keep-alive\r\nupgrade: h2c\r\n",
    ],
)
@pytest.mark.parametrize(
    ("framing", "body", "events"),
    [
        (b"", b"", []),
        (b"content-length: 3\r\n", b"abc", [("body", b"abc")]),
        (b"transfer-encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n", [("body", b"abc")]),
    ],
)
def test_other_upgrades_are_plain_requests(fields: bytes, framing: bytes, body: bytes, events: list[object]) -> None:
    """Their bodies are read as HTTP frames them, and requests go on behind them."""
    data = b"POST / HTTP/1.1\r\nhost: a\r\n" + fields + framing + b"\r\n" + body + GET
    expected = [("head", b"POST", b"/"), *events, ("end", ()), *GET_EVENTS]
    assert read_requests([data])[0].events == expected
    assert read_requests(bytes([byte]) for byte in data)[0].events == expected


def test_a_flood_of_upgrades_does_not_nest() -> None:
    """One read may hold thousands of them."""
    data = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n" * 3000
    assert read_requests([data])[0].events == GET_EVENTS * 3000


def test_a_websocket_request_with_a_body_is_no_tunnel() -> None:
    """Its body is HTTP, and so is what follows."""
    data = b"POST / HTTP/1.1\r\nhost: a\r\n" + WEBSOCKET + b"content-length: 3\r\n\r\nabc" + GET
    sink, reader, _ = read_requests([data])
    assert sink.events == [("head", b"POST", b"/"), ("body", b"abc"), ("end", ()), *GET_EVENTS]
    assert not reader.upgraded


REQUESTS = st.sampled_from(
    [
        GET,
        b"\r\n" + GET,
        post(b"content-length: 5", body=b"hello"),
        post(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"),
        post(CHUNKED, body=b"1;a=b\r\nh\r\n4\r\nello\r\n0\r\nt: 1\r\nu: 2\r\n\r\n"),
        post(b"connection: upgrade", b"upgrade: h2c", b"content-length: 5", body=b"hello"),
        post(b"connection: upgrade", b"upgrade: h2c", CHUNKED, body=b"5\r\nhello\r\n0\r\nt: 1\r\n\r\n"),
        b"GET /w HTTP/1.1\r\nhost: a\r\n" + WEBSOCKET + b"\r\n",
        *MALFORMED_HEADS.values(),
        *(post(CHUNKED, body=body) for body in MALFORMED_BODIES.values()),
    ]
)


@given(st.lists(REQUESTS, min_size=1, max_size=4).map(b"".join), st.data())
def test_the_cuts_of_a_request_stream_do_not_matter(stream: bytes, draw: st.DataObject) -> None:
    """Any cut of any bytes gives the same events, and ends with the same verdict."""
    cuts = sorted(draw.draw(st.sets(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, reader, error = read_requests([stream])
    cut, again, cut_error = read_requests(pieces)
    assert cut.events == whole.events
    assert (cut_error is None) == (error is None)
    assert (again.upgraded, again.held) == (reader.upgraded, reader.held) or error is not None
