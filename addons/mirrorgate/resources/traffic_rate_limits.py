"""Rate limits of a BackendTrafficPolicy: by what clients send, in requests or, after the answer, in tokens.

The names, limits and defaults are those of Envoy Gateway's CRD.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Literal

import re2
from pydantic import Field

from .scalars import UInt32
from .shapes import CheckedShape, Fault, Items, Shape

__all__ = [
    "RATE_LIMIT_UNITS",
    "GlobalRateLimit",
    "LocalRateLimit",
    "RateLimit",
    "RateLimitCost",
    "RateLimitRule",
    "RateLimitSelector",
    "RateLimitUnit",
    "RateLimitValue",
    "bad_pattern",
]

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False

_Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]


class RateLimitValue(CheckedShape):
    """A header or a query parameter; `Distinct` gives each value a limit of its own."""

    type: Literal["Exact", "RegularExpression", "Distinct"] = "Exact"
    name: str = Field(min_length=1, max_length=256)
    value: str | None = Field(default=None, max_length=1024)
    invert: bool = False

    def faults(self) -> Iterable[Fault]:
        if self.type == "Distinct":
            if self.value is not None:
                yield Fault(("value",), "value is not applicable for type Distinct")
            if self.invert:
                yield Fault(("invert",), "invert is not applicable for type Distinct")
        elif self.value is None:
            yield Fault((), f"value must be set for type {self.type}")
        elif self.type == "RegularExpression":
            yield from bad_pattern(("value",), self.value)


class RateLimitMethod(Shape):
    value: _Method
    invert: bool = False


class RateLimitPath(CheckedShape):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: str = Field(default="/", max_length=1024)
    invert: bool = False

    def faults(self) -> Iterable[Fault]:
        if self.type == "RegularExpression":
            yield from bad_pattern(("value",), self.value)


class RateLimitSource(CheckedShape):
    """`Distinct` gives each address of the network a limit of its own."""

    type: Literal["Exact", "Distinct"] = "Exact"
    value: str = Field(min_length=1, max_length=256)
    invert: bool = False

    def faults(self) -> Iterable[Fault]:
        try:
            ipaddress.ip_network(self.value, strict=False)
        except ValueError:
            yield Fault(("value",), "must be a network such as 10.0.0.0/8 or 2001:db8::/32")


class RateLimitSelector(CheckedShape):
    headers: Items[RateLimitValue] = Field(default=(), max_length=128)
    methods: Items[RateLimitMethod] = ()
    path: RateLimitPath | None = None
    source_cidr: RateLimitSource | None = Field(default=None, alias="sourceCIDR")
    query_params: Items[RateLimitValue] = Field(default=(), max_length=16)

    def faults(self) -> Iterable[Fault]:
        if not (self.headers or self.methods or self.path or self.source_cidr or self.query_params):
            yield Fault((), "at least one of headers, methods, path, sourceCIDR or queryParams must be specified")


def bad_pattern(loc: tuple[str | int, ...], pattern: str) -> Iterable[Fault]:
    """Yield a fault where RE2, which matches it, does not understand a pattern."""
    try:
        re2.compile(pattern.encode(), _OPTIONS)
    except re2.error as error:
        reason = error.args[0]
        yield Fault(loc, f"RE2 cannot read it: {reason.decode() if isinstance(reason, bytes) else reason}")


class MetadataKey(Shape):
    namespace: str = Field(min_length=1)
    key: str = Field(min_length=1)


RateLimitUnit = Literal["Second", "Minute", "Hour", "Day", "Week", "Month", "Year"]
RATE_LIMIT_UNITS: dict[RateLimitUnit, float] = {
    "Second": 1.0,
    "Minute": 60.0,
    "Hour": 3600.0,
    "Day": 86_400.0,
    "Week": 604_800.0,
    "Month": 2_592_000.0,
    "Year": 31_536_000.0,
}
"""Seconds; a month has 30 days and a year 365, as in Envoy Gateway."""


class RateLimitAmount(Shape):
    requests: UInt32
    unit: RateLimitUnit
    from_metadata: MetadataKey | None = None


class RateLimitCostSource(CheckedShape):
    from_: Literal["Number", "Metadata"] = Field(alias="from")
    number: int | None = Field(default=None, ge=0)
    metadata: MetadataKey | None = None

    def faults(self) -> Iterable[Fault]:
        if self.number is not None and self.metadata is not None:
            yield Fault((), "only one of number or metadata can be specified")


_AI_GATEWAY = "io.envoy.ai_gateway"
_CHARGES: dict[str, Literal["Total", "Input", "Output"]] = {
    "llm_total_token": "Total",
    "llm_input_token": "Input",
    "llm_output_token": "Output",
}
"""The keys of dynamic metadata that Envoy AI Gateway's documentation uses for the tokens of an answer."""


class RateLimitCost(Shape):
    request: RateLimitCostSource | None = None
    response: RateLimitCostSource | None = None

    @property
    def taken(self) -> int | None:
        """What a request takes when it comes, `None` where that is not known here."""
        if self.request is None:
            return 1
        return None if self.request.from_ != "Number" else self.request.number

    @property
    def charged(self) -> Literal["Nothing", "Total", "Input", "Output"] | None:
        """Which tokens of the answer are charged, `None` where that is not known here."""
        if self.response is None:
            return "Nothing"
        key = self.response.metadata
        known = self.response.from_ == "Metadata" and key is not None and key.namespace == _AI_GATEWAY
        return _CHARGES.get(key.key) if known and key is not None else None


class RateLimitRule(Shape):
    client_selectors: Items[RateLimitSelector] = Field(default=(), max_length=8)
    limit: RateLimitAmount
    cost: RateLimitCost | None = None
    shared: bool | None = None
    shadow_mode: bool | None = None
    x_rate_limit_headers: Literal["Off", "DraftVersion03"] | None = None

    @property
    def doable(self) -> bool:
        """Whether all that the rule's cost depends on is known here: there is no dynamic metadata but tokens."""
        if self.limit.from_metadata is not None:
            return False
        return self.cost is None or (self.cost.taken is not None and self.cost.charged is not None)


class GlobalRateLimit(Shape):
    rules: Items[RateLimitRule] = Field(max_length=256)


class LocalRateLimit(CheckedShape):
    rules: Items[RateLimitRule] = Field(default=(), max_length=16)

    def faults(self) -> Iterable[Fault]:
        if sum(not rule.client_selectors for rule in self.rules) > 1:
            yield Fault(("rules",), "local rateLimit can not have more than one rule without clientSelectors")
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

    @property
    def beyond(self) -> list[str]:
        """The paths of the rules whose cost is not known here, so that they limit nothing."""
        return [
            f"{name}.rules[{index}]"
            for name, limits in (("local", self.local), ("global", self.global_))
            if limits is not None
            for index, rule in enumerate(limits.rules)
            if not rule.doable
        ]
