"""What a BackendTrafficPolicy does to a rule's requests and answers beside sending them on.

In the order of Envoy Gateway's filters: an override sees every answer; then faults, the buffer, admission control and
the rate limits.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..resources.backend_traffic_policy import BackendTrafficPolicySpec
from ..resources.token_rate_limit_policy import TokenRateLimitPolicySpec
from ..resources.traffic_rate_limits import (
    RATE_LIMIT_UNITS,
    RateLimit,
    RateLimitRule,
    RateLimitSelector,
    RateLimitValue,
)
from .faults import Faults, compile_faults
from .overrides import Override, compile_overrides
from .rate_limits import (
    AddressSelector,
    Charge,
    Limit,
    MethodSelector,
    PathSelector,
    RateLimits,
    Selector,
    ValueSelector,
)
from .regexes import Regex

__all__ = ["Shaping", "compile_selectors", "meters_of", "shaping_of", "with_token_limits"]


@dataclass(frozen=True, slots=True)
class Shaping:
    """The parts that are declared; `None` and empty where they are not."""

    overrides: tuple[Override, ...] = ()
    faults: Faults | None = None
    buffer: int | None = None
    """Bytes of a request's body that are read before it goes on; a larger one is refused."""
    limits: RateLimits | None = None

    def __bool__(self) -> bool:
        return self != _NOTHING


_NOTHING = Shaping()


def shaping_of(spec: BackendTrafficPolicySpec, source: str, cluster: str) -> Shaping | None:
    """Compile what a policy (`namespace/name`) declares for a cluster, `None` when that is nothing."""
    shaping = Shaping(
        overrides=compile_overrides(spec.response_override),
        faults=compile_faults(spec.fault_injection),
        buffer=None if spec.request_buffer is None else spec.request_buffer.bytes,
        limits=None if spec.rate_limit is None else _rate_limits(spec.rate_limit, source, cluster),
    )
    return shaping or None


def with_token_limits(
    shaping: Shaping | None, spec: TokenRateLimitPolicySpec, source: str, cluster: str
) -> Shaping | None:
    """Add the limits of a TokenRateLimitPolicy (`namespace/name`) to what is done for a cluster."""
    limits = tuple(
        Limit(
            meter=(
                f"{source}/tokens/{index}" + ("" if spec.shared else f" {cluster}"),
                limit.tokens,
                RATE_LIMIT_UNITS[limit.unit],
            ),
            selectors=compile_selectors(limit.client_selectors),
            cost=0,
            charge=Charge(limit.count),
            shadow=limit.shadow_mode,
        )
        for index, limit in enumerate(spec.limits)
    )
    shaping = shaping or _NOTHING
    before = shaping.limits or RateLimits()
    return replace(shaping, limits=replace(before, every=(*before.every, *limits)))


def meters_of(shaping: Shaping | None) -> list[tuple[str, int, float]]:
    """List the meters of a rule's limits."""
    limits = None if shaping is None else shaping.limits
    if limits is None:
        return []
    default = () if limits.default is None else (limits.default,)
    return [limit.meter for limit in (*limits.local, *default, *limits.every)]


def _rate_limits(declared: RateLimit, source: str, cluster: str) -> RateLimits | None:
    local: list[Limit] = []
    default: Limit | None = None
    every: list[Limit] = []
    for index, rule in enumerate(() if declared.local is None else declared.local.rules):
        if rule.doable:
            limit = _limit(rule, f"{source}/local/{index}", cluster)
            if rule.client_selectors:
                local.append(limit)
            else:
                default = limit
    for index, rule in enumerate(() if declared.global_ is None else declared.global_.rules):
        if rule.doable:
            every.append(_limit(rule, f"{source}/global/{index}", cluster))
    local.sort(key=lambda limit: limit.meter[1] / limit.meter[2])
    return RateLimits(tuple(local), default, tuple(every)) if local or default is not None or every else None


def _limit(rule: RateLimitRule, name: str, cluster: str) -> Limit:
    cost = rule.cost
    return Limit(
        meter=(name if rule.shared else f"{name} {cluster}", rule.limit.requests, RATE_LIMIT_UNITS[rule.limit.unit]),
        selectors=compile_selectors(rule.client_selectors),
        cost=1 if cost is None or cost.taken is None else cost.taken,
        charge=Charge(cost.charged) if cost is not None and cost.charged is not None else Charge.NOTHING,
        shadow=bool(rule.shadow_mode),
        told=rule.x_rate_limit_headers != "Off",
    )


def compile_selectors(declared: Iterable[RateLimitSelector]) -> tuple[Selector, ...]:
    """Compile the selectors of a rule; all must hold, but of all their methods one."""
    selectors: list[Selector] = []
    methods: list[tuple[str, bool]] = []
    for one in declared:
        selectors += [_value(value, query=False) for value in one.headers]
        selectors += [_value(value, query=True) for value in one.query_params]
        methods += [(method.value, method.invert) for method in one.methods]
        if (path := one.path) is not None:
            regex = Regex(path.value) if path.type == "RegularExpression" else None
            selectors.append(PathSelector(path.value, path.type == "PathPrefix", regex, path.invert))
        if (source := one.source_cidr) is not None:
            network = ipaddress.ip_network(source.value, strict=False)
            selectors.append(AddressSelector(network, source.type == "Distinct", source.invert))
    if methods:
        selectors.append(MethodSelector(tuple(methods)))
    return tuple(selectors)


def _value(declared: RateLimitValue, *, query: bool) -> ValueSelector:
    name = declared.name if query else declared.name.lower()
    if declared.type == "Distinct" or declared.value is None:
        return ValueSelector(name, query)
    regex = Regex(declared.value) if declared.type == "RegularExpression" else None
    return ValueSelector(name, query, declared.value, regex, declared.invert)
