"""What can go wrong: problems of a configuration, and the one table of answers that the gateway gives by itself.

A problem of a configuration is a value with a place (file, line, field path) and a remedy; problems are
collected and shown together. A refusal of a request is a row of `REPLIES`: nothing else in the package
knows a status code or the text of a reply.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

__all__ = ["OVERFLOWS", "REPLIES", "ConfigProblems", "LocalReply", "Problem", "Refusal", "Severity"]


class Severity(enum.StrEnum):
    """How much a problem weighs: an error refuses the configuration, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a configuration, with its place and its remedy."""

    message: str
    """What is wrong, worded with the specification's reason."""
    file: str = ""
    """The file it stands in, empty when the object did not come from a file."""
    line: int | None = None
    """The line, counted from 1, `None` when unknown."""
    path: str = ""
    """The object and field, such as `HTTPRoute default/mirror-route: spec.rules[0].matches`."""
    hint: str = ""
    """What to do about it, empty when the message says it all."""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line is not None else self.file
        parts = [part for part in (place, self.severity.value, self.path, self.message) if part]
        text = ": ".join(parts)
        return f"{text} ({self.hint})" if self.hint else text


class ConfigProblems(Exception):
    """A configuration that is refused as a whole, with every problem found in it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class Refusal(enum.StrEnum):
    """Why the gateway answers by itself. A closed set, so that it can be a metric's label."""

    NO_ROUTE = "no_route"
    MISDIRECTED = "misdirected"
    """The request is for another listener than the one that the TLS handshake chose."""
    REDIRECT = "redirect"
    PREFLIGHT = "preflight"
    """Not a refusal either: a CORS filter answers whether a browser may ask."""
    INVALID_BACKEND = "invalid_backend"
    NO_ENDPOINTS = "no_endpoints"
    SATURATED = "saturated"
    """A pool's servers are busy, and the request is one that may be shed."""
    PENDING_OVERFLOW = "pending_overflow"
    ACTIVE_OVERFLOW = "active_overflow"
    RATE_LIMITED = "rate_limited"
    TOKENS_SPENT = "tokens_spent"
    """The tokens that answers may take are used up."""
    FAULT = "fault"
    """A fault that the configuration injects."""
    FORCED_OPEN = "forced_open"
    """An operator has opened the cluster's circuit breaker by hand."""
    BREAKER_OPEN = "breaker_open"
    """The failure breaker of the cluster, or of all its endpoints, is open."""
    CONNECT_FAILURE = "connect_failure"
    CONNECT_TIMEOUT = "connect_timeout"
    UPSTREAM_CLOSED = "upstream_closed"
    UPSTREAM_PROTOCOL = "upstream_protocol"
    UPSTREAM_RESET = "upstream_reset"
    UPSTREAM_REFUSED = "upstream_refused"
    """The server took the request's stream back (HTTP/2), or had not begun with it."""
    REQUEST_TIMEOUT = "request_timeout"
    PER_TRY_TIMEOUT = "per_try_timeout"
    STREAM_IDLE = "stream_idle"
    MAX_DURATION = "max_duration"
    BAD_REQUEST = "bad_request"
    BAD_INFERENCE_REQUEST = "bad_inference_request"
    UNKNOWN_MODEL = "unknown_model"
    BODY_TOO_LARGE = "body_too_large"
    BUFFERS_FULL = "buffers_full"
    """The bodies that are in memory leave no room for another."""
    HEADERS_TOO_LARGE = "headers_too_large"
    REQUEST_HEADER_TIMEOUT = "request_header_timeout"
    CLIENT_LEFT = "client_left"
    KILLED = "killed"
    DRAINING = "draining"
    OVERLOAD = "overload"
    """The event loop is late, and new requests would make what it has later still."""
    PICKER_FAILED = "picker_failed"
    """The pool's own endpoint picker made no choice, and its failureMode is FailClose."""
    ANSWERED_BY_PICKER = "answered_by_picker"
    """The pool's own endpoint picker answered instead of choosing an endpoint."""
    INTERNAL = "internal"


OVERFLOWS = (Refusal.PENDING_OVERFLOW, Refusal.ACTIVE_OVERFLOW, Refusal.FORCED_OPEN, Refusal.BREAKER_OPEN)
"""Refusals by the circuit breaker, which clients see as one and the same."""

_BEFORE_HEADERS = "upstream connect error or disconnect/reset before headers. reset reason: "
_AFTER_RETRIES = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "


@dataclass(frozen=True, slots=True)
class LocalReply:
    """An answer of the gateway's own.

    The texts, flags and details are Envoy's where Envoy has them (measured, `docs/compatibility.md`), those of shed
    requests the Inference Extension's.
    """

    status: int
    """The HTTP status; 0 where the connection is closed without an answer."""
    flag: str
    """Envoy's response flag for the access log; `-` for none."""
    details: str
    """Envoy's response code details."""
    body: str = ""
    """The text, without a line end; for inference routes it becomes the message of an OpenAI-shaped error."""
    openai_type: str = ""
    """The `error.type` of an OpenAI-shaped error; empty where the reply is plain text everywhere."""
    close: bool = False
    """Whether the client's connection ends with this reply."""


def after_retries(reply: LocalReply) -> LocalReply:
    """Return a reply as it is worded when the request was sent more than once."""
    return replace(reply, body=reply.body.replace(_BEFORE_HEADERS, _AFTER_RETRIES))


def _reset(reason: str) -> str:
    return f"upstream_reset_before_response_started{{{reason}}}"


REPLIES: dict[Refusal, LocalReply] = {
    Refusal.NO_ROUTE: LocalReply(404, "NR", "route_not_found"),
    Refusal.MISDIRECTED: LocalReply(421, "NR", "misdirected_request", "Misdirected Request"),
    Refusal.REDIRECT: LocalReply(302, "-", "direct_response"),
    Refusal.PREFLIGHT: LocalReply(200, "-", "cors_preflight"),
    Refusal.INVALID_BACKEND: LocalReply(500, "-", "direct_response"),
    Refusal.NO_ENDPOINTS: LocalReply(503, "UH", "no_healthy_upstream", "no healthy upstream"),
    Refusal.SATURATED: LocalReply(
        429,
        "-",
        "inference_pool_saturated",
        "inference gateway: InferencePoolResourceExhausted - system saturated, sheddable request dropped",
        "rate_limit_error",
    ),
    Refusal.PENDING_OVERFLOW: LocalReply(503, "UO", _reset("overflow"), _BEFORE_HEADERS + "overflow"),
    Refusal.ACTIVE_OVERFLOW: LocalReply(503, "UO", _reset("overflow"), _BEFORE_HEADERS + "overflow"),
    Refusal.RATE_LIMITED: LocalReply(429, "RL", "local_rate_limited", "local_rate_limited"),
    Refusal.TOKENS_SPENT: LocalReply(429, "RL", "token_rate_limited", "token rate limit reached", "rate_limit_error"),
    Refusal.FAULT: LocalReply(503, "FI", "fault_filter_abort", "fault filter abort"),
    Refusal.FORCED_OPEN: LocalReply(503, "UO", "circuit_breaker_forced_open", _BEFORE_HEADERS + "overflow"),
    Refusal.BREAKER_OPEN: LocalReply(
        503,
        "UO",
        "failure_breaker_open",
        "the failure breaker is open: too many requests failed or were too slow",
        "server_error",
    ),
    Refusal.CONNECT_FAILURE: LocalReply(
        503, "UF", _reset("remote_connection_failure"), _BEFORE_HEADERS + "remote connection failure"
    ),
    Refusal.CONNECT_TIMEOUT: LocalReply(
        503, "UF", _reset("connection_timeout"), _BEFORE_HEADERS + "connection timeout"
    ),
    Refusal.UPSTREAM_CLOSED: LocalReply(
        503, "UC", _reset("connection_termination"), _BEFORE_HEADERS + "connection termination"
    ),
    Refusal.UPSTREAM_PROTOCOL: LocalReply(502, "UPE", _reset("protocol_error"), _BEFORE_HEADERS + "protocol error"),
    Refusal.UPSTREAM_RESET: LocalReply(503, "UR", _reset("remote_reset"), _BEFORE_HEADERS + "remote reset"),
    Refusal.UPSTREAM_REFUSED: LocalReply(
        503, "UR", _reset("remote_refused_stream_reset"), _BEFORE_HEADERS + "remote refused stream reset"
    ),
    Refusal.REQUEST_TIMEOUT: LocalReply(504, "UT", "response_timeout", "upstream request timeout"),
    Refusal.PER_TRY_TIMEOUT: LocalReply(504, "UT", "upstream_per_try_timeout", "upstream request timeout"),
    Refusal.STREAM_IDLE: LocalReply(504, "SI", "stream_idle_timeout", "stream timeout"),
    Refusal.MAX_DURATION: LocalReply(504, "UMSDR", "max_stream_duration", "upstream max stream duration reached"),
    Refusal.BAD_REQUEST: LocalReply(
        400, "DPE", "downstream_protocol_error", "bad request", "invalid_request_error", close=True
    ),
    Refusal.BAD_INFERENCE_REQUEST: LocalReply(
        400, "-", "bad_inference_request", "bad request", "invalid_request_error"
    ),
    Refusal.UNKNOWN_MODEL: LocalReply(404, "-", "model_not_found", "the model does not exist", "invalid_request_error"),
    Refusal.BODY_TOO_LARGE: LocalReply(
        413, "-", "request_payload_too_large", "Payload Too Large", "invalid_request_error", close=True
    ),
    Refusal.BUFFERS_FULL: LocalReply(
        503, "OM", "overload", "the gateway holds as many request bodies as it may", "server_error", close=True
    ),
    Refusal.HEADERS_TOO_LARGE: LocalReply(
        431, "DPE", "request_headers_too_large", "request header fields too large", close=True
    ),
    Refusal.REQUEST_HEADER_TIMEOUT: LocalReply(408, "DPE", "request_header_timeout", "request timeout", close=True),
    Refusal.CLIENT_LEFT: LocalReply(0, "DC", "downstream_remote_disconnect", close=True),
    Refusal.KILLED: LocalReply(0, "LR", "killed", close=True),
    Refusal.DRAINING: LocalReply(503, "LR", "draining", "the gateway is draining", close=True),
    Refusal.OVERLOAD: LocalReply(503, "OM", "overload", "the gateway is overloaded", "server_error"),
    Refusal.PICKER_FAILED: LocalReply(
        503, "-", "endpoint_picker_failed", "the endpoint picker is not available", "server_error"
    ),
    Refusal.ANSWERED_BY_PICKER: LocalReply(
        503, "-", "endpoint_picker_answered", "the endpoint picker refused the request", "server_error"
    ),
    Refusal.INTERNAL: LocalReply(500, "-", "internal_error", "internal error", "server_error"),
}
"""Every refusal and its answer. `BAD_REQUEST` and its kin take a more exact body where the cause is known."""
