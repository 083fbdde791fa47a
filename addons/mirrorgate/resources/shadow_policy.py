"""ShadowPolicy (`mirrorgate.dev/v1alpha1`): what Gateway API's RequestMirror has no field for.

A policy of its own, attached to HTTPRoutes by `targetRefs` of its namespace or by `targetSelectors`. A RequestMirror
without one works with `ShadowPolicySpec()`, the defaults.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import Field

from .objects import Resource
from .policy_target import TargetSelector
from .reference import GATEWAY_GROUP, LocalPolicyTargetReferenceWithSectionName
from .route_filter import HeaderFilter
from .scalars import Duration, HeaderName
from .shapes import CheckedShape, Fault, Items, Shape

__all__ = [
    "GUARDRAILS",
    "Candidate",
    "Control",
    "Guardrail",
    "Ignore",
    "Journal",
    "Sampling",
    "Scorer",
    "ShadowPolicy",
    "ShadowPolicySpec",
    "Slo",
    "TokenBudget",
]

GUARDRAILS = frozenset(
    (
        "errors",
        "broken_streams",
        "truncation",
        "refusal",
        "emptiness",
        "repetition",
        "tool_calls",
        "json_schema",
        "ttft_slo",
        "itl_slo",
        "e2e_slo",
        "divergence",
    )
)
"""The guardrails that come with Mirrorgate; any other name needs a scorer of the user's."""

_ENTRY_POINT = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"
_Probability = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class TokenBudget(Shape):
    """How many tokens the candidate may be asked to produce and read in each interval."""

    tokens: int = Field(ge=1)
    interval: Duration


class Candidate(CheckedShape):
    """The shadow leg: what is asked of the candidate, and what it may cost."""

    model_name: str | None = Field(default=None, min_length=1, max_length=253)
    """Written into the copy's `model`; `None` keeps the primary's."""
    headers: HeaderFilter | None = None
    keep_credentials: bool = False
    """Whether Authorization, Cookie and their like are copied too."""
    timeout: Duration = 300.0
    """For the whole leg."""
    connect_timeout: Duration = 5.0
    idle_timeout: Duration = 60.0
    """Between two pieces of the answer."""
    max_parallel_requests: int = Field(default=64, ge=1)
    token_budget: TokenBudget | None = None

    def faults(self) -> Iterable[Fault]:
        for field, seconds in (
            ("timeout", self.timeout),
            ("connectTimeout", self.connect_timeout),
            ("idleTimeout", self.idle_timeout),
        ):
            if seconds <= 0:
                yield Fault((field,), "must be more than 0s: a shadow leg is never endless")


class Control(Shape):
    """The primary asked again, to tell the candidate's differences from the model's own."""

    percent: int = Field(default=0, ge=0, le=100)
    """Of the mirrored requests. It is load on production, so none by default."""


class Sampling(CheckedShape):
    """What a draw is made for: each request, or once for all that share a header or a conversation."""

    by: Literal["Request", "Header", "Conversation"] = "Request"
    header: HeaderName | None = None

    def faults(self) -> Iterable[Fault]:
        if self.by == "Header" and self.header is None:
            yield Fault((), "header must be specified when by is 'Header'")
        if self.by != "Header" and self.header is not None:
            yield Fault(("header",), "by must be 'Header' when header is set")


class Scorer(CheckedShape):
    """Something of the user's that scores a pair of answers: an HTTP endpoint or a Python entry point."""

    url: str | None = Field(default=None, max_length=2048, pattern=r"^https?://[^\s/?#]+[^\s]*$")
    entry_point: str | None = Field(default=None, max_length=256, pattern=_ENTRY_POINT)
    """`package.module:function`."""

    def faults(self) -> Iterable[Fault]:
        if (self.url is None) == (self.entry_point is None):
            yield Fault((), "exactly one of url and entryPoint must be specified")


class Guardrail(Shape):
    """One measure that the candidate must not worsen by more than its margin."""

    name: str = Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$")
    margin: _Probability | None = None
    """A share of all pairs; `None`: the guardrail's own default."""
    enabled: bool = True
    scorer: Scorer | None = None
    """Of a guardrail that the user brings."""


class Slo(Shape):
    """What latency is still acceptable, in seconds; `None` is not declared."""

    ttft: Duration | None = None
    itl: Duration | None = None
    e2e: Duration | None = Field(default=None, alias="e2e")


class Ignore(Shape):
    """What is left out of a comparison."""

    json_paths: Items[Annotated[str, Field(min_length=1, max_length=1024)]] = ()
    headers: Items[HeaderName] = ()


class Journal(CheckedShape):
    """What of a request and its answers may be stored."""

    content: Literal["none", "redacted", "full"] = "none"
    redact_patterns: Items[Annotated[str, Field(min_length=1, max_length=1024)]] = ()
    """Regular expressions; what they match is replaced where content is `redacted`."""

    def faults(self) -> Iterable[Fault]:
        for index, pattern in enumerate(self.redact_patterns):
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                yield Fault(("redactPatterns", index), f"must be a regular expression: {error}")


class ShadowPolicySpec(CheckedShape):
    target_refs: Items[LocalPolicyTargetReferenceWithSectionName] = Field(default=(), max_length=16)
    target_selectors: Items[TargetSelector] = Field(default=(), max_length=16)
    mode: Literal["replacement", "equivalence"] = "replacement"
    """`replacement`: another model, judged by quality; `equivalence`: the same model served anew, judged by text."""
    candidate: Candidate = Candidate()
    control: Control = Control()
    sampling: Sampling = Sampling()
    guardrails: Items[Guardrail] = Field(default=(), max_length=64)
    alpha_promote: _Probability = 0.01
    """The chance that we accept of promoting a candidate that is worse."""
    alpha_reject: _Probability = 0.05
    """The chance that we accept of rejecting a candidate that is not."""
    min_pairs: int = Field(default=200, ge=1)
    conversation_window: Duration = 60.0
    """How long the turns of a conversation are gathered into one observation; 0s counts each by itself."""
    slo: Slo | None = None
    ignore: Ignore = Ignore()
    journal: Journal = Journal()

    @property
    def idle(self) -> Iterator[tuple[str, str]]:
        """What is declared and does nothing: the field's path below the spec, and why."""
        named = {guardrail.name: index for index, guardrail in enumerate(self.guardrails) if guardrail.enabled}
        if not self.control.percent:
            why = "nothing tells how far answers are apart without a control arm: control.percent is 0"
            if self.mode == "equivalence" and all(
                each.name != "divergence" or each.enabled for each in self.guardrails
            ):
                yield "mode", why
            elif "divergence" in named:
                yield f"guardrails[{named['divergence']}]", why
        for name, field in (("ttft_slo", "ttft"), ("itl_slo", "itl"), ("e2e_slo", "e2e")):
            if name in named and (self.slo is None or getattr(self.slo, field) is None):
                yield f"guardrails[{named[name]}]", f"{name} judges nothing where slo.{field} is not declared"

    def faults(self) -> Iterable[Fault]:
        for index, ref in enumerate(self.target_refs):
            if (ref.group, ref.kind) != (GATEWAY_GROUP, "HTTPRoute"):
                yield Fault(("targetRefs", index), f"this policy can only target an HTTPRoute of {GATEWAY_GROUP}")
        for index, selector in enumerate(self.target_selectors):
            if selector.kind != "HTTPRoute":
                yield Fault(("targetSelectors", index, "kind"), "this policy can only select HTTPRoutes")
        seen: set[str] = set()
        for index, guardrail in enumerate(self.guardrails):
            if guardrail.name in seen:
                yield Fault(("guardrails", index, "name"), "a guardrail is listed once")
            seen.add(guardrail.name)
            if guardrail.name not in GUARDRAILS and guardrail.scorer is None:
                known = ", ".join(sorted(GUARDRAILS))
                yield Fault(("guardrails", index, "name"), f"must be one of {known}, or have a scorer")
            if guardrail.name in GUARDRAILS and guardrail.scorer is not None:
                yield Fault(
                    ("guardrails", index, "scorer"), f"{guardrail.name} is built in; give a scorer another name"
                )


class _AttachedSpec(ShadowPolicySpec):
    def faults(self) -> Iterable[Fault]:
        yield from super().faults()
        if not (self.target_refs or self.target_selectors):
            yield Fault((), "targetRefs or targetSelectors must be specified", "name the HTTPRoute that it applies to")


class ShadowPolicy(Resource):
    spec: _AttachedSpec
