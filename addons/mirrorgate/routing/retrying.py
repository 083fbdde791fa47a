"""When a request is sent again: what an HTTPRoute's or a policy's `retry` says, with Envoy Gateway's defaults.

Sources: Envoy Gateway v1.9, `internal/xds/translator/route.go` (what is left out, and that giving triggers replaces the
status codes, too); Gateway API GEP-1731 (HTTPRoute `retry`); Envoy's router filter (the back-off).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..resources.http_route import HTTPRouteRetry
from ..resources.traffic_health import TrafficRetry

__all__ = ["RetryPolicy", "Trigger", "policy_retry", "route_retry"]


class Trigger(enum.StrEnum):
    """What a request is sent again for (`retryOn.triggers`)."""

    SERVER_ERROR = "5xx"
    GATEWAY_ERROR = "gateway-error"
    RESET = "reset"
    RESET_BEFORE_REQUEST = "reset-before-request"
    CONNECT_FAILURE = "connect-failure"
    RETRIABLE_4XX = "retriable-4xx"
    REFUSED_STREAM = "refused-stream"
    RETRIABLE_STATUS_CODES = "retriable-status-codes"
    CANCELLED = "cancelled"
    DEADLINE_EXCEEDED = "deadline-exceeded"
    INTERNAL = "internal"
    RESOURCE_EXHAUSTED = "resource-exhausted"
    UNAVAILABLE = "unavailable"


_DEFAULT = (
    Trigger.CONNECT_FAILURE,
    Trigger.REFUSED_STREAM,
    Trigger.UNAVAILABLE,
    Trigger.CANCELLED,
    Trigger.RETRIABLE_STATUS_CODES,
)
_ON_A_ROUTE = (Trigger.CONNECT_FAILURE, Trigger.RESET, Trigger.REFUSED_STREAM, Trigger.RETRIABLE_STATUS_CODES)
"""GEP-1731: a `retry` stanza also retries connection errors (disconnect, reset, timeout)."""
_CODES = (503,)
_RETRIES = 2
_BASE = 0.025
_STEPS = 10
"""Envoy's default of the longest back-off, as a multiple of the first."""
_FURTHEST = 32
"""Doublings that are reckoned with; more reach any longest back-off."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, for what and how soon. Seconds and bytes."""

    retries: int = _RETRIES
    """How often a request is sent *again*."""
    triggers: tuple[Trigger, ...] = _DEFAULT
    codes: tuple[int, ...] = _CODES
    """Statuses of `retriable-status-codes`."""
    per_try: float = 0.0
    """From the end of the upload to the head of the answer, for each try; 0 is none."""
    base: float = _BASE
    longest: float = _BASE * _STEPS
    at_least: float = 0.0
    """The part of the back-off that is no matter of chance."""
    buffer: int = 32768
    """A streamed request can be sent again while no more of it than this has come (Envoy's buffer limit); a policy's
    `connection.bufferLimit` sets it."""

    def delay(self, retry: int, draw: float) -> float:
        """Return the back-off before a retry, counted from 1: Envoy's, exponential and fully jittered.

        `draw` is from [0, 1).
        """
        return self.at_least + draw * min(self.base * 2.0 ** min(retry - 1, _FURTHEST), self.longest)


def policy_retry(declared: TrafficRetry) -> RetryPolicy:
    """Read `BackendTrafficPolicy.spec.retry`."""
    triggers: tuple[Trigger, ...] = _DEFAULT
    codes: tuple[int, ...] = _CODES
    on = declared.retry_on
    if on is not None and on.triggers:
        triggers, codes = tuple(Trigger(name) for name in on.triggers), on.http_status_codes
    elif on is not None and on.http_status_codes:
        codes = on.http_status_codes
    per_retry = declared.per_retry
    back_off = None if per_retry is None else per_retry.back_off
    base = _BASE if back_off is None or back_off.base_interval is None else back_off.base_interval
    longest = base * _STEPS if back_off is None or back_off.max_interval is None else back_off.max_interval
    return RetryPolicy(
        retries=declared.num_retries,
        triggers=triggers,
        codes=codes,
        per_try=(per_retry.timeout or 0.0) if per_retry is not None else 0.0,
        base=base,
        longest=max(base, longest),
    )


def route_retry(declared: HTTPRouteRetry) -> RetryPolicy:
    """Read an HTTPRoute rule's `retry`; its back-off is the least that is waited (GEP-1731), and some jitter more."""
    base = _BASE if declared.backoff is None else declared.backoff
    return RetryPolicy(
        retries=_RETRIES if declared.attempts is None else declared.attempts,
        triggers=_ON_A_ROUTE,
        codes=declared.codes or _CODES,
        base=base,
        longest=base * _STEPS,
        at_least=0.0 if declared.backoff is None else declared.backoff,
    )
