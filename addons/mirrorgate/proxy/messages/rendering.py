"""The bytes that are sent: request heads for the upstream, answer heads for the client, the gateway's own replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from itertools import compress

from mitmproxy import http

from ...errors import REPLIES, LocalReply, Refusal
from ...inference.errors import openai_error
from ...plans import Plan, Refused
from ...routing.filters import apply
from .field_shapes import RequestShape, answer_shape, names_of, request_shape, spoken_for_us
from .heads import HeadNotes, RequestHead, ResponseHead, field_lines, named_by, render_response, without_unfit_trailers
from .sketch import ResponseSketch

__all__ = [
    "Fields",
    "answer_fields",
    "forwarded_head",
    "last_chunk",
    "local_fields",
    "reason_of",
    "reason_sent",
    "rejection",
    "repeated_head",
    "reply_body",
    "sent_trailers",
    "websocket_upgrade",
]

Fields = list[tuple[bytes, bytes]]

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


def reason_of(status: int) -> bytes:
    """Return the reason phrase of a status."""
    return _REASONS.get(status, b"Unknown")


def websocket_upgrade(head: RequestHead) -> bytes:
    """Return the protocol of an upgrade that is passed on, empty for none. Only websocket is; h2c is answered in
    HTTP/1.1, as a server may (RFC 9110, 7.8)."""
    return head.upgrade if head.upgrade == b"websocket" and not head.has_body else b""


def _joined(fields: Sequence[tuple[bytes, bytes]], places: tuple[int, ...]) -> bytes:
    """Return the values of a field that may be repeated (RFC 9110, 5.3)."""
    return b",".join([value for place in places if (value := fields[place][1])]) if places else b""


def forwarded_head(
    fields: Sequence[tuple[bytes, bytes]],
    plan: Plan,
    *,
    client: str,
    scheme: bytes,
    body: bytes | None,
    content_length: int | None,
    chunked: bool,
    upgrade: bytes,
    shape: RequestShape | None = None,
) -> Fields:
    """Make the header fields of the request as it is sent on. `shape` is that of `fields`, where it is known.

    `body` is the whole body, `None` when it is streamed with the declared `content_length` or `chunked`.
    """
    if shape is None:
        shape = request_shape(names_of(fields))
    kept = _passed_on(fields, shape, client, scheme)
    had_length, has_host = shape.length >= 0, shape.host >= 0
    kept.append((b"x-request-id", plan.request_id.encode()))
    for changes in plan.request_changes:
        kept = apply(changes, kept)
    if plan.host is not None:
        kept = [(name, plan.host if name.lower() == b"host" else value) for name, value in kept]
    if chunked:
        kept.append((b"transfer-encoding", b"chunked"))
    elif body is None:
        if content_length is not None:
            kept.append((b"content-length", b"%d" % content_length))
    elif body or had_length:
        kept.append((b"content-length", b"%d" % len(body)))
    if (not has_host or plan.request_changes) and not any(name.lower() == b"host" for name, _ in kept):
        kept.insert(0, (b"host", str(plan.address).encode()))  # HTTP/1.0 needs none, HTTP/1.1 does
    if upgrade:
        kept += [(b"connection", b"upgrade"), (b"upgrade", upgrade)]
    return kept


def _passed_on(fields: Sequence[tuple[bytes, bytes]], shape: RequestShape, client: str, scheme: bytes) -> Fields:
    """Return the fields that are sent on whatever the plan says, with the client's address and scheme."""
    kept: Fields = list(compress(fields, shape.kept))
    forwarded = _joined(fields, shape.forwarded)
    connection = _joined(fields, shape.connection)
    if connection and (named := named_by(connection)):
        kept = [field for field in kept if field[0].lower() not in named]
        forwarded = b"" if b"x-forwarded-for" in named else forwarded
    address = client.encode("latin-1", "replace")
    kept.append((b"x-forwarded-for", address if not forwarded else forwarded + b"," + address))
    kept.append((b"x-forwarded-proto", scheme))
    return kept


def repeated_head(head: RequestHead, notes: HeadNotes, plan: Plan, client: str, scheme: bytes) -> bytes:
    """Render a remembered head as it is sent on with the plan's whole body: to the byte what `forwarded_head` makes of
    it where the plan changes nothing, but that the lines which depend on the connection only are made once for it."""
    shape, passed_on = head.shape, notes.passed_on
    assert shape is not None
    if passed_on is None:
        passed_on = notes.passed_on = field_lines(_passed_on(head.fields, shape, client, scheme))
    identified = b"%b %b HTTP/1.1\r\n%bx-request-id: %b\r\n" % (
        head.method, plan.path, passed_on, plan.request_id.encode(),
    )  # fmt: skip
    if plan.body or shape.length >= 0:
        return b"%bcontent-length: %d\r\n\r\n" % (identified, len(plan.body or b""))
    return identified + b"\r\n"


def answer_fields(
    response: http.Response | ResponseSketch,
    head: ResponseHead,
    plan: Plan,
    content: bytes | None,
    *,
    bodiless: bool,
    framed: bool,
    old_client: bool,
    close: bool,
    date: Callable[[], bytes],
) -> tuple[Fields, bool, bool]:
    """Make the answer's header fields. Returns them, whether the body is chunked, and whether it lasts until the close.

    `content` is a buffered body, `None` for one that streams. `bodiless` says that none is sent, whatever there is.
    `framed` says that the client's side marks the end by itself (HTTP/2); `old_client` speaks HTTP/1.0.
    `date` makes a Date, for an answer that has none.
    """
    status = response.status_code
    given = response.headers.fields
    shape = head.shape if given is head.fields else None
    if shape is None:
        shape = answer_shape(names_of(given))
    fields: Fields = list(compress(given, shape.kept))
    length = None if shape.length is None else given[shape.length][1]
    connection = _joined(given, shape.connection)
    dated = shape.dated
    if connection and (named := named_by(connection)):
        fields = [field for field in fields if field[0].lower() not in named]
        dated = dated and b"date" not in named
    for changes in plan.response_changes:
        fields = apply(changes, fields)
    if not dated:
        fields.append((b"date", date()))
    chunked = until_close = False
    if status == 101:
        fields += [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]
    elif bodiless:
        # What the body's framing would be may be told, except with 204 (RFC 9110, 8.6; RFC 9112, 6.1).
        if status != 204 and length is not None and not head.chunked:
            fields.append((b"content-length", length))
        elif head.chunked and status not in (204, 304) and not old_client and not framed:
            fields.append((b"transfer-encoding", b"chunked"))
    elif content is not None:
        if response.trailers and not old_client and not framed:
            chunked = True
        else:
            fields.append((b"content-length", b"%d" % len(content)))
    elif length is not None and not head.chunked:
        fields.append((b"content-length", length))
    elif framed:
        pass
    elif old_client:
        until_close = True
    else:
        chunked = True
    if chunked:
        fields.append((b"transfer-encoding", b"chunked"))
    if status != 101 and not framed:
        if close or until_close:
            fields.append((b"connection", b"close"))
        elif old_client:
            fields.append((b"connection", b"keep-alive"))
    return fields, chunked, until_close


def reason_sent(response: http.Response | ResponseSketch, head: ResponseHead) -> bytes:
    """Return the phrase of an answer: the gateway's own, as Envoy's is, unless an addon has chosen one."""
    return reason_of(response.status_code) if response.data.reason == head.reason else response.data.reason


def last_chunk(trailers: http.Headers | None) -> bytes:
    """Render the end of a chunked body, with those trailers that may be sent on; a client's must not speak for us."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n%b\r\n" % field_lines(sent_trailers(trailers))


def sent_trailers(trailers: http.Headers | None) -> Fields:
    """Return those trailers that may be sent on."""
    if not trailers:
        return []
    return [field for field in without_unfit_trailers(trailers.fields) if not spoken_for_us(field[0].lower())]


def reply_body(reply: LocalReply, refused: Refused, *, openai: bool) -> tuple[bytes, bytes]:
    """Return the body and content type of a local reply: OpenAI-shaped where the path speaks it and the table says so.

    Envoy's texts stay as they are everywhere: the overflow's body is a contract.
    """
    if refused.body:
        return refused.body, b""
    message = refused.message or reply.body
    status = refused.status or reply.status
    if openai and reply.openai_type:
        return (
            openai_error(status, message, reply.openai_type, refused.code, refused.param),
            b"application/json",
        )
    return message.encode("utf-8", "replace"), b"text/plain"


def rejection(refusal: Refusal, message: str) -> bytes:
    """Render the answer to what is not a request, the last of its connection; `message` over the table's, if any."""
    reply = REPLIES[refusal]
    body = (message or reply.body).encode("latin-1", "replace")
    fields = [*local_fields(body, b"text/plain", ()), (b"connection", b"close")]
    return render_response(reply.status, reason_of(reply.status), fields) + body


def local_fields(body: bytes, content_type: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Fields:
    """Make the header fields of a local reply, in Envoy's order."""
    fields: Fields = list(headers)
    fields.append((b"content-length", b"%d" % len(body)))
    if body and content_type:
        fields.append((b"content-type", content_type))
    return fields
