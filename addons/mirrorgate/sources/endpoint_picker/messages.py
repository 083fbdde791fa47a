"""The messages of Envoy's external processing (`envoy.service.ext_proc.v3`), made and read as plain values.

Field by field after IE proposal 004 (the endpoint picker protocol) and `external_processor.proto`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from google.protobuf.message import DecodeError

from ...routing.table import HeaderChanges

__all__ = [
    "PATH",
    "Body",
    "Head",
    "Immediate",
    "Reply",
    "Unreadable",
    "read_reply",
    "request_body",
    "request_head",
    "response_body",
    "response_head",
    "response_trailers",
]

PATH = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
CHUNK = 62_000
"""Bytes of a body in one message, as the reference picker limits its own."""

DESTINATION = "x-gateway-destination-endpoint"
_SUBSET = "x-gateway-destination-endpoint-subset"
_SERVED = "x-gateway-destination-endpoint-served"
_NAMESPACE = "envoy.lb"
_SUBSET_NAMESPACE = "envoy.lb.subset_hint"

Fields = Sequence[tuple[bytes, bytes]]

_FRAMING = frozenset(
    (
        "connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade",
    )
)  # fmt: skip
"""Fields that a picker cannot change: the gateway frames messages itself, and a picker does not reroute a request."""


class Unreadable(Exception):
    """A message that is no `ProcessingResponse`, or one that makes no sense."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the picker says to a message's head."""

    response: bool
    changes: HeaderChanges
    body: bytes | None = None
    """With `CONTINUE_AND_REPLACE`: the whole body; the rest of the request is none of the picker's business."""
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """What the picker says to a piece of a body."""

    response: bool
    changes: HeaderChanges
    piece: bytes | None
    """The next piece of the body to send on; `None` leaves the body as it was."""
    ended: bool


@dataclass(frozen=True, slots=True)
class Immediate:
    """An answer that the client gets instead of a server's."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    details: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One message of the picker."""

    content: Head | Body | Immediate | None
    """`None` for trailers, which we do not change, and for messages about timeouts."""
    destination: str
    """`ip:port[,ip:port...]`, from the metadata or the header; empty when this message names none."""
    wants_response_head: bool | None = None
    wants_response_body: bool | None = None
    """What a `mode_override` asks for; `None` without one."""


def request_head(fields: Fields, *, ended: bool, subset: Sequence[str] | None) -> bytes:
    """Make the first message. `fields` have pseudo-fields first; `subset` limits the choice, `None` does not."""
    message = ext_proc.ProcessingRequest(request_headers=_headers(fields, ended=ended))
    message.protocol_config.request_body_mode = ProcessingMode.FULL_DUPLEX_STREAMED
    message.protocol_config.response_body_mode = ProcessingMode.FULL_DUPLEX_STREAMED
    if subset is not None:
        metadata = message.metadata_context.filter_metadata[_SUBSET_NAMESPACE]
        metadata.fields[_SUBSET].list_value.extend(subset)
    return _bytes(message)


def request_body(body: bytes) -> Iterator[bytes]:
    """Make the messages of a whole body, which is not empty."""
    for start in range(0, len(body), CHUNK):
        piece = ext_proc.HttpBody(body=body[start : start + CHUNK], end_of_stream=start + CHUNK >= len(body))
        yield _bytes(ext_proc.ProcessingRequest(request_body=piece))


def response_head(fields: Fields, *, served: str, ended: bool) -> bytes:
    """Make the message of an answer's head, with the endpoint that answered."""
    message = ext_proc.ProcessingRequest(response_headers=_headers(fields, ended=ended))
    message.metadata_context.filter_metadata[_NAMESPACE].fields[_SERVED].string_value = served
    return _bytes(message)


def response_body(body: bytes, *, ended: bool) -> Iterator[bytes]:
    """Make the messages of a piece of an answer; one of them even when it is empty."""
    for start in range(0, max(len(body), 1), CHUNK):
        last = ended and start + CHUNK >= len(body)
        piece = ext_proc.HttpBody(body=body[start : start + CHUNK], end_of_stream=last)
        yield _bytes(ext_proc.ProcessingRequest(response_body=piece))


def response_trailers(fields: Fields) -> bytes:
    message = ext_proc.ProcessingRequest()
    message.response_trailers.trailers.CopyFrom(_header_map(fields))
    return _bytes(message)


def read_reply(data: bytes) -> Reply:
    """Read a message of the picker; raises `Unreadable`."""
    try:
        message = ext_proc.ProcessingResponse.FromString(data)
    except DecodeError as error:
        raise Unreadable(str(error)) from error
    kind = message.WhichOneof("response")
    content: Head | Body | Immediate | None = None
    named = ""
    if kind in ("request_headers", "response_headers"):
        common = getattr(message, kind).response
        named = _named(common.header_mutation)
        replaced = common.status == ext_proc.CommonResponse.CONTINUE_AND_REPLACE
        content = Head(
            kind == "response_headers", _changes(common.header_mutation),
            common.body_mutation.body if replaced else None, replaced,
        )  # fmt: skip
    elif kind in ("request_body", "response_body"):
        common = getattr(message, kind).response
        named = _named(common.header_mutation)
        piece, ended = _piece(common.body_mutation)
        content = Body(kind == "response_body", _changes(common.header_mutation), piece, ended)
    elif kind == "immediate_response":
        content = _immediate(message.immediate_response)
    mode = message.mode_override if message.HasField("mode_override") else None
    return Reply(
        content,
        _destination(message) or named,
        None if mode is None else mode.response_header_mode != ProcessingMode.SKIP,
        None if mode is None else mode.response_body_mode != ProcessingMode.NONE,
    )


def _destination(message: ext_proc.ProcessingResponse) -> str:
    """Return what the dynamic metadata names; both it and the header say the same (the protocol's constraints)."""
    if not message.HasField("dynamic_metadata") or _NAMESPACE not in message.dynamic_metadata.fields:
        return ""
    fields = message.dynamic_metadata.fields[_NAMESPACE].struct_value.fields
    return str(fields[DESTINATION].string_value) if DESTINATION in fields else ""


def _named(mutation: ext_proc.HeaderMutation) -> str:
    found = (_value(option.header) for option in mutation.set_headers if option.header.key.lower() == DESTINATION)
    return next(found, b"").decode("latin-1")


def _piece(mutation: ext_proc.BodyMutation) -> tuple[bytes | None, bool]:
    """Return the body's next piece, `None` for none given, and whether it is the last."""
    kind = mutation.WhichOneof("mutation")
    if kind == "streamed_response":
        streamed = mutation.streamed_response
        return streamed.body, streamed.end_of_stream or streamed.end_of_stream_without_message
    if kind == "body":
        return mutation.body, True
    return (b"", True) if kind == "clear_body" and mutation.clear_body else (None, False)


def _immediate(answer: ext_proc.ImmediateResponse) -> Immediate:
    """Read an immediate answer; Envoy's 200 stands for a status that is missing."""
    fields = tuple((name.encode(), value) for name, value, _ in _set(answer.headers.set_headers))
    body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    return Immediate(answer.status.code or 200, fields, body, answer.details)


def _changes(mutation: ext_proc.HeaderMutation) -> HeaderChanges:
    """Read header changes; those of framing, of pseudo-fields and with bytes that no field has are left out."""
    replace: list[tuple[str, str]] = []
    add: list[tuple[str, str]] = []
    for name, value, appends in _set(mutation.set_headers):
        (add if appends else replace).append((name, value.decode("utf-8", "replace")))
    removed = tuple(name.lower() for name in mutation.remove_headers if _allowed(name))
    return HeaderChanges(tuple(replace), tuple(add), removed)


def _set(options: Iterable[base_pb2.HeaderValueOption]) -> Iterator[tuple[str, bytes, bool]]:
    """Yield name, value and whether the value joins others. External processing replaces them unless `append` says
    so, unlike Envoy's other uses of the message."""
    for option in options:
        name, value = option.header.key.lower(), _value(option.header)
        if _allowed(name) and not any(byte in value for byte in (b"\r", b"\n", b"\0")):
            yield name, value, option.append.value


def _allowed(name: str) -> bool:
    return bool(name) and name.isascii() and name.lower() not in _FRAMING and not _ODD & set(name)


_ODD = frozenset(' \t\r\n\0:,;"(){}<>@[]\\/?=')


def _value(header: base_pb2.HeaderValue) -> bytes:
    return bytes(header.raw_value or header.value.encode())


def _headers(fields: Fields, *, ended: bool) -> ext_proc.HttpHeaders:
    return ext_proc.HttpHeaders(headers=_header_map(fields), end_of_stream=ended)


def _header_map(fields: Fields) -> base_pb2.HeaderMap:
    """Return fields as Envoy sends them: names in lower case, values as raw bytes."""
    values = [base_pb2.HeaderValue(key=name.decode("latin-1").lower(), raw_value=value) for name, value in fields]
    return base_pb2.HeaderMap(headers=values)


def _bytes(message: ext_proc.ProcessingRequest) -> bytes:
    return bytes(message.SerializeToString())
