"""Lines of the access log: from an `ExchangeDone` to JSON, most of it remembered.

Requests to one route differ in their times, sizes and identifiers; the rest of their lines is the same, and is
written once. A line made that way is to the byte what the encoder makes of it.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from operator import attrgetter

import msgspec

from ..events import ExchangeDone
from .redaction import without_credentials

__all__ = ["line"]

_LONGEST = 4096
"""Characters of a string that a client chooses; the rest is cut and marked with an ellipsis."""

_MOST = 256
"""Templates that are remembered; beyond them it begins anew, so that nobody can fill the memory."""


class _Line(msgspec.Struct, frozen=True):
    start_time: str
    method: str | None
    path: str | None
    protocol: str | None
    response_code: int
    response_flags: str
    response_code_details: str | None
    bytes_received: int
    bytes_sent: int
    duration: float
    response_duration: float | None
    response_tx_duration: float | None
    upstream_host: str | None
    upstream_cluster: str | None
    route_name: str | None
    authority: str | None = msgspec.field(name=":authority")
    request_id: str | None = msgspec.field(name="x-request-id")
    user_agent: str | None
    forwarded_for: str | None = msgspec.field(name="x-forwarded-for")
    downstream_remote_address: str | None
    listener: str | None
    pool: str | None
    model: str | None
    target_model: str | None
    streamed: bool
    queued: float
    ttft: float | None
    itl: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    mirrored: int
    attempts: int
    local_reply: str | None
    id: str
    requests: int


_encoder = msgspec.json.Encoder()
_encode = _encoder.encode

_same = attrgetter(
    "method", "path", "protocol", "status", "flag", "details", "endpoint", "cluster", "route", "rule", "authority",
    "listener", "pool", "model", "target_model", "streamed", "mirrored", "attempts", "refusal",
)  # fmt: skip
"""What a template is remembered by: all that is the same in its lines."""

_OWN = (
    "start_time", "bytes_received", "bytes_sent", "duration", "response_duration", "response_tx_duration",
    "x-request-id", "user_agent", "x-forwarded-for", "downstream_remote_address", "queued", "ttft", "itl",
    "prompt_tokens", "completion_tokens", "id", "requests",
)  # fmt: skip
"""What each line has of its own, in the order of the line."""

_templates: dict[tuple[object, ...], bytes] = {}


def line(event: ExchangeDone, requests: int = 1) -> bytes:
    """Return the event as a line with its line feed; *requests* says for how many it stands.

    Control characters are escaped, as JSON demands.
    """
    if sum(map(len, _chosen(event))) > _LONGEST:
        event = _shortened(event)
    try:
        if "?" in event.path or "@" in event.path:
            return _encode(_values(event, requests)) + b"\n"
        same = _same(event)
        template = _templates.get(same)
        if template is None:
            template = _keep(same, _template(event))
        return template % _own(event, requests)
    except UnicodeEncodeError:
        # Header bytes that are no UTF-8 arrive as lone surrogates.
        raw: dict[str, object] = msgspec.to_builtins(_values(event, requests))
        return _encode({key: _clean(v) if isinstance(v, str) else v for key, v in raw.items()}) + b"\n"


def _keep(same: tuple[object, ...], template: bytes) -> bytes:
    if len(_templates) >= _MOST:
        _templates.clear()
    _templates[same] = template
    return template


def _template(event: ExchangeDone) -> bytes:
    """Write a line with a place for each value that is its own."""
    pieces = [
        b"%b:%b" % (_encode(key), b"%b" if key in _OWN else _encode(value).replace(b"%", b"%%"))
        for key, value in msgspec.to_builtins(_values(event, 1)).items()
    ]
    return b"{%b}\n" % b",".join(pieces)


def _own(event: ExchangeDone, requests: int) -> tuple[bytes, ...]:
    """Return what fills a template."""
    answered, duration = event.response_duration, event.duration
    return (
        b'"%b"' % _instant(event.started).encode(),
        b"%d" % event.bytes_received,
        b"%d" % event.bytes_sent,
        _encode(round(duration * 1000.0, 3)),
        b"null" if answered is None else _encode(round(answered * 1000.0, 3)),
        b"null" if answered is None else _encode(round(max(duration - answered, 0.0) * 1000.0, 3)),
        _encode(event.request_id or None),
        _encode(event.user_agent or None),
        _encode(event.forwarded_for or None),
        _encode(event.client or None),
        _encode(round(event.queued * 1000.0, 3)),
        b"null" if event.ttft is None else _encode(round(event.ttft * 1000.0, 3)),
        b"null" if event.itl is None else _encode(round(event.itl * 1000.0, 3)),
        _encode(event.prompt_tokens),
        _encode(event.completion_tokens),
        _encode(event.id),
        b"%d" % requests,
    )


def _values(event: ExchangeDone, requests: int) -> _Line:
    answered = event.response_duration
    path = event.path
    if "?" in path or "@" in path:
        path = without_credentials(path)
    return _Line(
        start_time=_instant(event.started),
        method=event.method or None,
        path=path or None,
        protocol=event.protocol or None,
        response_code=event.status,
        response_flags=event.flag or "-",
        response_code_details=event.details or None,
        bytes_received=event.bytes_received,
        bytes_sent=event.bytes_sent,
        duration=round(event.duration * 1000.0, 3),
        response_duration=None if answered is None else round(answered * 1000.0, 3),
        response_tx_duration=None if answered is None else round(max(event.duration - answered, 0.0) * 1000.0, 3),
        upstream_host=event.endpoint or None,
        upstream_cluster=event.cluster or None,
        route_name=f"httproute/{event.route}/rule/{event.rule}" if event.route else None,
        authority=event.authority or None,
        request_id=event.request_id or None,
        user_agent=event.user_agent or None,
        forwarded_for=event.forwarded_for or None,
        downstream_remote_address=event.client or None,
        listener=event.listener or None,
        pool=event.pool or None,
        model=event.model or None,
        target_model=event.target_model or None,
        streamed=event.streamed,
        queued=round(event.queued * 1000.0, 3),
        ttft=None if event.ttft is None else round(event.ttft * 1000.0, 3),
        itl=None if event.itl is None else round(event.itl * 1000.0, 3),
        prompt_tokens=event.prompt_tokens,
        completion_tokens=event.completion_tokens,
        mirrored=event.mirrored,
        attempts=event.attempts,
        local_reply=event.refusal or None,
        id=event.id,
        requests=requests,
    )


@functools.lru_cache(maxsize=4)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _instant(at: float) -> str:
    """Write Unix time as Envoy does, cut to milliseconds; the second is the same for thousands of lines."""
    second, fraction = divmod(at, 1.0)
    return f"{_second(int(second))}.{int(fraction * 1000.0):03d}Z"


_CHOSEN = ("path", "authority", "request_id", "user_agent", "forwarded_for", "model", "target_model")
"""Fields whose length a client chooses."""


_chosen = attrgetter(*_CHOSEN)


def _shortened(event: ExchangeDone) -> ExchangeDone:
    chosen = {name: getattr(event, name) for name in _CHOSEN}
    cut = {name: value[:_LONGEST] + "…" for name, value in chosen.items() if len(value) > _LONGEST}
    return msgspec.structs.replace(event, **cut)


def _clean(value: str) -> str:
    return value.encode("utf-8", "replace").decode("utf-8")
