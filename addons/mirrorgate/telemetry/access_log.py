"""The access log: one JSON object a line for every request, with Envoy's keys.

Keys that Envoy has are spelled and meant as in Envoy Gateway's default JSON access log; ours come after them. A value
that is not known is `null`, as there. Times are milliseconds, but for `start_time`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import UTC, datetime
from operator import attrgetter
from typing import ClassVar

import msgspec

from ..events import Event, ExchangeDone, RequestsShed
from .line_writer import LineWriter
from .redaction import without_credentials
from .samples import Sample

__all__ = ["AccessLog", "line"]

_LONGEST = 4096
"""Characters of a string that a client chooses; the rest is cut and marked with an ellipsis."""


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


class AccessLog:
    """Writes a line for each `ExchangeDone`, and one for all of a `RequestsShed`; other events pass by.

    Args:
        destination: a file's path, `-` for standard output, empty for no log.

    Raises:
        OSError: the file cannot be opened now. Later faults of the disk cost lines, which are counted, and nothing
            else.
    """

    kinds: ClassVar[tuple[type[Event], ...]] = (
        ExchangeDone,
        RequestsShed,
    )
    """The events that it is told of."""

    def __init__(self, destination: str, *, max_buffered_bytes: int = 8 * 1024 * 1024) -> None:
        self._writer = LineWriter(destination, max_buffered_bytes=max_buffered_bytes) if destination else None

    def handle(self, event: Event) -> None:
        """Hand the line over. Costs some 10 us, never waits, never raises."""
        if self._writer is None:
            return
        if isinstance(event, ExchangeDone):
            self._writer.write(line(event))
        elif isinstance(event, RequestsShed):
            self._writer.write(line(event.sample, requests=event.count))

    def reopen(self) -> None:
        """Open the file anew before the next line, as on a SIGHUP; a renamed file is noticed without it."""
        if self._writer is not None:
            self._writer.reopen()

    def close(self, timeout: float = 2.0) -> None:
        """Write what is buffered, for *timeout* seconds at most, and end."""
        if self._writer is not None:
            self._writer.close(timeout)

    def samples(self) -> Iterable[Sample]:
        """Return the counts of lines written and dropped, for `Metrics.register_gauges`."""
        if self._writer is None:
            return
        yield Sample("mirrorgate_access_log_lines_total", self._writer.written)
        for reason, count in self._writer.dropped.items():
            yield Sample("mirrorgate_access_log_dropped_total", count, {"reason": reason})


def line(event: ExchangeDone, requests: int = 1) -> bytes:
    """Return the event as a line with its line feed; *requests* says for how many it stands.

    Control characters are escaped, as JSON demands."""
    if sum(map(len, _chosen(event))) > _LONGEST:
        event = _shortened(event)
    values = _values(event, requests)
    try:
        return _encoder.encode(values) + b"\n"
    except UnicodeEncodeError:
        # Header bytes that are no UTF-8 arrive as lone surrogates.
        raw: dict[str, object] = msgspec.to_builtins(values)
        return _encoder.encode({key: _clean(v) if isinstance(v, str) else v for key, v in raw.items()}) + b"\n"


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
