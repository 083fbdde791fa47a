"""What a BackendTrafficPolicy and a ShadowPolicy mean for a rule.

Envoy Gateway, `BackendTrafficPolicy` v1alpha1: what is not declared is left at Envoy Gateway's defaults. The timeouts
and retries of an HTTPRoute win over the policy's.
"""

from __future__ import annotations

from dataclasses import replace

from ..resources.backend_traffic_policy import HONOURED_BALANCERS, BackendTrafficPolicy, unsupported
from ..resources.failure_breaker_policy import FailureBreakerPolicy
from ..resources.reference import LocalPolicyTargetReferenceWithSectionName
from ..resources.shadow_policy import ShadowPolicy
from ..resources.token_rate_limit_policy import TokenRateLimitPolicy
from .retrying import policy_retry
from .shaping import shaping_of, with_token_limits
from .table import Keepalive, Rule, Timeouts, TrafficPolicy

__all__ = [
    "breaker_refs",
    "deprecated",
    "remark",
    "shadow_refs",
    "shadow_remark",
    "token_refs",
    "traffic_refs",
    "with_policies",
]


def traffic_refs(policy: BackendTrafficPolicy) -> list[tuple[str, LocalPolicyTargetReferenceWithSectionName]]:
    """Return the targets of a BackendTrafficPolicy with their field paths."""
    if policy.spec.target_ref is not None:
        return [("spec.targetRef", policy.spec.target_ref)]
    return [(f"spec.targetRefs[{index}]", ref) for index, ref in enumerate(policy.spec.target_refs)]


def shadow_refs(policy: ShadowPolicy) -> list[tuple[str, LocalPolicyTargetReferenceWithSectionName]]:
    """Return the targets that a ShadowPolicy names with their field paths."""
    return [(f"spec.targetRefs[{index}]", ref) for index, ref in enumerate(policy.spec.target_refs)]


def breaker_refs(policy: FailureBreakerPolicy) -> list[tuple[str, LocalPolicyTargetReferenceWithSectionName]]:
    """Return the targets that a FailureBreakerPolicy names with their field paths."""
    return [(f"spec.targetRefs[{index}]", ref) for index, ref in enumerate(policy.spec.target_refs)]


def token_refs(policy: TokenRateLimitPolicy) -> list[tuple[str, LocalPolicyTargetReferenceWithSectionName]]:
    """Return the targets that a TokenRateLimitPolicy names with their field paths."""
    return [(f"spec.targetRefs[{index}]", ref) for index, ref in enumerate(policy.spec.target_refs)]


def deprecated(policy: BackendTrafficPolicy) -> str:
    """Return what a policy's status says about deprecated fields that it sets, empty for none."""
    found = []
    if policy.spec.target_ref is not None:
        found.append("spec.targetRef is deprecated, use spec.targetRefs instead")
    if policy.spec.compression is not None:
        found.append("spec.compression is deprecated, use spec.compressor instead")
    return "; ".join(found)


def remark(policy: BackendTrafficPolicy) -> str:
    """Return what the condition of an accepted policy adds about fields that it sets to no effect."""
    paths = unsupported(policy)
    return f", except for fields that this version does not honour: {', '.join(paths)}" if paths else ""


def shadow_remark(policy: ShadowPolicy) -> str:
    """Return what the condition of an accepted ShadowPolicy adds about what it declares to no effect."""
    found = [f"spec.{path}: {why}" for path, why in policy.spec.idle]
    return f", except for what does nothing: {'; '.join(found)}." if found else ""


def with_policies(
    rule: Rule,
    traffic: BackendTrafficPolicy | None,
    shadow: ShadowPolicy | None,
    tokens: TokenRateLimitPolicy | None = None,
) -> Rule:
    """Return the rule with the policies that apply to it."""
    if traffic is not None:
        rule = replace(rule, traffic=_traffic(traffic, rule.cluster), timeouts=_timeouts(rule.timeouts, traffic))
        if rule.retry is None and traffic.spec.retry is not None:
            rule = replace(rule, retry=policy_retry(traffic.spec.retry))
        limit = None if traffic.spec.connection is None else traffic.spec.connection.buffer_bytes
        if rule.retry is not None and limit is not None:
            rule = replace(rule, retry=replace(rule.retry, buffer=limit))
    if tokens is not None:
        shaping = with_token_limits(rule.traffic.shaping, tokens.spec, "/".join(tokens.key), rule.cluster)
        rule = replace(rule, traffic=replace(rule.traffic, shaping=shaping))
    if shadow is not None:
        source = "/".join(shadow.key)
        mirrors = tuple(replace(mirror, policy=shadow.spec, policy_source=source) for mirror in rule.mirrors)
        rule = replace(rule, shadow=shadow.spec, mirrors=mirrors)
    return rule


def _traffic(policy: BackendTrafficPolicy, cluster: str) -> TrafficPolicy:
    source = "/".join(policy.key)
    shaping = shaping_of(policy.spec, source, cluster)
    traffic = TrafficPolicy(source=source, health=policy.spec.health_check, shaping=shaping)
    balancer = policy.spec.load_balancer
    if balancer is not None and balancer.type in HONOURED_BALANCERS:
        further = balancer.consistent_hash or balancer.endpoint_override or balancer.slow_start
        traffic = replace(traffic, load_balancer=balancer.type, balancer=balancer if further else None)
    keepalive = policy.spec.tcp_keepalive
    if keepalive is not None:
        declared = Keepalive(keepalive.probes, keepalive.idle_time, keepalive.interval)
        traffic = replace(traffic, keepalive=declared)
    breaker = policy.spec.circuit_breaker
    if breaker is None:
        return traffic
    budget = breaker.retry_budget
    if budget is not None:
        least = budget.min_retry_concurrency
        traffic = replace(traffic, retry_budget=budget.percent.share, least_retries=3 if least is None else least)
    return replace(
        traffic,
        max_connections=breaker.max_connections,
        max_pending_requests=breaker.max_pending_requests,
        max_parallel_requests=breaker.max_parallel_requests,
        max_parallel_retries=breaker.max_parallel_retries,
        per_endpoint_max_connections=None if breaker.per_endpoint is None else breaker.per_endpoint.max_connections,
        max_requests_per_connection=breaker.max_requests_per_connection,
    )


def _timeouts(declared: Timeouts, policy: BackendTrafficPolicy) -> Timeouts:
    timeout = policy.spec.timeout
    if timeout is None:
        return declared
    if timeout.tcp is not None:
        declared = replace(declared, connect=timeout.tcp.connect_timeout)
    if (http := timeout.http) is not None:
        request = http.request_timeout if declared.request is None else declared.request
        declared = replace(
            declared,
            request=request,
            stream_idle=http.stream_idle_timeout,
            max_stream_duration=http.max_stream_duration,
            connection_idle=http.connection_idle_timeout,
            max_connection=http.max_connection_duration,
        )
    return declared
