"""Parts of a BackendTrafficPolicy about requests and answers: rate limits, overrides, buffering, telemetry.

The names, limits and defaults are those of Envoy Gateway's CRD.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from .reference import LocalObjectReference
from .route_filter import Fraction, HTTPHeader, PathModifier
from .scalars import HeaderName, PreciseHostname, Quantity, UInt32
from .shapes import CheckedShape, Fault, Items, Shape

__all__ = [
    "GlobalRateLimit",
    "LocalRateLimit",
    "RateLimit",
    "RateLimitCost",
    "RateLimitRule",
    "RateLimitSelector",
    "RequestBuffer",
    "ResponseOverride",
    "TrafficTelemetry",
]

_Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]


class RateLimitValue(Shape):
    """A header or a query parameter; `Distinct` gives each value a limit of its own."""

    type: Literal["Exact", "RegularExpression", "Distinct"] = "Exact"
    name: str = Field(min_length=1, max_length=256)
    value: str | None = Field(default=None, max_length=1024)
    invert: bool = False


class RateLimitMethod(Shape):
    value: _Method
    invert: bool = False


class RateLimitPath(Shape):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: str = Field(default="/", max_length=1024)
    invert: bool = False


class RateLimitSource(Shape):
    type: Literal["Exact", "Distinct"] = "Exact"
    value: str = Field(min_length=1, max_length=256)
    invert: bool = False


class RateLimitSelector(CheckedShape):
    headers: Items[RateLimitValue] = Field(default=(), max_length=128)
    methods: Items[RateLimitMethod] = ()
    path: RateLimitPath | None = None
    source_cidr: RateLimitSource | None = Field(default=None, alias="sourceCIDR")
    query_params: Items[RateLimitValue] = Field(default=(), max_length=16)

    def faults(self) -> Iterable[Fault]:
        if not (self.headers or self.methods or self.path or self.source_cidr or self.query_params):
            yield Fault((), "at least one of headers, methods, path, sourceCIDR or queryParams must be specified")


class MetadataKey(Shape):
    namespace: str = Field(min_length=1)
    key: str = Field(min_length=1)


class RateLimitAmount(Shape):
    requests: UInt32
    unit: Literal["Second", "Minute", "Hour", "Day", "Week", "Month", "Year"]
    from_metadata: MetadataKey | None = None


class RateLimitCostSource(CheckedShape):
    from_: Literal["Number", "Metadata"] = Field(alias="from")
    number: int | None = Field(default=None, ge=0)
    metadata: MetadataKey | None = None

    def faults(self) -> Iterable[Fault]:
        if self.number is not None and self.metadata is not None:
            yield Fault((), "only one of number or metadata can be specified")


class RateLimitCost(Shape):
    request: RateLimitCostSource | None = None
    response: RateLimitCostSource | None = None


class RateLimitRule(Shape):
    client_selectors: Items[RateLimitSelector] = Field(default=(), max_length=8)
    limit: RateLimitAmount
    cost: RateLimitCost | None = None
    shared: bool | None = None
    shadow_mode: bool | None = None
    x_rate_limit_headers: Literal["Off", "DraftVersion03"] | None = None


class GlobalRateLimit(Shape):
    rules: Items[RateLimitRule] = Field(max_length=256)


class LocalRateLimit(CheckedShape):
    rules: Items[RateLimitRule] = Field(default=(), max_length=16)

    def faults(self) -> Iterable[Fault]:
        for index, rule in enumerate(self.rules):
            if rule.cost is not None and rule.cost.response is not None:
                yield Fault(("rules", index, "cost"), "response cost is not supported for Local Rate Limits")
            if rule.limit.from_metadata is not None:
                yield Fault(("rules", index, "limit"), "limit fromMetadata is not supported for Local Rate Limits")


class RateLimit(Shape):
    type: Literal["Global", "Local"] | None = None
    """Deprecated: the fields below say it."""
    global_: GlobalRateLimit | None = Field(default=None, alias="global")
    local: LocalRateLimit | None = None


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


class TextMatch(Shape):
    type: Literal["Exact", "Prefix", "Suffix", "RegularExpression"] = "Exact"
    value: str = Field(min_length=1, max_length=1024)


class ResponseHeaderMatch(Shape):
    name: HeaderName
    value: TextMatch


class ResponseMatch(CheckedShape):
    status_codes: Annotated[Items[StatusMatch], Field(max_length=50)] = ()
    response_headers: Annotated[Items[ResponseHeaderMatch], Field(max_length=16)] = ()

    def faults(self) -> Iterable[Fault]:
        if not self.status_codes and not self.response_headers:
            yield Fault((), "at least one of statusCodes or responseHeaders must be specified")


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


class RequestBuffer(Shape):
    limit: Quantity | None = None


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
