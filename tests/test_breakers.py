"""The failure breakers of one cluster: which are asked, what they keep over a reload, and what an operator says."""

from __future__ import annotations

from typing import Any

import pytest

from mirrorgate.admission.failure_breaker import Outcome, State, Trigger
from mirrorgate.breakers import CLUSTER, ClusterBreakers, Passes
from mirrorgate.errors import Refusal
from mirrorgate.resources.failure_breaker_policy import FailureBreakerPolicySpec

ROUTE = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "route"}


def declared(**more: Any) -> FailureBreakerPolicySpec:
    """Return breakers that open at half of two calls, wait 10 s and take one probe."""
    spec = {"targetRefs": [ROUTE], "minimumCalls": 2, "openDuration": "10s", "permittedProbes": 1, **more}
    return FailureBreakerPolicySpec.model_validate(spec)


def breakers(**more: Any) -> ClusterBreakers:
    found = ClusterBreakers()
    found.configure(declared(**more), ("a", "b"))
    return found


def call(found: ClusterBreakers, endpoint: str, failed: bool, now: float = 0.0) -> bool:
    """Make a call; whether it passed."""
    passes = found.begin(endpoint, now)
    if isinstance(passes, Refusal):
        return False
    found.record(passes, Outcome(failed), now)
    found.news()
    return True


@pytest.mark.parametrize(
    ("scope", "tripped"), [("Endpoint", {"a"}), ("Cluster", {CLUSTER}), ("EndpointAndCluster", {CLUSTER, "a"})]
)
def test_the_scope_says_who_is_judged(scope: str, tripped: set[str]) -> None:
    """By each endpoint, by the cluster as a whole, or by both; what blocks are endpoints only."""
    found = breakers(scope=scope)
    assert not found.tripped
    for _ in range(2):
        call(found, "a", failed=True)
    assert {name for name, breaker in found.all() if breaker.state is State.OPEN} == tripped
    assert found.tripped
    assert found.blocking(5.0) == tripped - {CLUSTER}
    assert found.retry_after(4.0) == 6
    assert found.blocking(10.0) == frozenset()


def test_a_mode_that_only_counts_blocks_nothing() -> None:
    """Nor does it say that it would; an operator's word is obeyed all the same."""
    found = breakers(scope="Endpoint", mode="MetricsOnly")
    assert [call(found, "a", failed=True) for _ in range(4)] == [True] * 4
    assert (found.blocking(1.0), found.blocked("a", 1.0), found.enforced) == (frozenset(), "", False)
    found.force(Trigger.FORCE_OPEN, 1.0)
    assert found.begin("a", 1.0) is Refusal.FORCED_OPEN


def test_a_refused_request_gives_its_other_pass_back() -> None:
    """The cluster's one probe is not used up by a request that the endpoint's breaker refuses."""
    found = breakers(scope="EndpointAndCluster")
    for _ in range(2):
        call(found, "a", failed=True)
    first = found.begin("a", 10.0)
    assert isinstance(first, Passes)
    assert first.probe
    found.cancel(first)
    held = found.endpoints["a"].acquire(10.0)
    assert held is not None
    assert found.begin("a", 10.0) is Refusal.BREAKER_OPEN
    assert isinstance(found.begin("b", 10.0), Passes)


def test_news_are_told_once_and_endpoints_that_stay_keep_their_state() -> None:
    """Over a reload; one that leaves is forgotten, and begins closed when it is back."""
    found = breakers(scope="Endpoint")
    for _ in range(2):
        passes = found.begin("a", 0.0)
        assert isinstance(passes, Passes)
        found.record(passes, Outcome(failed=True), 0.0)
    assert found.news() == [("a", State.OPEN)]
    assert found.news() == []
    found.configure(declared(scope="Endpoint"), ("a", "c"))
    assert found.blocking(1.0) == {"a"}
    found.configure(declared(scope="Endpoint"), ("c",))
    assert not found.tripped
    found.configure(declared(scope="Endpoint"), ("a", "c"))
    assert found.blocking(1.0) == frozenset()


def test_an_operators_word_and_its_end() -> None:
    """Held closed nothing is judged; released, everything is closed and judged again."""
    found = breakers(scope="Endpoint")
    found.force(Trigger.FORCE_CLOSE, 0.0)
    assert found.forced
    assert [call(found, "a", failed=True) for _ in range(4)] == [True] * 4
    found.force(Trigger.RELEASE, 1.0)
    assert not found.forced
    assert {breaker.state for _, breaker in found.all()} == {State.CLOSED}
    assert [call(found, "a", failed=True) for _ in range(3)] == [True, True, False]
