"""Retries: what a policy's and a route's `retry` come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.http_route import HTTPRouteRetry
from mirrorgate.resources.traffic_health import TrafficRetry
from mirrorgate.routing.retrying import RetryPolicy, Trigger, policy_retry, route_retry


def test_the_defaults_are_envoy_gateways() -> None:
    """An empty `retry` is one of 2 retries, for connections that fail and for 503."""
    policy = policy_retry(TrafficRetry.model_validate({}))
    assert policy == RetryPolicy()
    assert (policy.retries, policy.codes, policy.per_try) == (2, (503,), 0.0)
    assert set(policy.triggers) == {
        Trigger.CONNECT_FAILURE,
        Trigger.REFUSED_STREAM,
        Trigger.UNAVAILABLE,
        Trigger.CANCELLED,
        Trigger.RETRIABLE_STATUS_CODES,
    }


@pytest.mark.parametrize(
    ("declared", "on", "codes"),
    [
        ({"triggers": ["5xx", "reset"]}, ("5xx", "reset"), ()),
        ({"triggers": ["retriable-status-codes"], "httpStatusCodes": [429]}, ("retriable-status-codes",), (429,)),
        ({"httpStatusCodes": [500, 502]}, RetryPolicy().triggers, (500, 502)),
        ({}, RetryPolicy().triggers, (503,)),
    ],
)
def test_triggers_replace_the_list_and_the_codes(
    declared: dict[str, object], on: tuple[str, ...], codes: tuple[int, ...]
) -> None:
    """As Envoy Gateway writes Envoy's policy."""
    policy = policy_retry(TrafficRetry.model_validate({"numRetries": 5, "retryOn": declared}))
    assert (policy.retries, policy.triggers, policy.codes) == (5, on, codes)


def test_a_try_has_its_own_timeout_and_back_off() -> None:
    """The longest back-off is ten times the first unless it is declared, and never less than the first."""
    declared = {"timeout": "250ms", "backOff": {"baseInterval": "100ms"}}
    policy = policy_retry(TrafficRetry.model_validate({"perRetry": declared}))
    assert (policy.per_try, policy.base, policy.longest, policy.at_least) == (0.25, 0.1, 1.0, 0.0)
    declared = {"backOff": {"baseInterval": "1s", "maxInterval": "10ms"}}
    policy = policy_retry(TrafficRetry.model_validate({"perRetry": declared}))
    assert (policy.base, policy.longest) == (1.0, 1.0)


def test_a_route_retries_its_codes_and_broken_connections() -> None:
    """GEP-1731: `attempts` are retries, `backoff` is the least that is waited, connection errors are included."""
    policy = route_retry(HTTPRouteRetry.model_validate({"codes": [500, 504], "attempts": 3, "backoff": "100ms"}))
    assert (policy.retries, policy.codes, policy.at_least) == (3, (500, 504), 0.1)
    assert {Trigger.CONNECT_FAILURE, Trigger.RESET, Trigger.RETRIABLE_STATUS_CODES} <= set(policy.triggers)
    assert policy.delay(1, 0.0) == 0.1
    policy = route_retry(HTTPRouteRetry.model_validate({}))
    assert (policy.retries, policy.codes, policy.at_least, policy.delay(1, 0.0)) == (2, (503,), 0.0, 0.0)


@given(st.integers(1, 2000), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_back_offs_grow_to_their_longest(retry: int, draw: float, at_least: float) -> None:
    """Doubling from the first, chosen at random below, and never under the part that is certain."""
    policy = RetryPolicy(base=0.025, longest=0.25, at_least=at_least)
    bound = min(0.25, 0.025 * 2 ** min(retry - 1, 20))
    assert at_least <= policy.delay(retry, draw) <= at_least + bound
    assert policy.delay(retry, 0.5) == at_least + 0.5 * bound
