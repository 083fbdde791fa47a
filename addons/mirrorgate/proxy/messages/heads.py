"""Heads of HTTP/1.1 messages: what a request or status line and its fields mean, and which of them travel on.

llhttp has checked the grammar; this adds what RFC 9112 leaves to the application: exactly one Host, no transfer coding
but chunked, a request target in one of the known forms, and the authority that the request is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from ...errors import Refusal
from .field_shapes import HOP_BY_HOP, AnswerShape, RequestShape, answer_shape, names_of, request_shape

if TYPE_CHECKING:
    from ...plans import RequestFacts

__all__ = [
    "Fields",
    "HeadNotes",
    "Malformed",
    "RequestHead",
    "ResponseHead",
    "field_lines",
    "host_and_port",
    "named_by",
    "render_response",
    "request_head",
    "response_head",
    "too_large",
    "without_hop_by_hop",
    "without_unfit_trailers",
]

Fields = tuple[tuple[bytes, bytes], ...]

type Texts = tuple[str, str, str, str, str, str]

_NEVER_NAMED = frozenset((b"", b"close", b"keep-alive", b"upgrade", b"te", b"host", b"content-length"))
"""What Connection cannot take away: its own words, and the fields that say where a message goes and ends."""

_NO_TRAILERS = HOP_BY_HOP | frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"max-forwards",
        b"proxy-authorization",
        b"range",
        b"set-cookie",
    )
)
"""RFC 9110, 6.5.1: fields for framing, routing, authentication, and for making sense of the body, which a recipient
that takes trailers for header fields would believe."""

_FIELD = b": ".join

_VERSIONS = {"1.1": b"HTTP/1.1", "1.0": b"HTTP/1.0"}

_READ = frozenset(
    (
        b"host",
        b"content-length",
        b"content-type",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
        b"user-agent",
        b"x-forwarded-for",
    )
)
"""Fields of a request that mean something here; most of a head's are none of them."""

_READ_BACK = frozenset((b"content-length", b"transfer-encoding", b"content-type"))
"""The same of an answer."""

_BODILESS = frozenset((204, 304))

_AUTHORITY_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=:[]")


_NAME = 256
"""Bytes of an authority that is remembered; DNS knows no longer ones."""


class Malformed(Exception):
    """The peer broke the protocol; the connection ends. Carries the local reply for a client."""

    def __init__(self, message: str, refusal: Refusal = Refusal.BAD_REQUEST) -> None:
        super().__init__(message)
        self.refusal = refusal


def too_large() -> Malformed:
    """Say that a head, or trailers, are over the limit."""
    return Malformed("the header fields are larger than the limit", Refusal.HEADERS_TOO_LARGE)


class HeadNotes:
    """What has been worked out of a head that its connection may send again, for the next time."""

    __slots__ = ("asked", "passed_on", "texts")

    def __init__(self) -> None:
        self.asked: RequestFacts | None = None
        self.passed_on: bytes | None = None
        """The lines of its fields that are sent on, those for the client's address and scheme among them."""
        self.texts: Texts | None = None


class RequestHead(msgspec.Struct):
    """A request line and its header fields, validated."""

    method: bytes
    target: bytes
    """As on the wire."""
    path: bytes
    """Origin form, query included."""
    authority: bytes
    """Host and port as the client named them, from an absolute target or the Host field; empty for HTTP/1.0."""
    version: bytes
    fields: Fields
    """Host is the authority, also where an absolute target overrode it (RFC 9112, 3.2.2)."""
    content_length: int | None
    """Declared length; `None` when there is none."""
    chunked: bool
    keep_alive: bool
    upgrade: bytes
    """The protocol of an Upgrade that Connection announces, lower case; empty for none, and for HTTP/1.0, whose
    Upgrade is ignored (RFC 9110, 7.8)."""
    expects_continue: bool
    user_agent: bytes = b""
    forwarded_for: bytes = b""
    """X-Forwarded-For, the last where it is repeated."""
    upgrade_field: bool = False
    """Whether there is an Upgrade field, announced or not."""
    content_type: bytes | None = None
    """The first Content-Type; `None` where nobody has looked for one."""
    shape: RequestShape | None = None
    """Of `fields`, where it is known."""
    notes: HeadNotes | None = None
    """Of a head that is remembered, which all like it share, whatever their lengths; `None` of one that is not."""

    @property
    def texts(self) -> Texts:
        """Method, path, authority and version, User-Agent and X-Forwarded-For, for people and records to read."""
        notes = self.notes
        if notes is not None and notes.texts is not None:
            return notes.texts
        texts = (
            self.method.decode("latin-1"),
            self.path.decode("latin-1"),
            self.authority.decode("latin-1"),
            self.version.decode("latin-1"),
            self.user_agent.decode("utf-8", "surrogateescape"),
            self.forwarded_for.decode("latin-1"),
        )
        if notes is not None:
            notes.texts = texts
        return texts

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.content_length)

    @property
    def streams_both_ways(self) -> bool:
        """Whether the server may answer before the body is whole, and the client wait for that: gRPC."""
        return self.version == b"HTTP/2.0" and any(
            name == b"content-type" and value.startswith(b"application/grpc") for name, value in self.fields
        )


class ResponseHead(msgspec.Struct):
    """A status line and its header fields."""

    version: bytes
    status: int
    reason: bytes
    fields: Fields
    content_length: int | None
    chunked: bool
    bodiless: bool
    """Whether no body follows, whatever the fields say (HEAD, 1xx, 204, 304)."""
    content_type: bytes = b""
    """The first Content-Type."""
    alt_svc: bool = False
    """Whether there is an Alt-Svc field."""
    shape: AnswerShape | None = None
    """Of `fields`, where it is known."""


def request_head(
    method: bytes, target: bytes, version: str, fields: Fields, *, keep_alive: bool, upgrading: bool
) -> RequestHead:
    """Make sense of a request's head; raises `Malformed`. `upgrading` is llhttp's word on Connection and Upgrade."""
    if version not in _VERSIONS:
        raise Malformed(f"HTTP/{version} is not supported")
    old = version == "1.0"
    shape: RequestShape | None = request_shape(names_of(fields))
    assert shape is not None
    upgrade = b""
    expects = chunked = False
    if shape.plain:
        host: bytes | None = fields[shape.host][1].strip()
        length = None if shape.length < 0 else int(fields[shape.length][1])
        agent = b"" if shape.agent < 0 else fields[shape.agent][1]
        content_type = b"" if shape.content_type < 0 else fields[shape.content_type][1]
        forwarded_for = fields[shape.forwarded[0]][1] if shape.forwarded else b""
    else:
        host, length, agent, content_type, forwarded_for, upgrade, expects, chunked = _read(fields)
    if chunked and old:
        raise Malformed("Transfer-Encoding in HTTP/1.0")
    if host is None and not old:
        raise Malformed("no Host")
    path, authority = _origin_form(method, target, host or b"")
    if authority != host:
        fields, shape = _with_host(fields, authority), None
    return RequestHead(
        method, target, path, authority, _VERSIONS[version], fields, length, chunked, keep_alive,
        upgrade if upgrading and not old else b"", expects and not old, agent, forwarded_for, bool(upgrade),
        content_type, shape,
    )  # fmt: skip


def _read(fields: Fields) -> tuple[bytes | None, int | None, bytes, bytes, bytes, bytes, bool, bool]:
    """Read the fields that mean something, where there is more to them than in most requests; raises `Malformed`."""
    length: int | None = None
    host: bytes | None = None
    upgrade = agent = forwarded_for = content_type = b""
    expects = chunked = False
    for name, value in fields:
        lower = name.lower()
        if lower not in _READ:
            continue
        if lower == b"host":
            if host is not None:
                raise Malformed("more than one Host")
            host = value.strip()
        elif lower == b"content-length":
            length = int(value)
        elif lower == b"user-agent":
            agent = value
        elif lower == b"content-type":
            content_type = content_type or value
        elif lower == b"x-forwarded-for":
            forwarded_for = value
        elif lower == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise Malformed("a transfer coding other than chunked")
            chunked = True
        elif lower == b"upgrade":
            upgrade = value.strip().lower()
        elif lower == b"expect":
            expects = value.strip().lower() == b"100-continue"
    return host, length, agent, content_type, forwarded_for, upgrade, expects, chunked


def response_head(status: int, reason: bytes, version: str, fields: Fields, *, to_head: bool) -> ResponseHead:
    """Make sense of a response's head; raises `Malformed`. `to_head` says that the request is HEAD."""
    if version not in _VERSIONS:
        raise Malformed(f"an answer in HTTP/{version}")
    if status < 100:
        raise Malformed(f"status {status}")
    bodiless = to_head or status < 200 or status in _BODILESS
    shape: AnswerShape | None = answer_shape(names_of(fields))
    assert shape is not None
    length: int | None = None
    chunked = False
    if shape.plain:
        if shape.length is not None:
            length = int(fields[shape.length][1])
        content_type = b"" if shape.content_type < 0 else fields[shape.content_type][1]
    else:
        length, chunked, content_type = _read_back(fields)
    return ResponseHead(
        _VERSIONS[version], status, reason, fields, length, chunked, bodiless, content_type, shape.alt_svc, shape
    )


def _read_back(fields: Fields) -> tuple[int | None, bool, bytes]:
    """Read the fields of an answer that mean something, where there is more to them than in most; raises
    `Malformed`."""
    length: int | None = None
    chunked = False
    content_type = b""
    for name, value in fields:
        lower = name.lower()
        if lower not in _READ_BACK:
            continue
        if lower == b"content-length":
            length = int(value)
        elif lower == b"content-type":
            content_type = content_type or value
        elif chunked or value.strip().lower() != b"chunked":
            raise Malformed("a transfer coding other than chunked")
        else:
            chunked = True
    return length, chunked, content_type


def named_by(connection: bytes) -> set[bytes]:
    """Return the fields that Connection names as being of this connection only, lower case (RFC 9110, 7.6.1)."""
    return {option.strip().lower() for option in connection.split(b",")} - _NEVER_NAMED


def without_hop_by_hop(fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Leave out the fields of this connection only, and those that Connection names (RFC 9110, 7.6.1)."""
    connection = b",".join([value for name, value in fields if name.lower() == b"connection"])
    named = HOP_BY_HOP | named_by(connection) if connection else HOP_BY_HOP
    return [field for field in fields if field[0].lower() not in named]


def without_unfit_trailers(fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Leave out what must not be sent as a trailer (RFC 9110, 6.5.1)."""
    return [field for field in fields if field[0].lower() not in _NO_TRAILERS]


def field_lines(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Render header fields, each with the end of its line; without a loop in Python."""
    return b"\r\n".join((*map(_FIELD, fields), b""))


def render_response(status: int, reason: bytes, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Render a response head for HTTP/1.1."""
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, field_lines(fields))


def _origin_form(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """Split a request target into path and authority (RFC 9112, 3.2): an absolute target wins over Host."""
    if method == b"CONNECT":
        raise Malformed("CONNECT is not supported")
    authority = host
    path = target
    if target[:1] != b"/":
        if target == b"*" and method == b"OPTIONS":
            path = b"*"
        else:
            scheme, separator, rest = target.partition(b"://")
            if not separator or scheme.lower() not in (b"http", b"https"):
                raise Malformed("a request target of unknown form")
            end = next((i for i, byte in enumerate(rest) if byte in b"/?#"), len(rest))
            authority, path = rest[:end], rest[end:]
            if not authority:
                raise Malformed("a request target without a host")
            if not path.startswith(b"/"):
                path = b"/" + path
    if not _AUTHORITY_BYTES.issuperset(authority):
        raise Malformed("an invalid Host")
    if b"#" in path:
        raise Malformed("a fragment in the request target")
    return path, authority


def _with_host(fields: Fields, authority: bytes) -> Fields:
    """Put the authority of an absolute target in Host's place, so that nobody downstream sees another host than the
    one that was routed by."""
    rest = tuple(field for field in fields if field[0].lower() != b"host")
    return ((b"host", authority), *rest) if authority else rest


def host_and_port(authority: bytes, port: int) -> tuple[str, int]:
    """Split an authority, as mitmproxy has it; `port` where it names none."""
    return _known_host(authority, port) if len(authority) < _NAME else _known_host.__wrapped__(authority, port)


@lru_cache(maxsize=256)
def _known_host(authority: bytes, port: int) -> tuple[str, int]:
    text = authority.decode("latin-1")
    host, colon, tail = text.rpartition(":")
    # No more digits than a port has: Python refuses to read a number of thousands.
    if colon and tail.isdecimal() and len(tail) < 6 and not host.endswith(":") and int(tail) < 65536:
        return host.strip("[]"), int(tail)
    return text.strip("[]") or "gateway.invalid", port
