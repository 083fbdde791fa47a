"""FailureBreakerPolicy (`mirrorgate.dev/v1alpha1`): stop asking what keeps failing or has become slow.

A policy of its own, attached by `targetRefs` to an HTTPRoute of its namespace, or with `sectionName` to one of its
rules. The words are those of resilience4j and Polly, as far as they fit requests of minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from .objects import Resource
from .reference import GATEWAY_GROUP, LocalPolicyTargetReferenceWithSectionName
from .scalars import Duration
from .shapes import CheckedShape, Fault, Items

__all__ = ["FailureBreakerPolicy", "FailureBreakerPolicySpec", "SlowCall", "Window"]

_Percent = Annotated[int, Field(ge=1, le=100)]


class Window(CheckedShape):
    """Which calls a rate is taken over."""

    type: Literal["Count", "Time"] = "Count"
    calls: int = Field(default=100, ge=1, le=10_000)
    """The latest so many, where the type is Count."""
    duration: Duration = 60.0
    """Those of the latest so many seconds, in ten steps, where the type is Time."""

    def faults(self) -> Iterable[Fault]:
        if self.duration < 1:
            yield Fault(("duration",), "must be at least 1s")


class SlowCall(CheckedShape):
    """What is too slow; nothing is unless it is declared."""

    time_to_first_token: Duration | None = None
    """From the request's being sent to the first piece of a streamed answer's body."""
    duration: Duration | None = None
    """From the request's being sent to the end of an answer that is not streamed."""
    rate_percent: _Percent = 100
    """The share of slow calls at which the breaker opens."""

    def faults(self) -> Iterable[Fault]:
        if self.time_to_first_token is None and self.duration is None:
            yield Fault((), "at least one of timeToFirstToken and duration must be specified")


class FailureBreakerPolicySpec(CheckedShape):
    target_refs: Items[LocalPolicyTargetReferenceWithSectionName] = Field(min_length=1, max_length=16)
    mode: Literal["Enforce", "MetricsOnly"] = "Enforce"
    """`MetricsOnly` refuses nothing, and shows what it would have refused."""
    scope: Literal["EndpointAndCluster", "Endpoint", "Cluster"] = "EndpointAndCluster"
    """What has a breaker: each endpoint, the rule's cluster as a whole, or both."""
    window: Window = Window()
    minimum_calls: int = Field(default=20, ge=1, le=10_000)
    """Calls in the window, below which no rate is taken."""
    failure_rate_percent: _Percent = 50
    """The share of failed calls at which the breaker opens."""
    slow_call: SlowCall | None = None
    open_duration: Duration = 30.0
    """How long an open breaker waits before it lets probes pass."""
    permitted_probes: int = Field(default=5, ge=1, le=1000)
    """Requests that a half-open breaker lets pass, and judges by."""

    def faults(self) -> Iterable[Fault]:
        for index, ref in enumerate(self.target_refs):
            if (ref.group, ref.kind) != (GATEWAY_GROUP, "HTTPRoute"):
                yield Fault(("targetRefs", index), f"this policy can only target an HTTPRoute of {GATEWAY_GROUP}")
        if self.window.type == "Count" and self.minimum_calls > self.window.calls:
            yield Fault(("minimumCalls",), "must not be more than window.calls: the breaker would never open")
        if self.open_duration <= 0:
            yield Fault(("openDuration",), "must be more than 0s")


class FailureBreakerPolicy(Resource):
    spec: FailureBreakerPolicySpec
