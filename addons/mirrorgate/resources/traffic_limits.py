"""Parts of a BackendTrafficPolicy about requests and answers: overrides, buffering, telemetry.

The names, limits and defaults are those of Envoy Gateway's CRD.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import Field

from .reference import LocalObjectReference
from .route_filter import Fraction, HTTPHeader, PathModifier
from .scalars import HeaderName, PreciseHostname, Quantity, parse_quantity
from .shapes import CheckedShape, Fault, Items, Shape
from .traffic_rate_limits import bad_pattern

__all__ = [
    "CustomRedirect",
    "CustomResponse",
    "RequestBuffer",
    "ResponseHeaderMatch",
    "ResponseOverride",
    "TrafficTelemetry",
    "body_commands",
]


class StatusRange(CheckedShape):
    start: int = Field(ge=100, le=599)
    end: int = Field(ge=100, le=599)

    def faults(self) -> Iterable[Fault]:
        if self.end <= self.start:
            yield Fault(("end",), "end must be greater than start")


class StatusMatch(CheckedShape):
    type: Literal["Value", "Range"] = "Value"
    value: int | None = None
    range: StatusRange | None = None

    def faults(self) -> Iterable[Fault]:
        if self.type == "Value" and self.value is None:
            yield Fault((), "value must be set for type Value")
        if self.type == "Range" and self.range is None:
            yield Fault((), "range must be set for type Range")

    @property
    def bounds(self) -> tuple[int, int]:
        """The first and the last status that match."""
        if self.type == "Range" and self.range is not None:
            return self.range.start, self.range.end
        return (self.value or 0,) * 2


class TextMatch(CheckedShape):
    type: Literal["Exact", "Prefix", "Suffix", "RegularExpression"] = "Exact"
    value: str = Field(min_length=1, max_length=1024)

    def faults(self) -> Iterable[Fault]:
        if self.type == "RegularExpression":
            yield from bad_pattern(("value",), self.value)


class ResponseHeaderMatch(Shape):
    name: HeaderName
    value: TextMatch


class ResponseMatch(CheckedShape):
    status_codes: Annotated[Items[StatusMatch], Field(max_length=50)] = ()
    response_headers: Annotated[Items[ResponseHeaderMatch], Field(max_length=16)] = ()

    def faults(self) -> Iterable[Fault]:
        if not self.status_codes and not self.response_headers:
            yield Fault((), "at least one of statusCodes or responseHeaders must be specified")


BODY_COMMANDS = frozenset(
    (
        "LOCAL_REPLY_BODY",
        "PROTOCOL",
        "REQ(:METHOD)",
        "RESPONSE_CODE",
        "RESPONSE_CODE_DETAILS",
        "RESPONSE_FLAGS",
    )
)
"""What a body may ask of the answer that it replaces, in Envoy's words for access logs."""

_COMMAND = re.compile(r"%(?:%|([A-Z][A-Z_]*(?:\([^()%]*\))?)%)")


def body_commands(text: str) -> Iterator[tuple[str, str]]:
    """Split a body into pairs of literal text and the command behind it, empty for none; `%%` is a percent sign."""
    start, literal = 0, ""
    for match in _COMMAND.finditer(text):
        literal += text[start : match.start()]
        start = match.end()
        if match[1] is None:
            literal += "%"
        else:
            yield literal, match[1]
            literal = ""
    yield literal + text[start:], ""


class ResponseBody(CheckedShape):
    type: Literal["Inline", "ValueRef"] = "Inline"
    inline: str | None = None
    value_ref: LocalObjectReference | None = None

    def faults(self) -> Iterable[Fault]:
        if self.type == "Inline" and self.inline is None:
            yield Fault((), "inline must be set for type Inline")
        if self.type == "ValueRef" and self.value_ref is None:
            yield Fault((), "valueRef must be set for type ValueRef")
        if self.value_ref is not None and self.value_ref.kind != "ConfigMap":
            yield Fault(("valueRef", "kind"), "only ConfigMap is supported for ValueRef")
        for _, command in body_commands(self.inline or ""):
            if command and command not in BODY_COMMANDS:
                known = ", ".join(f"%{name}%" for name in sorted(BODY_COMMANDS))
                yield Fault(("inline",), f"%{command}% is not known; {known} are, and %% is a percent sign")


class ResponseHeaders(Shape):
    set: Items[HTTPHeader] = Field(default=(), max_length=16)
    add: Items[HTTPHeader] = Field(default=(), max_length=16)


class CustomResponse(Shape):
    content_type: str | None = None
    status_code: int | None = Field(default=None, ge=100, le=599)
    header: ResponseHeaders | None = None
    body: ResponseBody | None = None


class CustomRedirect(CheckedShape):
    scheme: Literal["http", "https"] | None = None
    hostname: PreciseHostname | None = None
    path: PathModifier | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    status_code: Literal[301, 302] = 302

    def faults(self) -> Iterable[Fault]:
        if self.path is not None and self.path.type != "ReplaceFullPath":
            yield Fault(("path", "type"), "only ReplaceFullPath is supported for path.type")


class ResponseOverride(CheckedShape):
    match: ResponseMatch
    response: CustomResponse | None = None
    redirect: CustomRedirect | None = None
    source: Literal["All", "Local", "Backend"] | None = None

    def faults(self) -> Iterable[Fault]:
        if (self.response is None) == (self.redirect is None):
            yield Fault((), "exactly one of response or redirect must be specified")

    @property
    def doable(self) -> bool:
        """Whether the body is at hand: there are no ConfigMaps here."""
        return self.response is None or self.response.body is None or self.response.body.type == "Inline"


class RequestBuffer(CheckedShape):
    limit: Quantity | None = None

    def faults(self) -> Iterable[Fault]:
        if self.bytes is not None and not 0 <= self.bytes < 2**32:
            yield Fault(("limit",), "must be between 0 and 4294967295 bytes")

    @property
    def bytes(self) -> int | None:
        """The limit in bytes, `None` when there is none."""
        return None if self.limit is None else int(parse_quantity(self.limit))


class SpanName(Shape):
    client: str
    server: str


class TracingOptions(Shape):
    sampling_fraction: Fraction | None = None
    client_sampling_fraction: Fraction | None = None
    overall_sampling_fraction: Fraction | None = None
    custom_tags: dict[str, object] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    span_name: SpanName | None = None


class RouteMetrics(Shape):
    route_stat_name: str | None = None


class TrafficTelemetry(Shape):
    tracing: TracingOptions | None = None
    metrics: RouteMetrics | None = None
