"""What happened, as frozen values. Cores and adapters emit them; metrics, access log and the web view subscribe.

Labels are bounded: routes, clusters and endpoints come from the configuration, models from `ModelLabel`'s cap, every
other word from a closed set. Times are Unix seconds where they name an instant, seconds where they name a duration.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import msgspec

from .records import Compared, LegFinished, ShadowDropped

__all__ = [
    "ConfigApplied",
    "ConfigRefused",
    "EndpointChanged",
    "Event",
    "ExchangeDone",
    "FlowControlled",
    "HealthChange",
    "MirrorDropReason",
    "MirrorDropped",
    "MirrorSent",
    "Picked",
    "RequestsShed",
    "SentAgain",
    "ShadowProcessChanged",
]


class ExchangeDone(msgspec.Struct, frozen=True, gc=False):
    """One request of a client is over: answered, refused or cut. Emitted exactly once for each request."""

    id: str
    started: float
    method: str
    path: str
    authority: str
    protocol: str
    status: int
    """The status that the client got; 0 when it got none."""
    flag: str
    """Envoy's response flag, `-` for none."""
    details: str
    """Envoy's response code details."""
    refusal: str
    """A `Refusal`, empty when the upstream answered."""
    bytes_received: int
    bytes_sent: int
    duration: float
    """From the first byte of the request to the last byte of the answer."""
    response_duration: float | None
    """Until the upstream's first byte of the answer; `None` when there was none."""
    queued: float
    """Time spent in the pending queue."""
    listener: str
    """`namespace/name/listener` of the Gateway, empty when none matched."""
    route: str
    """`namespace/name` of the HTTPRoute, empty when none matched."""
    rule: int
    cluster: str
    pool: str
    """`namespace/name` of the InferencePool or the destination's ref, empty before one was chosen."""
    endpoint: str
    """`host:port`, empty before one was picked."""
    model: str
    """The model the client named, empty when none."""
    target_model: str
    request_id: str
    user_agent: str
    forwarded_for: str
    client: str
    streamed: bool
    """Whether the answer was an event stream."""
    ttft: float | None
    """Until the first piece of the body, for event streams; `None` otherwise."""
    itl: float | None
    """Mean gap between the pieces of an event stream."""
    prompt_tokens: int | None
    completion_tokens: int | None
    mirrored: int
    """How many mirrors were handed off."""
    overhead: float | None = None
    """The gateway's own time until its first byte upstream, without `queued`; `None` when unknown, or sent again."""
    attempts: int = 0
    """How often the request was sent, or was about to be; 0 when it never came to that."""


class RequestsShed(msgspec.Struct, frozen=True, gc=False):
    """Requests that an overloaded gateway has refused: told of together, since telling of each would cost too much."""

    sample: ExchangeDone
    """One of them."""
    count: int
    bytes_sent: int
    """Of all the answers' bodies."""


@dataclass(frozen=True, slots=True)
class SentAgain:
    """A try failed, and the request is about to be sent again."""

    cluster: str
    endpoint: str
    """Where it failed."""
    reason: str
    """The status, or the `Refusal` of what had no answer."""


class Picked(msgspec.Struct, frozen=True, gc=False):
    """An endpoint was chosen."""

    cluster: str
    pool: str
    endpoint: str
    profile: str
    seconds: float


@dataclass(frozen=True, slots=True)
class FlowControlled:
    """A request has waited for a saturated pool, or found the queue full."""

    pool: str
    priority: int
    outcome: str
    """`dispatched`, `rejected_capacity`, `expired`, `client_left` or `drained`."""
    seconds: float


class HealthChange(enum.StrEnum):
    """What happened to an endpoint."""

    EJECTED = "ejected"
    """As an outlier, by what it answered."""
    RETURNED = "returned"
    CHECK_FAILED = "check_failed"
    """Its active check finds it ill."""
    CHECK_PASSED = "check_passed"
    BREAKER_OPEN = "breaker_open"
    BREAKER_HALF_OPEN = "breaker_half_open"
    BREAKER_CLOSED = "breaker_closed"
    BREAKER_FORCED_OPEN = "breaker_forced_open"
    BREAKER_FORCED_CLOSED = "breaker_forced_closed"


@dataclass(frozen=True, slots=True)
class EndpointChanged:
    """An endpoint of a cluster gets no more new requests, or gets them again."""

    cluster: str
    endpoint: str
    """Empty for the cluster as a whole, which has a failure breaker of its own."""
    change: HealthChange
    cause: str
    """Why, for a person; empty for a return."""
    seconds: float
    """How long an ejection lasts, 0 for other changes."""


@dataclass(frozen=True, slots=True)
class MirrorSent:
    id: str
    cluster: str
    endpoint: str


class MirrorDropReason(enum.StrEnum):
    """Why a declared mirror of a request was not sent."""

    SAMPLED_OUT = "sampled_out"
    QUEUE_FULL = "queue_full"
    NO_ENDPOINTS = "no_endpoints"
    PROCESS_DOWN = "process_down"
    BODY_TOO_LARGE = "body_too_large"
    UPLOAD_OVERRUN = "upload_overrun"
    REJECTED = "rejected"
    REPLAY = "replay"
    PAUSED = "paused"
    ALREADY_SHADOW = "already_shadow"
    OVERLOAD = "overload"


@dataclass(frozen=True, slots=True)
class MirrorDropped:
    id: str
    cluster: str
    reason: MirrorDropReason


@dataclass(frozen=True, slots=True)
class ShadowProcessChanged:
    """The shadow process came up or went away."""

    up: bool
    pid: int
    restarts: int


@dataclass(frozen=True, slots=True)
class ConfigApplied:
    at: float
    generation: int
    listeners: int
    rules: int
    warnings: int


@dataclass(frozen=True, slots=True)
class ConfigRefused:
    at: float
    problems: int


Event = (
    ExchangeDone
    | RequestsShed
    | Picked
    | SentAgain
    | FlowControlled
    | EndpointChanged
    | MirrorSent
    | MirrorDropped
    | ShadowProcessChanged
    | ConfigApplied
    | ConfigRefused
    | LegFinished
    | Compared
    | ShadowDropped
)
