"""Heads of HTTP/2 messages: what a list of fields means, in the terms that HTTP/1.1 is spoken in here.

The library decodes and frames; this judges, so that a malformed request costs its own stream and not the connection
with all the others (RFC 9113, 8.1.1): pseudo-header fields, connection-specific fields, and the bytes of both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .heads import Fields, Malformed, RequestHead, ResponseHead, too_large
from .http1 import MAX_HEADER_FIELDS

__all__ = ["request_from", "response_fields", "response_from", "size_of", "trailers_from"]

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"(?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?")
"""No control characters but tabs, and no blank at either end (RFC 9113, 8.2.1)."""
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH = re.compile(rb"/[\x21\x22\x24-\x7e\x80-\xff]*|\*")
_AUTHORITY = re.compile(rb"[0-9A-Za-z\-._~%!$&'()*+,;=:\[\]]+")

_OF_A_CONNECTION = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
"""RFC 9113, 8.2.2: a message with one of these is malformed."""

_KNOWN = frozenset((b"expect", b"user-agent", b"x-forwarded-for"))

_Pairs = Sequence[tuple[bytes, bytes]]


def request_from(pairs: _Pairs, *, ended: bool, max_head: int) -> RequestHead:
    """Make sense of a request's fields; raises `Malformed`. `ended` says that no body follows.

    The authority stands among the fields as Host, where HTTP/1.1 and everybody who looks at fields expects it, and the
    crumbs of Cookie are put together again (RFC 9113, 8.2.3).
    """
    if size_of(pairs) > max_head or len(pairs) > MAX_HEADER_FIELDS + 4:
        raise too_large()
    pseudo, rest = _split(pairs, (b":method", b":scheme", b":path", b":authority"))
    method, path, authority = pseudo.get(b":method", b""), pseudo.get(b":path", b""), pseudo.get(b":authority")
    if method == b"CONNECT":
        raise Malformed("CONNECT is not supported")
    if not _TOKEN.fullmatch(method) or pseudo.get(b":scheme", b"").lower() not in (b"http", b"https"):
        raise Malformed("a request without a method or scheme")
    if not _PATH.fullmatch(path) or (path == b"*" and method != b"OPTIONS"):
        raise Malformed("a request target of unknown form")
    fields, cookies, host, length, known = _request_fields(rest)
    if authority is None:
        authority = host
    elif host is not None and host != authority:
        raise Malformed("Host is not the authority")
    if authority is None or not _AUTHORITY.fullmatch(authority):
        raise Malformed("no authority, or an invalid one")
    if cookies:
        fields.append((b"cookie", b"; ".join(cookies)))
    if ended and length:
        raise Malformed("a body is announced that does not come")
    return RequestHead(
        method, path, path, authority, b"HTTP/2.0", ((b"host", authority), *fields), length,
        not ended and length is None, True, b"", known.get(b"expect", b"").lower() == b"100-continue",
        known.get(b"user-agent", b""), known.get(b"x-forwarded-for", b""),
    )  # fmt: skip


def _request_fields(
    rest: _Pairs,
) -> tuple[list[tuple[bytes, bytes]], list[bytes], bytes | None, int | None, dict[bytes, bytes]]:
    """Return the fields without cookies and Host, the cookies, the Host, the length, and the values that mean something
    here."""
    fields: list[tuple[bytes, bytes]] = []
    cookies: list[bytes] = []
    host: bytes | None = None
    length: int | None = None
    known: dict[bytes, bytes] = {}
    for name, value in rest:
        if name == b"cookie":
            cookies.append(value)
            continue
        if name == b"host":
            if host is not None:
                raise Malformed("more than one Host")
            host = value
            continue
        if name == b"te" and value.lower() != b"trailers":
            raise Malformed("TE is not trailers")
        if name == b"content-length":
            length = _length(value, length)
        elif name in _KNOWN:
            known[name] = value
        fields.append((name, value))
    return fields, cookies, host, length, known


def response_from(pairs: _Pairs, *, to_head: bool, ended: bool) -> ResponseHead:
    """Make sense of a response's fields; raises `Malformed`. `to_head` says that the request is HEAD."""
    pseudo, rest = _split(pairs, (b":status",))
    status = pseudo.get(b":status", b"")
    if len(status) != 3 or not status.isdigit() or status < b"100" or status == b"101":
        raise Malformed("an answer without a status")
    length: int | None = None
    content_type = b""
    alt_svc = False
    for name, value in rest:
        if name == b"content-length":
            length = _length(value, length)
        elif name == b"content-type":
            content_type = content_type or value
        elif name == b"alt-svc":
            alt_svc = True
    code = int(status)
    bodiless = to_head or code < 200 or code in (204, 304)
    if ended and length and not bodiless:
        raise Malformed("a body is announced that does not come")
    return ResponseHead(b"HTTP/2.0", code, b"", tuple(rest), length, False, bodiless, content_type, alt_svc=alt_svc)


def trailers_from(pairs: _Pairs) -> Fields:
    """Make sense of trailers; raises `Malformed`."""
    _, rest = _split(pairs, ())
    return tuple(rest)


def response_fields(status: int, fields: _Pairs) -> list[tuple[bytes, bytes]]:
    """Make the field list of an answer: names in lower case, and none that is about an HTTP/1.1 connection."""
    kept = [(b":status", b"%d" % status)]
    for name, value in fields:
        lower = name.lower()
        if lower not in _OF_A_CONNECTION:
            kept.append((lower, value))
    return kept


def size_of(pairs: _Pairs) -> int:
    """Return the size of a field list as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, 6.5.2), in bytes."""
    return sum(len(name) + len(value) + 32 for name, value in pairs)


def _split(pairs: _Pairs, known: tuple[bytes, ...]) -> tuple[dict[bytes, bytes], list[tuple[bytes, bytes]]]:
    """Tell pseudo-header fields, which come first and once, from the others, and check the bytes of all."""
    pseudo: dict[bytes, bytes] = {}
    rest: list[tuple[bytes, bytes]] = []
    for name, value in pairs:
        if not _VALUE.fullmatch(value):
            raise Malformed("a header value with a character that none may have")
        if name.startswith(b":"):
            if rest or name not in known or name in pseudo:
                raise Malformed("a pseudo-header field that is unknown, repeated or out of place")
            pseudo[name] = value
        elif name in _OF_A_CONNECTION or not _NAME.fullmatch(name):
            raise Malformed("a header name that HTTP/2 does not allow")
        else:
            rest.append((name, value))
    return pseudo, rest


def _length(value: bytes, before: int | None) -> int:
    if not value.isdigit() or len(value) > 18:
        raise Malformed("a Content-Length that is no number")
    length = int(value)
    if before is not None and before != length:
        raise Malformed("more than one Content-Length")
    return length
