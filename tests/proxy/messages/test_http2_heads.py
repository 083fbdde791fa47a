"""Heads of HTTP/2: what becomes of a request's fields, and that nothing gets through that HTTP/1.1 would misread."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.errors import Refusal
from mirrorgate.proxy.messages.heads import Malformed
from mirrorgate.proxy.messages.http2_heads import request_from, response_fields, response_from, trailers_from

GOOD = [(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/p?q"), (b":authority", b"a.test:443")]


def test_request() -> None:
    """The authority becomes Host, cookies one field, and a body without a length is one that is chunked."""
    fields = [(b"cookie", b"a=1"), (b"x", b"1"), (b"cookie", b"b=2"), (b"expect", b"100-continue")]
    head = request_from([*GOOD, *fields], ended=False, max_head=61440)
    assert (head.method, head.path, head.authority, head.version) == (b"POST", b"/p?q", b"a.test:443", b"HTTP/2.0")
    assert head.fields[0] == (b"host", b"a.test:443")
    assert head.fields[-1] == (b"cookie", b"a=1; b=2")
    assert (head.chunked, head.content_length, head.keep_alive, head.expects_continue) == (True, None, True, True)
    ended = request_from([*GOOD, (b"content-length", b"0")], ended=True, max_head=61440)
    assert (ended.chunked, ended.content_length, ended.has_body) == (False, 0, False)


def test_host_stands_in_for_the_authority() -> None:
    """A request translated from HTTP/1.1 may name its host in Host alone (RFC 9113, 8.3.1)."""
    head = request_from([*GOOD[:3], (b"host", b"b.test")], ended=True, max_head=61440)
    assert head.authority == b"b.test"
    assert head.fields == ((b"host", b"b.test"),)


@pytest.mark.parametrize("count", [105, 400])
def test_limits(count: int) -> None:
    """Too many fields, or too large ones, are 431."""
    with pytest.raises(Malformed) as caught:
        request_from([*GOOD, *((b"x-%d" % number, b"v") for number in range(count))], ended=True, max_head=8192)
    assert caught.value.refusal is Refusal.HEADERS_TOO_LARGE


TEXT = st.binary(max_size=12)


@given(
    st.lists(
        st.tuples(st.sampled_from([b"x", b"te", b"content-length", b"host", b":path", b"connection"]) | TEXT, TEXT)
    )
)
def test_what_gets_through_is_safe_to_render(more: list[tuple[bytes, bytes]]) -> None:
    """Whatever the fields are, an accepted head has no byte that would end a line of HTTP/1.1, and one framing."""
    with contextlib.suppress(Malformed):
        head = request_from([*GOOD, *more], ended=False, max_head=61440)
        rendered = b"".join(name + b": " + value for name, value in head.fields) + head.path + head.method
        assert not {0, 10, 13} & set(rendered)
        assert all(name == name.lower() and b":" not in name for name, _ in head.fields)
        assert not {b"connection", b"transfer-encoding", b"upgrade"} & {name for name, _ in head.fields}
        assert [name for name, _ in head.fields].count(b"host") == 1
        assert head.chunked == (head.content_length is None)


@pytest.mark.parametrize(
    ("pairs", "ended"),
    [
        ([], True),
        ([(b":status", b"20")], True),
        ([(b":status", b"101")], False),
        ([(b":status", b"200"), (b":status", b"200")], True),
        ([(b":status", b"200"), (b"connection", b"close")], True),
        ([(b":status", b"200"), (b"content-length", b"5")], True),
        ([(b":status", b"200"), (b"content-length", b"5"), (b"content-length", b"6")], False),
    ],
)
def test_answers_that_are_none(pairs: list[tuple[bytes, bytes]], ended: bool) -> None:
    """An upstream's head is held to the same."""
    with pytest.raises(Malformed):
        response_from(pairs, to_head=False, ended=ended)


@pytest.mark.parametrize(
    ("status", "to_head", "bodiless"), [(200, False, False), (200, True, True), (204, False, True)]
)
def test_answer(status: int, to_head: bool, bodiless: bool) -> None:
    """Status, length, and whether a body follows."""
    pairs = [(b":status", b"%d" % status), (b"content-length", b"5")]
    head = response_from(pairs, to_head=to_head, ended=bodiless)
    assert (head.status, head.content_length, head.chunked, head.bodiless) == (status, 5, False, bodiless)


def test_trailers() -> None:
    """Trailers have no pseudo-header fields."""
    assert trailers_from([(b"grpc-status", b"0")]) == ((b"grpc-status", b"0"),)
    with pytest.raises(Malformed):
        trailers_from([(b":status", b"200")])


def test_answer_of_http1() -> None:
    """Names become lower case, and what is about a connection stays behind."""
    fields = [(b"Content-Type", b"a/b"), (b"Connection", b"close"), (b"Transfer-Encoding", b"chunked")]
    assert response_fields(200, fields) == [(b":status", b"200"), (b"content-type", b"a/b")]
