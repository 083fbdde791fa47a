"""What is exactly one request, and what has to be looked at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.errors import Refusal
from mirrorgate.proxy.downstream.whole_request import WholeRequest
from mirrorgate.proxy.messages.heads import Fields, Malformed, RequestHead
from mirrorgate.proxy.messages.http1 import RequestReader

GET = b"GET /a?b HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
NOT = (
    b"",
    GET[:-2],
    POST[:-1],
    CHUNKED[:-2],
    GET + GET,
    GET + b"G",
    POST + b"d",
    GET.replace(b"1.1", b"1.0"),
    GET.replace(b"1.1", b"1.9"),
    GET.replace(b"host: a", b"host: a\r\nconnection: close"),
    GET.replace(b"host: a", b"host: a\r\nconnection: upgrade\r\nupgrade: websocket"),
    CHUNKED.replace(b"host: a", b"host: a\r\ncontent-length: 3"),
    POST.replace(b"Host: a", b"Host: a\r\nContent-Length: 3"),
    POST.replace(b"\r\n", b"\n"),
    b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
)


@pytest.mark.parametrize(("data", "url"), [(GET, b"/a?b"), (POST, b"/v1/models"), (CHUNKED, b"/")])
def test_a_whole_request_is_one(data: bytes, url: bytes) -> None:
    """With its target; again and again by the same reader."""
    whole = WholeRequest()
    for _ in range(3):
        assert whole.read(data)
        assert (whole.url, whole.head) == (url, False)


def test_head_is_told_apart() -> None:
    """Its answer has no body."""
    whole = WholeRequest()
    assert whole.read(GET.replace(b"GET", b"HEAD"))
    assert whole.head
    assert whole.read(GET)
    assert not whole.head


@pytest.mark.parametrize("data", NOT)
def test_anything_else_is_looked_at(data: bytes) -> None:
    """And is forgotten: the next request is read as if nothing had been."""
    whole = WholeRequest()
    assert not whole.read(data)
    assert whole.read(GET)
    assert whole.url == b"/a?b"


class _Sink:
    def __init__(self) -> None:
        self.heads: list[RequestHead] = []
        self.ends = 0
        self.refusal: Refusal | None = None

    def request_head(self, head: RequestHead) -> None:
        self.heads.append(head)

    def request_body(self, data: bytes) -> None:
        pass

    def request_end(self, trailers: Fields) -> None:
        self.ends += 1


PARTS = st.sampled_from(
    (
        b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\n", b"HEAD / HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n",
        b"host: a\r\n", b"content-length: 2\r\n", b"transfer-encoding: chunked\r\n", b"connection: close\r\n",
        b"expect: 100-continue\r\n", b"connection: keep-alive\r\n", b"\r\n",
        b"ab", b"2\r\nab\r\n0\r\n\r\n", b" ", b"\n", b"x: y\r\n",
    )
)  # fmt: skip


@given(st.lists(PARTS, max_size=10))
def test_it_frames_as_where_requests_are_served(parts: list[bytes]) -> None:
    """What is taken for one request is one for the reader of requests, too, with the same target and method, or one
    that it refuses for what its fields mean."""
    data, whole, sink = b"".join(parts), WholeRequest(), _Sink()
    if not whole.read(data):
        return
    reader = RequestReader(sink, 60000)
    try:
        reader.feed(data)
    except Malformed as error:
        sink.refusal = error.refusal
    if sink.refusal is not None:
        assert sink.refusal is Refusal.BAD_REQUEST
        return
    assert (len(sink.heads), sink.ends, reader.idle) == (1, 1, True)
    assert sink.heads[0].target == whole.url
    assert sink.heads[0].keep_alive
    assert (sink.heads[0].method == b"HEAD") == whole.head
