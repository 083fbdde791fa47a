"""Traffic: what a policy makes of a rule."""

from collections.abc import Callable
from dataclasses import replace

from mirrorgate.resources.backend_traffic_policy import BackendTrafficPolicy
from mirrorgate.resources.inventory import Inventory
from mirrorgate.routing.retrying import RetryPolicy
from mirrorgate.routing.table import Rule, Timeouts, TrafficPolicy
from mirrorgate.routing.traffic import remark, traffic_refs, with_policies

Load = Callable[[str], Inventory]
RULE = Rule(("default", "route"), 0, None, "c")


def policy(inventory: Load, spec: str, target: str = "targetRefs: [%s]") -> BackendTrafficPolicy:
    ref = target % "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: route}"
    text = f"""
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {{name: policy}}
spec: {{{ref}, {spec}}}
"""
    return inventory(text).backend_traffic_policies["default", "policy"]


def test_defaults(inventory: Load) -> None:
    """What is not declared is Envoy Gateway's default, and timeouts are not declared at all."""
    rule = with_policies(RULE, policy(inventory, ""), None)
    assert rule.traffic == TrafficPolicy(source="default/policy")
    assert rule.timeouts == Timeouts()
    assert with_policies(RULE, None, None) == RULE


def test_limits(inventory: Load) -> None:
    """The limits of the circuit breaker; an unlimited reuse stays unlimited."""
    spec = "circuitBreaker: {maxParallelRequests: 1, maxPendingRequests: 0, perEndpoint: {}}"
    traffic = with_policies(RULE, policy(inventory, spec), None).traffic
    assert (traffic.max_connections, traffic.max_pending_requests, traffic.max_parallel_requests) == (1024, 0, 1)
    assert (traffic.per_endpoint_max_connections, traffic.max_requests_per_connection) == (1024, None)


def test_the_route_wins_over_the_policy(inventory: Load) -> None:
    """A request timeout of the HTTPRoute stays, 0 included; the rest comes from the policy."""
    http = policy(inventory, "timeout: {http: {requestTimeout: 5s, streamIdleTimeout: 1s}}")
    declared = Rule(("default", "route"), 0, None, "c", timeouts=Timeouts(request=0.0))
    assert with_policies(declared, http, None).timeouts == Timeouts(request=0.0, stream_idle=1.0)
    assert with_policies(RULE, http, None).timeouts == Timeouts(request=5.0, stream_idle=1.0)
    tcp = policy(inventory, "timeout: {tcp: {connectTimeout: 2s}}")
    assert with_policies(RULE, tcp, None).timeouts == Timeouts(connect=2.0)


def test_load_balancers(inventory: Load) -> None:
    """A balancer that is not honoured leaves the default, and the status says so."""
    assert (
        with_policies(RULE, policy(inventory, "loadBalancer: {type: Random}"), None).traffic.load_balancer == "Random"
    )
    hashed = with_policies(
        RULE, policy(inventory, "loadBalancer: {type: ConsistentHash, consistentHash: {type: SourceIP}}"), None
    ).traffic
    assert hashed.load_balancer == "ConsistentHash"
    assert hashed.balancer is not None
    other = policy(inventory, "loadBalancer: {type: BackendUtilization, backendUtilization: {}}")
    assert with_policies(RULE, other, None).traffic.load_balancer == "LeastRequest"
    assert "spec.loadBalancer.type" in remark(other)
    assert remark(policy(inventory, "")) == ""


def test_retries(inventory: Load) -> None:
    """A policy's retry applies where the route has none of its own; a budget is a share and a minimum.
    What is kept of a stream is the policy's word, whoever declares the retries."""
    spec = "retry: {numRetries: 4}, circuitBreaker: {maxParallelRetries: 7, retryBudget: {percent: {numerator: 20}}}"
    rule = with_policies(RULE, policy(inventory, spec), None)
    assert rule.retry == RetryPolicy(retries=4)
    traffic = rule.traffic
    assert (traffic.max_parallel_retries, traffic.retry_budget, traffic.least_retries) == (7, 0.2, 3)
    own = replace(RULE, retry=RetryPolicy(retries=1))
    assert with_policies(own, policy(inventory, spec), None).retry == own.retry
    assert with_policies(RULE, policy(inventory, ""), None).retry is None
    limit = "connection: {bufferLimit: 1Mi}"
    assert with_policies(own, policy(inventory, limit), None).retry == RetryPolicy(retries=1, buffer=1 << 20)
    assert with_policies(RULE, policy(inventory, limit), None).retry is None
    least = "circuitBreaker: {retryBudget: {percent: {numerator: 1, denominator: 4}, minRetryConcurrency: 0}}"
    traffic = with_policies(RULE, policy(inventory, least), None).traffic
    assert (traffic.retry_budget, traffic.least_retries) == (0.25, 0)


def test_both_ways_to_name_targets(inventory: Load) -> None:
    """`targetRef` and `targetRefs` are one, each with its own field path."""
    assert [path for path, _ in traffic_refs(policy(inventory, ""))] == ["spec.targetRefs[0]"]
    assert [path for path, _ in traffic_refs(policy(inventory, "", "targetRef: %s"))] == ["spec.targetRef"]
