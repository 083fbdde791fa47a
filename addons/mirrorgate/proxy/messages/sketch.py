"""Stands for mitmproxy's flow while nobody looks: what the gateway itself needs of it, in plain slots.

mitmproxy checks the type of every field of a request, a response and their header fields, which costs more than
everything the gateway decides about a small request (measured, docs/performance.md). So an exchange begins with a
sketch, and `FlowHooks` has the flow drawn from it before the first handler that would look. The names are mitmproxy's,
so that the code that carries an exchange reads either alike; what a sketch does not have, only a flow needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Self

import msgspec
from mitmproxy import connection, flow, http

from ...exchange import Exchange
from .heads import Fields, RequestHead, ResponseHead

__all__ = ["AnyFlow", "ResponseSketch", "Sketch", "begin_response", "describe", "draw", "give_response", "sketch_of"]

type AnyFlow = http.HTTPFlow | Sketch

type Stream = bool | Callable[[bytes], Iterable[bytes] | bytes]


class _Headers(msgspec.Struct, eq=False):
    """The header fields of a message."""

    fields: Fields

    def get(self, name: str, default: str) -> str:
        """Return the first value of a field; mitmproxy joins repeated ones, which the fields read here are not."""
        wanted = name.encode()
        for key, value in self.fields:
            if key.lower() == wanted:
                return value.decode("utf-8", "surrogateescape")
        return default

    def pop(self, name: str, default: None = None) -> None:
        """Remove a field."""
        wanted = name.encode()
        self.fields = tuple(field for field in self.fields if field[0].lower() != wanted)
        return default


class _Message(msgspec.Struct, eq=False):
    """What requests and responses share. `data` is what mitmproxy calls the raw values behind a message."""

    headers: _Headers
    content: bytes | None
    trailers: http.Headers | None
    stream: Stream
    timestamp_start: float
    timestamp_end: float | None
    version: bytes

    @property
    def raw_content(self) -> bytes | None:
        return self.content

    @property
    def data(self) -> Self:
        return self


class _Request(_Message, eq=False):
    scheme: bytes
    host: str
    port: int
    authority: bytes
    """As mitmproxy has it: a pseudo-header field, which HTTP/1 does not have."""
    method: bytes
    path: bytes


class ResponseSketch(_Message, eq=False):
    """A response that nobody has seen yet."""

    status_code: int
    reason: bytes
    alt_svc: bool
    """Whether there is an Alt-Svc field."""


class Sketch(msgspec.Struct, eq=False):
    """A flow that nobody has seen yet."""

    intercepted: ClassVar[bool] = False
    is_replay: ClassVar[None] = None

    id: str
    request: _Request
    upgrade: bool
    """Whether the request has an Upgrade field."""
    response: ResponseSketch | http.Response | None = None
    error: flow.Error | None = None
    metadata: dict[str, Any] = {}
    server_conn: connection.Server | None = None
    live: bool = True
    marked: str = ""
    comment: str = ""

    @property
    def has_alt_svc(self) -> bool:
        """Whether there is an answer so far, with an Alt-Svc field."""
        response = self.response
        if type(response) is ResponseSketch:
            return response.alt_svc
        return response is not None and any(name.lower() == b"alt-svc" for name, _ in response.headers.fields)


def sketch_of(id: str, head: RequestHead, scheme: bytes, host: str, port: int, started: float) -> Sketch:
    """Sketch the flow of a request whose head has come."""
    version = head.version
    authority = head.authority if version == b"HTTP/2.0" else b""
    request = _Request(
        _Headers(head.fields), None, None, False, started, None, version,
        scheme, host, port, authority, head.method, head.path,
    )  # fmt: skip
    return Sketch(id, request, head.upgrade_field)


def _response_of(head: ResponseHead, started: float) -> ResponseSketch:
    return ResponseSketch(
        _Headers(head.fields), None, None, False, started, None, head.version, head.status, head.reason, head.alt_svc
    )


def begin_response(flow: AnyFlow, head: ResponseHead, now: float) -> ResponseSketch | http.Response:
    """Give a flow, or its sketch, the response whose head has come."""
    response: ResponseSketch | http.Response
    if type(flow) is Sketch:
        response = flow.response = _response_of(head, now)
        return response
    assert isinstance(flow, http.HTTPFlow)
    response = flow.response = http.Response(
        head.version, head.status, head.reason, http.Headers(head.fields), None, None, now, None
    )  # fmt: skip
    return response


def give_response(
    flow: AnyFlow, status: int, reason: bytes, fields: Sequence[tuple[bytes, bytes]], body: bytes
) -> None:
    """Give a flow, or its sketch, a response of the gateway's own."""
    now = time.time()
    if type(flow) is Sketch:
        alt_svc = any(name.lower() == b"alt-svc" for name, _ in fields)
        head = ResponseHead(b"HTTP/1.1", status, reason, tuple(fields), len(body), False, False, alt_svc=alt_svc)
        response = flow.response = _response_of(head, now)
        response.content, response.timestamp_end = body, now
    else:
        assert isinstance(flow, http.HTTPFlow)
        flow.response = http.Response(b"HTTP/1.1", status, reason, http.Headers(fields), body, None, now, now)


def draw(sketch: Sketch, client: connection.Client) -> http.HTTPFlow:
    """Make the flow that a sketch stands for, as far as the exchange has come."""
    drawn = http.HTTPFlow(client, sketch.server_conn or connection.Server(address=None), live=sketch.live)
    drawn.id = sketch.id
    drawn.error = sketch.error
    drawn.metadata = sketch.metadata
    drawn.marked = sketch.marked
    drawn.comment = sketch.comment
    ours = sketch.request
    drawn.timestamp_created = ours.timestamp_start
    drawn.request = http.Request(
        ours.host, ours.port, ours.method, ours.scheme, ours.authority, ours.path, ours.version,
        http.Headers(ours.headers.fields), ours.content, ours.trailers, ours.timestamp_start, ours.timestamp_end,
    )  # fmt: skip
    drawn.request.stream = ours.stream
    theirs = sketch.response
    if isinstance(theirs, ResponseSketch):
        drawn.response = http.Response(
            theirs.version, theirs.status_code, theirs.reason, http.Headers(theirs.headers.fields), theirs.content,
            theirs.trailers, theirs.timestamp_start, theirs.timestamp_end,
        )  # fmt: skip
        drawn.response.stream = theirs.stream
    else:
        drawn.response = theirs
    return drawn


def describe(flow: AnyFlow, facts: Exchange) -> None:
    """Write on a flow what is known of its way: its route and cluster, its endpoint and models once it has them."""
    metadata = flow.metadata
    metadata["mirrorgate.route"] = facts.route
    metadata["mirrorgate.cluster"] = facts.cluster
    if not facts.endpoint:
        return
    metadata["mirrorgate.endpoint"] = facts.endpoint
    if facts.model:
        metadata["mirrorgate.model"] = facts.model
    if facts.target_model and facts.target_model != facts.model:
        metadata["mirrorgate.target_model"] = facts.target_model
