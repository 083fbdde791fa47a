"""Effective timeouts and limits: what is declared where, and what then holds."""

from __future__ import annotations

import pytest

from mirrorgate.admission.limits import UNLIMITED, Limits
from mirrorgate.effective import KnownTerms, limits_of, timeouts_of
from mirrorgate.plans import Effective
from mirrorgate.routing.retrying import RetryPolicy
from mirrorgate.routing.table import Backend, Rule, Timeouts, TrafficPolicy


def rule(timeouts: Timeouts, retry: RetryPolicy | None = None) -> Rule:
    """Make a rule with these timeouts."""
    return Rule(("default", "route"), 0, None, "c", timeouts=timeouts, retry=retry)


@pytest.mark.parametrize(
    ("timeouts", "per_try", "request_and_per_try"),
    [
        (Timeouts(), None, (15.0, 0.0)),
        (Timeouts(request=0.0), None, (0.0, 0.0)),
        (Timeouts(request=2.0), None, (2.0, 0.0)),
        (Timeouts(request=2.0, backend_request=1.0), None, (1.0, 0.0)),
        (Timeouts(request=0.0, backend_request=1.0), None, (1.0, 0.0)),
        (Timeouts(backend_request=1.0), None, (1.0, 0.0)),
        (Timeouts(backend_request=0.0), None, (0.0, 0.0)),
        (Timeouts(request=2.0, backend_request=0.0), None, (2.0, 0.0)),
        (Timeouts(), 0.0, (15.0, 0.0)),
        (Timeouts(), 0.5, (15.0, 0.5)),
        (Timeouts(request=2.0), 0.5, (2.0, 0.5)),
        (Timeouts(request=2.0, backend_request=1.0), 0.5, (2.0, 1.0)),
        (Timeouts(request=2.0, backend_request=0.0), 0.5, (2.0, 0.0)),
        (Timeouts(request=0.5), 0.5, (0.5, 0.0)),
        (Timeouts(request=0.0), 30.0, (0.0, 30.0)),
        (Timeouts(backend_request=1.0), 0.0, (15.0, 1.0)),
    ],
)
def test_the_requests_timeout_and_that_of_a_try(
    timeouts: Timeouts, per_try: float | None, request_and_per_try: tuple[float, float]
) -> None:
    """Without retries there is one try, and the shorter of both ends it; 0 switches off; `None` is no retries."""
    retry = None if per_try is None else RetryPolicy(per_try=per_try)
    effective = timeouts_of(rule(timeouts, retry), pool=False)
    assert (effective.request, effective.per_try) == request_and_per_try


def test_streams_of_a_pool_are_not_cut() -> None:
    """Where nothing is declared, a rule that leads to an InferencePool has no timeout in total."""
    assert timeouts_of(rule(Timeouts()), pool=True) == Effective()
    declared = Timeouts(request=1.0, stream_idle=2.0, max_stream_duration=3.0)
    assert timeouts_of(rule(declared), pool=True) == Effective(1.0, 0.0, 2.0, 3.0)
    assert timeouts_of(rule(Timeouts(stream_idle=0.0)), pool=True).stream_idle == 0.0


@pytest.mark.parametrize(
    ("timeouts", "idle"),
    [
        (Timeouts(), 300.0),
        (Timeouts(request=30.0), 3600.0),
        (Timeouts(request=7200.0), 7200.0),
        (Timeouts(request=0.0), 0.0),
        (Timeouts(backend_request=0.0), 0.0),
        (Timeouts(request=0.0, stream_idle=5.0), 5.0),
        (Timeouts(request=30.0, stream_idle=0.0), 0.0),
    ],
)
def test_silence(timeouts: Timeouts, idle: float) -> None:
    """Envoy Gateway: a declared request timeout lengthens the idle timeout, and none in total is none at all."""
    assert timeouts_of(rule(timeouts), pool=True).stream_idle == idle
    assert timeouts_of(rule(timeouts), pool=False).stream_idle == idle


def test_limits_of_a_policy() -> None:
    """The defaults are Envoy Gateway's, without a limit for each endpoint."""
    assert limits_of(TrafficPolicy()) == Limits()
    traffic = TrafficPolicy(
        max_connections=1,
        max_pending_requests=2,
        max_parallel_requests=3,
        max_parallel_retries=4,
        retry_budget=0.5,
        least_retries=5,
        per_endpoint_max_connections=6,
    )
    assert limits_of(traffic) == Limits(1, 2, 3, 6, 4, 0.5, 5)
    assert limits_of(TrafficPolicy()).per_endpoint_connections == UNLIMITED


def test_terms_are_worked_out_once() -> None:
    """For a backend of a rule; another backend, rule or configuration has its own."""
    first, second = Backend(1, "a", None), Backend(1, "b", None)
    one = Rule(("default", "route"), 0, None, "c", traffic=TrafficPolicy(max_connections=7))
    known = KnownTerms()
    terms = known.of(one, first)
    assert known.of(one, first) is terms
    assert (terms.limits, terms.timeouts) == (limits_of(one.traffic), timeouts_of(one, pool=False))
    assert known.of(one, second) is not terms
    assert known.of(rule(Timeouts(request=9.0)), first).timeouts.request == 9.0
    known.forget()
    again = known.of(one, first)
    assert again == terms
    assert again is not terms
