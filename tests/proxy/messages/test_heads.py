"""Heads: what a request is for, and which fields travel on."""

from __future__ import annotations

import pytest

from mirrorgate.proxy.messages.heads import (
    Malformed,
    RequestHead,
    field_lines,
    host_and_port,
    named_by,
    render_response,
    request_head,
    response_head,
    without_hop_by_hop,
)

HOST = ((b"Host", b"example.com"),)


def head(
    target: bytes = b"/",
    *fields: tuple[bytes, bytes],
    method: bytes = b"GET",
    version: str = "1.1",
    upgrading: bool = False,
) -> RequestHead:
    """Make a request's head, with a Host where none is given."""
    named = fields if any(name.lower() == b"host" for name, _ in fields) or version == "1.0" else (*HOST, *fields)
    return request_head(method, target, version, named, keep_alive=True, upgrading=upgrading)


@pytest.mark.parametrize(
    ("target", "method", "path", "authority"),
    [
        (b"/a?b=c", b"GET", b"/a?b=c", b"example.com"),
        (b"*", b"OPTIONS", b"*", b"example.com"),
        (b"http://other:81/a?b", b"GET", b"/a?b", b"other:81"),
        (b"HTTPS://other", b"GET", b"/", b"other"),
        (b"http://other?b", b"GET", b"/?b", b"other"),
        (b"http://[::1]:80/a", b"GET", b"/a", b"[::1]:80"),
    ],
)
def test_targets_have_a_path_and_an_authority(target: bytes, method: bytes, path: bytes, authority: bytes) -> None:
    """In whatever form the target comes; an absolute one wins over Host."""
    made = head(target, method=method)
    assert (made.target, made.path, made.authority) == (target, path, authority)


def test_the_host_is_the_authority_that_is_routed_by() -> None:
    """A Host beside an absolute target never reaches a server that would believe it (RFC 9112, 3.2.2)."""
    assert head(b"http://b/x", (b"Host", b"a"), (b"x", b"1")).fields == ((b"host", b"b"), (b"x", b"1"))
    assert head(b"http://b/x", (b"x", b"1"), version="1.0").fields == ((b"host", b"b"), (b"x", b"1"))
    assert head(b"/x", (b"Host", b"a")).fields == ((b"Host", b"a"),)
    assert head(b"/x", version="1.0").fields == ()


@pytest.mark.parametrize(
    ("target", "fields", "method", "version", "message"),
    [
        (b"/", (), b"GET", "2.0", "HTTP/2.0 is not supported"),
        (b"/", ((b"host", b"a"), (b"HOST", b"a")), b"GET", "1.1", "more than one Host"),
        (b"/", ((b"host", b"a b"),), b"GET", "1.1", "an invalid Host"),
        (b"/", ((b"host", b"user@a"),), b"GET", "1.1", "an invalid Host"),
        (b"/", ((b"host", b"a/b"),), b"GET", "1.1", "an invalid Host"),
        (b"/", ((b"host", b"a\xffb"),), b"GET", "1.1", "an invalid Host"),
        (b"http://user@b/", (), b"GET", "1.1", "an invalid Host"),
        (b"http:///x", (), b"GET", "1.1", "a request target without a host"),
        (b"http://#x", (), b"GET", "1.1", "a request target without a host"),
        (b"http://b#x", (), b"GET", "1.1", "a fragment in the request target"),
        (b"ftp://b/", (), b"GET", "1.1", "a request target of unknown form"),
        (b"*", (), b"GET", "1.1", "a request target of unknown form"),
        (b"b:80", (), b"GET", "1.1", "a request target of unknown form"),
        (b"/#x", (), b"GET", "1.1", "a fragment in the request target"),
        (b"b:80", (), b"CONNECT", "1.1", "CONNECT is not supported"),
        (b"/", ((b"transfer-encoding", b"gzip, chunked"),), b"POST", "1.1", "a transfer coding other than chunked"),
        (b"/", ((b"transfer-encoding", b"chunked"),), b"POST", "1.0", "Transfer-Encoding in HTTP/1.0"),
    ],
)
def test_what_rfc_9112_leaves_to_us_is_refused(
    target: bytes, fields: tuple[tuple[bytes, bytes], ...], method: bytes, version: str, message: str
) -> None:
    """Each with its reason, and as 400."""
    with pytest.raises(Malformed, match=message) as caught:
        head(target, *fields, method=method, version=version)
    assert caught.value.refusal.value == "bad_request"


def test_a_request_without_host_is_refused_except_in_http_1_0() -> None:
    """HTTP/1.1 needs exactly one Host."""
    with pytest.raises(Malformed, match="no Host"):
        request_head(b"GET", b"/", "1.1", (), keep_alive=True, upgrading=False)
    assert head(version="1.0").authority == b""
    assert head(b"/", (b"host", b"")).authority == b""


def test_upgrade_and_expect_are_of_http_1_1() -> None:
    """An old client's are ignored (RFC 9110, 7.8 and 10.1.1), and so is an Upgrade that is not announced."""
    fields = ((b"Upgrade", b" WebSocket"), (b"Expect", b"100-Continue"))
    new, old = head(b"/", *fields, upgrading=True), head(b"/", *fields, version="1.0", upgrading=True)
    assert (new.upgrade, new.expects_continue) == (b"websocket", True)
    assert (old.upgrade, old.expects_continue) == (b"", False)
    assert head(b"/", *fields).upgrade == b""


def test_bodies_are_announced_by_length_or_coding() -> None:
    """A length of 0 announces none."""
    assert head(b"/", (b"Content-Length", b"3")).has_body
    assert head(b"/", (b"Transfer-Encoding", b"Chunked")).has_body
    assert not head(b"/", (b"content-length", b"0")).has_body
    assert not head().has_body


@pytest.mark.parametrize(
    ("status", "to_head", "bodiless"),
    [
        (200, False, False),
        (200, True, True),
        (204, False, True),
        (304, False, True),
        (101, False, True),
        (205, False, False),
    ],
)
def test_some_answers_have_no_body(status: int, to_head: bool, bodiless: bool) -> None:
    """Whatever their fields say (RFC 9112, 6.3)."""
    made = response_head(status, b"", "1.1", ((b"content-length", b"3"),), to_head=to_head)
    assert (made.bodiless, made.content_length) == (bodiless, 3)


@pytest.mark.parametrize(("status", "version"), [(0, "1.1"), (99, "1.1"), (200, "2.0"), (200, "0.9")])
def test_strange_answers_are_malformed(status: int, version: str) -> None:
    """A status below 100, and versions of HTTP that are framed otherwise."""
    with pytest.raises(Malformed):
        response_head(status, b"", version, (), to_head=False)


def test_connection_names_fields_of_this_connection() -> None:
    """In any case; but none that says where a message goes or ends, and none of its own words."""
    assert named_by(b"close, X-Named, host,Content-Length, , x-also,keep-alive") == {b"x-named", b"x-also"}
    assert named_by(b"close") == set()


def test_fields_of_one_connection_are_left_out() -> None:
    """Those of RFC 9110, 7.6.1, and those that any Connection field names."""
    fields = [(b"Connection", b"X-A"), (b"connection", b"x-b"), (b"TE", b""), (b"x-a", b""), (b"X-B", b""), (b"c", b"")]
    assert without_hop_by_hop(fields) == [(b"c", b"")]
    assert without_hop_by_hop([(b"x-a", b"")]) == [(b"x-a", b"")]


def test_an_answer_has_one_transfer_coding() -> None:
    """llhttp takes two of them, one in each field."""
    coding = (b"transfer-encoding", b"chunked")
    assert response_head(200, b"", "1.1", (coding,), to_head=False).chunked
    with pytest.raises(Malformed):
        response_head(200, b"", "1.1", (coding, coding), to_head=False)


def test_response_heads_are_rendered() -> None:
    """As HTTP/1.1, fields in their order."""
    assert (
        render_response(404, b"Not Found", [(b"a", b"1"), (b"b", b"")])
        == b"HTTP/1.1 404 Not Found\r\na: 1\r\nb: \r\n\r\n"
    )


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (b"a", ("a", 80)),
        (b"a:81", ("a", 81)),
        (b"[::1]:81", ("::1", 81)),
        (b"[::1]", ("::1", 80)),
        (b"a:", ("a:", 80)),
        (b"a:99999", ("a:99999", 80)),
        (b"", ("gateway.invalid", 80)),
        (b"a" * 300 + b":1", ("a" * 300, 1)),
    ],
)
def test_flows_gethost_and_port_of_the_authority(authority: bytes, expected: tuple[str, int]) -> None:
    """The listener's port where it names none."""
    assert host_and_port(authority, 80) == expected


def test_field_lines() -> None:
    """Each with its end; none of them is nothing."""
    assert field_lines([(b"a", b"b"), (b"c", b"")]) == b"a: b\r\nc: \r\n"
    assert field_lines(()) == b""
