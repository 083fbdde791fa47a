"""HTTP/1.1 messages: strict reading on top of llhttp (through httptools), and rendering.

llhttp is strict by itself: both Content-Length and Transfer-Encoding, duplicate or signed lengths, bare LF, obs-fold,
NUL and control characters, bad chunk sizes are errors. This module adds what RFC 9112 leaves to the application:
exactly one Host, no transfer coding but chunked, limits on the head and the trailers, and the framing of messages that
ask for an upgrade.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import httptools

from ..errors import Refusal

__all__ = [
    "MAX_HEADER_FIELDS",
    "Malformed",
    "RequestHead",
    "RequestReader",
    "RequestSink",
    "ResponseHead",
    "ResponseReader",
    "ResponseSink",
    "render_request",
    "render_response",
    "without_hop_by_hop",
]

Fields = tuple[tuple[bytes, bytes], ...]

MAX_HEADER_FIELDS = 100
"""Fields in a head or in trailers; Envoy's default."""

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade", b"trailer")
)
"""RFC 9110, 7.6.1: of this connection, so never forwarded."""

_SYNTHETIC = b"POST / HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n"


class Malformed(Exception):
    """The peer broke the protocol; the connection ends. Carries the local reply for a client."""

    def __init__(self, message: str, refusal: Refusal = Refusal.BAD_REQUEST) -> None:
        super().__init__(message)
        self.refusal = refusal


@dataclass(slots=True)
class RequestHead:
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
    content_length: int | None
    """Declared length; `None` when there is none."""
    chunked: bool
    keep_alive: bool
    upgrade: bytes
    """The protocol of an Upgrade that Connection announces, lower case; empty for none."""
    expects_continue: bool

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.content_length)


@dataclass(slots=True)
class ResponseHead:
    """A status line and its header fields."""

    version: bytes
    status: int
    reason: bytes
    fields: Fields
    content_length: int | None
    chunked: bool
    bodiless: bool
    """Whether no body follows, whatever the fields say (HEAD, 1xx, 204, 304)."""


class RequestSink(Protocol):
    """What a `RequestReader` tells; calls come in the order head, body..., end."""

    def request_head(self, head: RequestHead) -> None: ...
    def request_body(self, data: bytes) -> None: ...
    def request_end(self, trailers: Fields) -> None: ...


class ResponseSink(Protocol):
    """What a `ResponseReader` tells."""

    def response_head(self, head: ResponseHead) -> None: ...
    def response_body(self, data: bytes) -> None: ...
    def response_end(self, trailers: Fields) -> None: ...


class _Reader:
    """What both directions share: collecting fields, and the limits on them."""

    def __init__(self, max_head: int) -> None:
        self._max_head = max_head
        self._fields: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._in_body = False
        self._unfinished = 0
        """Bytes fed since the head began while it is not complete."""

    def on_message_begin(self) -> None:
        self._fields = []
        self._size = 0
        self._in_body = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value) + 4
        self._fields.append((name, value))
        if self._size > self._max_head or len(self._fields) > MAX_HEADER_FIELDS:
            raise Malformed("the header fields are larger than the limit", Refusal.HEADERS_TOO_LARGE)

    def _head_done(self) -> Fields:
        fields = tuple(self._fields)
        self._fields = []
        self._size = 0
        self._in_body = True
        self._unfinished = 0
        return fields

    def _feed(self, parser: httptools.HttpRequestParser | httptools.HttpResponseParser, data: bytes) -> None:
        if not self._in_body:
            self._unfinished += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            raise cause if isinstance(cause, Malformed) else error from None
        except httptools.HttpParserError as error:
            raise Malformed(str(error) or "malformed HTTP") from None
        if not self._in_body and self._unfinished > self._max_head:
            raise Malformed("the header fields are larger than the limit", Refusal.HEADERS_TOO_LARGE)


class RequestReader(_Reader):
    """Reads the requests of one client connection, one after another."""

    def __init__(self, sink: RequestSink, max_head: int) -> None:
        super().__init__(max_head)
        self._sink = sink
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._synthetic = False
        self.upgraded = False
        """Whether the request that came last asked for an upgrade; what follows is held back in `held`."""
        self.held = b""

    @property
    def idle(self) -> bool:
        """Whether no part of a further request has arrived."""
        return not self._in_body and self._unfinished == 0

    def feed(self, data: bytes) -> None:
        """Take bytes of the client; raises `Malformed`. After an upgrade request, bytes wait in `held`."""
        if self.upgraded:
            self.held += data
            return
        try:
            self._feed(self._parser, data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_upgrade_head(data[upgrade.args[0] :])

    def resume(self) -> None:
        """Go on reading HTTP after an upgrade that was not granted."""
        held, self.held, self.upgraded = self.held, b"", False
        self._parser = httptools.HttpRequestParser(self)
        if held:
            self.feed(held)

    def _after_upgrade_head(self, rest: bytes) -> None:
        # llhttp takes the head for the whole message when it asks for an upgrade. A body that the head declares is
        # still framed HTTP, so it is read by a fresh parser behind a head that only carries the framing.
        head, self._upgrade_head = self._upgrade_head, None
        if head is None:
            raise Malformed("CONNECT is not supported")
        self._parser = httptools.HttpRequestParser(self)
        if head.has_body:
            framing = (
                b"transfer-encoding: chunked" if head.chunked else b"content-length: %d" % (head.content_length or 0)
            )
            self._synthetic = True
            self._feed(self._parser, _SYNTHETIC % framing)
            if rest:
                self.feed(rest)
        elif head.upgrade == b"websocket":
            self.upgraded = True
            self.held = rest
        elif rest:
            self.feed(rest)

    _upgrade_head: RequestHead | None = None

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._max_head:
            raise Malformed("the request target is larger than the limit", Refusal.HEADERS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        fields = self._head_done()
        if self._synthetic:
            self._url = b""
            return
        parser = self._parser
        target, self._url = self._url, b""
        head = _request_head(
            parser.get_method(), target, parser.get_http_version(), fields, bool(parser.should_keep_alive())
        )
        self._upgrade_head = head if head.upgrade else None
        self._sink.request_head(head)

    def on_body(self, data: bytes) -> None:
        self._sink.request_body(data)

    def on_message_complete(self) -> None:
        self._in_body = False
        if self._upgrade_head is not None and self._upgrade_head.has_body and not self._synthetic:
            return  # llhttp's end of an upgrade's head; the body is read by the next parser
        self._synthetic = False
        trailers, self._fields = tuple(self._fields), []
        self._sink.request_end(trailers)


class ResponseReader(_Reader):
    """Reads the responses on one upstream connection."""

    def __init__(self, sink: ResponseSink, max_head: int) -> None:
        super().__init__(max_head)
        self._sink = sink
        self._parser = httptools.HttpResponseParser(self)
        self._reason = b""
        self._no_body = False
        self._until_close = False
        self._informational = False
        self._ended = True
        self.expecting_head = False
        """Whether the request under way is HEAD."""
        self.keep_alive = False
        """Whether the connection may carry another request, known at the end of a response."""
        self.switched = False
        self.rest = b""
        """After 101: what came behind the head."""

    def begin(self, *, head: bool) -> None:
        """Expect the response of the next request."""
        self.expecting_head = head
        self._no_body = False
        self._until_close = False
        self._ended = False
        self._unfinished = 0
        self.keep_alive = False

    def feed(self, data: bytes) -> None:
        """Take bytes of the upstream; raises `Malformed`."""
        if self._ended:
            raise Malformed("data without a request")
        try:
            self._feed(self._parser, data)
        except httptools.HttpParserUpgrade as upgrade:
            self.switched = True
            self.rest = data[upgrade.args[0] :]
            return
        if self._no_body and not self._ended:
            # llhttp cannot be told that a HEAD's answer has no body, so a fresh parser reads the next one.
            self.keep_alive = bool(self._parser.should_keep_alive())
            self._parser = httptools.HttpResponseParser(self)
            self._in_body = False
            self._end(())

    def eof(self) -> bool:
        """Take the end of the connection. Whether that completes the response (a body until close)."""
        if self._until_close and not self._ended:
            self.keep_alive = False
            self._end(())
            return True
        return False

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._ended:
            raise Malformed("a second response to one request")
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_headers_complete(self) -> None:
        fields = self._head_done()
        parser = self._parser
        status = parser.get_status_code()
        length, chunked = _framing(fields)
        bodiless = self.expecting_head or status < 200 or status in (204, 304)
        self._informational = 100 <= status < 200 and status != 101
        if self._informational:
            return
        self._no_body = self.expecting_head and (chunked or bool(length))
        self._until_close = not bodiless and not chunked and length is None
        version = f"HTTP/{parser.get_http_version()}".encode()
        self._sink.response_head(ResponseHead(version, status, self._reason, fields, length, chunked, bodiless))

    def on_body(self, data: bytes) -> None:
        if self._no_body:
            raise Malformed("a body in the answer to HEAD")
        self._sink.response_body(data)

    def on_message_complete(self) -> None:
        self._in_body = False
        if self._informational:
            self._fields = []
            return
        if self._no_body:
            return
        self.keep_alive = bool(self._parser.should_keep_alive())
        trailers, self._fields = tuple(self._fields), []
        self._end(trailers)

    def _end(self, trailers: Fields) -> None:
        self._ended = True
        self._sink.response_end(trailers)


def _framing(fields: Fields) -> tuple[int | None, bool]:
    length: int | None = None
    chunked = False
    for name, value in fields:
        lower = name.lower()
        if lower == b"content-length":
            length = int(value)
        elif lower == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise Malformed("a transfer coding other than chunked")
            chunked = True
    return length, chunked


def _request_head(method: bytes, target: bytes, version: str, fields: Fields, keep_alive: bool) -> RequestHead:
    if version not in ("1.1", "1.0"):
        raise Malformed(f"HTTP/{version} is not supported")
    length, chunked = _framing(fields)
    if chunked and version == "1.0":
        raise Malformed("Transfer-Encoding in HTTP/1.0")
    host: bytes | None = None
    upgrade = b""
    connection = b""
    expects = False
    for name, value in fields:
        lower = name.lower()
        if lower == b"host":
            if host is not None:
                raise Malformed("more than one Host")
            host = value.strip()
        elif lower == b"connection":
            connection = value.lower()
        elif lower == b"upgrade":
            upgrade = value.strip().lower()
        elif lower == b"expect":
            expects = value.strip().lower() == b"100-continue"
    if host is None and version == "1.1":
        raise Malformed("no Host")
    if b"upgrade" not in connection:
        upgrade = b""
    path, authority = _origin_form(method, target, host or b"")
    return RequestHead(
        method,
        target,
        path,
        authority,
        f"HTTP/{version}".encode(),
        fields,
        length,
        chunked,
        keep_alive,
        upgrade,
        expects,
    )


_AUTHORITY_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=:[]")


def _origin_form(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """Split a request target into path and authority (RFC 9112, 3.2): an absolute target wins over Host."""
    if method == b"CONNECT":
        raise Malformed("CONNECT is not supported")
    authority = host
    path = target
    if not target.startswith(b"/"):
        if target == b"*" and method == b"OPTIONS":
            path = b"*"
        else:
            scheme, separator, rest = target.partition(b"://")
            if not separator or scheme.lower() not in (b"http", b"https"):
                raise Malformed("a request target of unknown form")
            end = next((i for i, byte in enumerate(rest) if byte in b"/?"), len(rest))
            authority, path = rest[:end], rest[end:]
            if not path.startswith(b"/"):
                path = b"/" + path
    if not _AUTHORITY_BYTES.issuperset(authority):
        raise Malformed("an invalid Host")
    if b"#" in path:
        raise Malformed("a fragment in the request target")
    return path, authority


def without_hop_by_hop(fields: Fields | list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Leave out the fields of this connection only, and those that Connection names (RFC 9110, 7.6.1)."""
    named: set[bytes] | None = None
    kept = []
    for field in fields:
        lower = field[0].lower()
        if lower in _HOP_BY_HOP:
            if lower == b"connection":
                options = {option.strip().lower() for option in field[1].split(b",")}
                named = options if named is None else named | options
        else:
            kept.append(field)
    if named and (named := named - {b"close", b"keep-alive", b"upgrade", b"te", b"host", b"content-length", b""}):
        kept = [field for field in kept if field[0].lower() not in named]
    return kept


def render_request(method: bytes, path: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
    """Render a request head for HTTP/1.1."""
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, path, b"".join([b"%b: %b\r\n" % field for field in fields]))


def render_response(status: int, reason: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
    """Render a response head for HTTP/1.1."""
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, b"".join([b"%b: %b\r\n" % field for field in fields]))
