"""What one request says of its endpoint's health: nothing twice, and nothing that the endpoint is not to blame for."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mirrorgate.calls import Call, end_call
from mirrorgate.errors import Refusal
from mirrorgate.health import ClusterHealth, Health, Watched
from mirrorgate.resources.endpoints import Address
from mirrorgate.resources.failure_breaker_policy import FailureBreakerPolicySpec
from mirrorgate.resources.traffic_health import HealthCheck, PassiveHealthCheck

ROUTE = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "route"}


class Holder:
    """What carries a call, as an exchange does."""

    def __init__(self, call: Call | None) -> None:
        self.call = call


def watched(clock: list[float], **more: Any) -> ClusterHealth:
    """Return a cluster whose breaker opens by one bad call, and whose endpoint is ejected by one."""
    settings = {"targetRefs": [ROUTE], "minimumCalls": 1, "permittedProbes": 1, "openDuration": "10s", **more}
    health = Health(lambda: clock[0], random.Random(1))
    check = HealthCheck(passive=PassiveHealthCheck(max_ejection_percent=100, consecutive_5xx_errors=1))
    breaker = FailureBreakerPolicySpec.model_validate(settings)
    health.adopt([Watched("c", (Address("a", 80),), check, breaker=breaker)])
    return health.clusters["c"]


def begun(health: ClusterHealth) -> Call:
    call = health.begin("a:80")
    assert isinstance(call, Call)
    return call


@pytest.mark.parametrize(
    ("status", "end", "ejected", "broken"),
    [
        (200, None, False, False),
        (404, None, False, False),
        (500, None, True, True),
        (200, Refusal.UPSTREAM_CLOSED, True, True),
        (200, Refusal.REQUEST_TIMEOUT, False, True),
        (200, Refusal.CLIENT_LEFT, False, False),
        (500, Refusal.CLIENT_LEFT, True, False),
        (0, Refusal.CONNECT_FAILURE, True, True),
        (0, Refusal.PER_TRY_TIMEOUT, True, True),
        (0, None, False, False),
    ],
)
def test_what_an_end_says(status: int, end: Refusal | None, ejected: bool, broken: bool) -> None:
    """To outliers by the head, to the breaker by the end: a client that leaves says nothing to the breaker."""
    health = watched([0.0])
    call = begun(health)
    call.sent()
    if status:
        call.answered(status)
        call.answered(500)  # a second head is no news
    call.ended(end)
    assert (bool(health.out), health.broken) == (ejected, broken)


def test_a_timeout_in_the_queue_says_nothing() -> None:
    """The endpoint was never asked."""
    health = watched([0.0])
    begun(health).ended(Refusal.REQUEST_TIMEOUT)
    assert (health.out, health.broken) == (frozenset(), False)


def test_a_slow_first_piece_counts_however_the_stream_ends() -> None:
    """The time to it is from the connection, not from the queue."""
    clock = [0.0]
    health = watched(clock, slowCall={"timeToFirstToken": "2s", "duration": "100s", "ratePercent": 50})
    for waited, first, broken in ((5.0, 1.0, False), (0.0, 2.0, True)):
        call = begun(health)
        clock[0] += waited
        call.sent()
        call.answered(200)
        clock[0] += first
        call.first_piece()
        clock[0] += 50.0
        call.ended(None)
        assert health.broken is broken


def test_what_holds_a_call_ends_it_once() -> None:
    """An exchange ends what it follows when it fails, and again when it is over."""
    health = watched([0.0])
    call = begun(health)
    call.sent()
    call.answered(200)
    holder = Holder(call)
    end_call(holder, None)
    end_call(holder, Refusal.UPSTREAM_CLOSED)
    assert holder.call is None
    assert (health.out, health.broken) == (frozenset(), False)
