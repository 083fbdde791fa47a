"""TokenRateLimitPolicy (`mirrorgate.dev/v1alpha1`): how many tokens clients may use in a stretch of time.

A policy of its own, attached by `targetRefs` to an HTTPRoute or a Gateway of its namespace: what Envoy Gateway's
`rateLimit.global` says with dynamic metadata, in the words of the matter. It applies beside a BackendTrafficPolicy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from .objects import Resource
from .reference import GATEWAY_GROUP, LocalPolicyTargetReferenceWithSectionName
from .scalars import UInt32
from .shapes import CheckedShape, Fault, Items, Shape
from .traffic_rate_limits import RateLimitSelector, RateLimitUnit

__all__ = ["TokenLimit", "TokenRateLimitPolicy", "TokenRateLimitPolicySpec"]


class TokenLimit(Shape):
    """One limit; a request has to have something left in each that applies to it."""

    tokens: UInt32
    """Charged when an answer is over, so that a client may come to owe some."""
    unit: RateLimitUnit
    count: Literal["Total", "Input", "Output"] = "Total"
    """The tokens of the prompt and the completion, or those of one of them."""
    client_selectors: Items[RateLimitSelector] = Field(default=(), max_length=8)
    """Whom it is for, all together; a selector of type Distinct gives each value its own. Without any: all requests."""
    shadow_mode: bool = False
    """Whether a request over the limit is counted and let pass."""


class TokenRateLimitPolicySpec(CheckedShape):
    target_refs: Items[LocalPolicyTargetReferenceWithSectionName] = Field(min_length=1, max_length=16)
    limits: Items[TokenLimit] = Field(min_length=1, max_length=16)
    shared: bool = False
    """Whether the rules of the targets draw on the same limits; otherwise each rule of a route has its own."""

    def faults(self) -> Iterable[Fault]:
        for index, ref in enumerate(self.target_refs):
            if ref.group != GATEWAY_GROUP or ref.kind not in ("Gateway", "HTTPRoute"):
                message = f"this policy can only target a Gateway or an HTTPRoute of {GATEWAY_GROUP}"
                yield Fault(("targetRefs", index), message)


class TokenRateLimitPolicy(Resource):
    spec: TokenRateLimitPolicySpec
