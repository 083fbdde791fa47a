"""What a rule declares about time, limits and retries, with every default applied."""

from __future__ import annotations

from dataclasses import dataclass

from .addressing import leaves_alone
from .admission.limits import UNLIMITED, Limits
from .plans import Effective
from .routing.table import Backend, DestinationKind, Rule, Timeouts, TrafficPolicy

__all__ = ["ENVOY_REQUEST_TIMEOUT", "KnownTerms", "Terms", "limits_of", "timeouts_of"]

ENVOY_REQUEST_TIMEOUT = 15.0
"""Envoy's route timeout where none is declared. Rules that lead to an InferencePool have none: it would cut streams."""


def limits_of(traffic: TrafficPolicy) -> Limits:
    """Take the circuit breaker's limits out of a policy."""
    per_endpoint = traffic.per_endpoint_max_connections
    return Limits(
        connections=traffic.max_connections,
        pending=traffic.max_pending_requests,
        parallel=traffic.max_parallel_requests,
        per_endpoint_connections=UNLIMITED if per_endpoint is None else per_endpoint,
        retries=traffic.max_parallel_retries,
        retry_budget=traffic.retry_budget,
        least_retries=traffic.least_retries,
    )


def timeouts_of(rule: Rule, *, pool: bool) -> Effective:
    """Return a rule's timeouts; `pool` tells that the request goes to an InferencePool."""
    declared, retry = rule.timeouts, rule.retry
    request, per_try = declared.request, 0.0
    if retry is not None:
        per_try = retry.per_try if declared.backend_request is None else declared.backend_request
    elif request is None:
        # What is declared for the one try there is wins over what is declared nowhere.
        request = declared.backend_request
    if request is None:
        request = 0.0 if pool else ENVOY_REQUEST_TIMEOUT
    if retry is None and declared.backend_request:
        request = min(request or declared.backend_request, declared.backend_request)
    idle = declared.stream_idle
    if idle is None:
        idle = _idle_beside(request if _is_declared(declared) else None)
    return Effective(
        request=request,
        # A try that may take as long as all of them together has no limit of its own (Envoy's router).
        per_try=0.0 if request and per_try >= request else per_try,
        stream_idle=idle,
        max_duration=declared.max_stream_duration or 0.0,
    )


def _is_declared(declared: Timeouts) -> bool:
    return declared.request is not None or declared.backend_request is not None


def _idle_beside(request: float | None) -> float:
    """Return how long a stream may be silent where only the request's timeout is declared, or nothing (`None`).

    Envoy Gateway: an hour at least, and no limit beside no limit; Envoy's five minutes else.
    """
    if request is None:
        return 300.0
    return max(request, 3600.0) if request else 0.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for every request that a rule sends to one of its backends."""

    rule: Rule
    backend: Backend
    limits: Limits
    timeouts: Effective
    plain: bool
    """Whether path, host and header fields are left as they are."""


class KnownTerms:
    """The terms that have been worked out, for requests to come."""

    def __init__(self) -> None:
        self._known: dict[int, Terms] = {}

    def of(self, rule: Rule, backend: Backend) -> Terms:
        """Return the terms of a backend of a rule."""
        known = self._known.get(id(backend))
        if known is None or known.backend is not backend or known.rule is not rule:
            pool = backend.destination is not None and backend.destination.kind is DestinationKind.INFERENCE_POOL
            known = self._known[id(backend)] = Terms(
                rule,
                backend,
                limits_of(rule.traffic),
                timeouts_of(rule, pool=pool),
                leaves_alone(rule, backend),
            )
        return known

    def forget(self) -> None:
        """Begin anew: another configuration has taken effect."""
        self._known.clear()
