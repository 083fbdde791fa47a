"""Tests of BackendTrafficPolicy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.errors import Severity
from mirrorgate.resources.backend_traffic_policy import unsupported
from mirrorgate.resources.loading import Loaded

Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]

TARGET = "targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}]"


def policy(body: str) -> str:
    return f"spec: {{{TARGET}, {body}}}"


def test_the_seeds_policy(declare: Declare) -> None:
    """What is not given has the CRD's default."""
    loaded = declare("BackendTrafficPolicy", policy("circuitBreaker: {maxPendingRequests: 1, maxParallelRequests: 1}"))
    assert loaded.problems == ()
    breaker = loaded.inventory.backend_traffic_policies["default", "x"].spec.circuit_breaker
    assert breaker is not None
    assert (breaker.max_connections, breaker.max_pending_requests, breaker.max_parallel_requests) == (1024, 1, 1)
    assert (breaker.max_parallel_retries, breaker.max_requests_per_connection, breaker.per_endpoint) == (
        1024,
        None,
        None,
    )


def test_what_is_honoured_is_not_warned_about(declare: Declare) -> None:
    """These fields work."""
    body = f"""\
        spec:
          {TARGET}
          circuitBreaker:
            maxConnections: 1
            maxPendingRequests: 0
            maxParallelRequests: 4294967295
            maxParallelRetries: 1
            maxRequestsPerConnection: 1
            perEndpoint: {{maxConnections: 1}}
          timeout:
            tcp: {{connectTimeout: 1s}}
            http: {{requestTimeout: 0s, streamIdleTimeout: 1m, maxStreamDuration: 1h}}
          loadBalancer: {{type: RoundRobin}}
    """
    loaded = declare("BackendTrafficPolicy", body)
    assert loaded.problems == ()
    spec = loaded.inventory.backend_traffic_policies["default", "x"].spec
    assert spec.timeout is not None
    assert spec.timeout.http is not None
    assert (spec.timeout.http.request_timeout, spec.timeout.http.max_stream_duration) == (0.0, 3600.0)


@pytest.mark.parametrize(
    "body", ["mergeType: StrategicMerge", "targetSelectors: [{kind: HTTPRoute, matchLabels: {a: b}}]"]
)
def test_what_attaches_has_an_effect(declare: Declare, body: str) -> None:
    """Merging and selecting are honoured."""
    assert declare("BackendTrafficPolicy", policy(body)).problems == ()


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ("retry: {numRetries: 1, numAttemptsPerPriority: 1}", ["spec.retry.numAttemptsPerPriority"]),
        (
            "timeout: {http: {connectionIdleTimeout: 1m}}, tcpKeepalive: {}, http2: {connectionKeepalive: {}}",
            ["spec.http2"],
        ),
        (
            "loadBalancer: {type: BackendUtilization, backendUtilization: {}}",
            ["spec.loadBalancer.backendUtilization", "spec.loadBalancer.type"],
        ),
        (
            "healthCheck: {panicThreshold: 0, active: {type: TCP, tcp: {}, healthCheckLog: {}}}, dns: {}",
            ["spec.healthCheck.active.healthCheckLog", "spec.dns"],
        ),
        (
            "httpUpgrade: [{type: websocket}], bandwidthLimit: {anything: 1}",
            ["spec.bandwidthLimit", "spec.httpUpgrade"],
        ),
        ("routingType: Endpoint, useClientProtocol: true", ["spec.useClientProtocol", "spec.routingType"]),
    ],
)
def test_what_has_no_effect_is_said(declare: Declare, body: str, paths: list[str]) -> None:
    """Each set field that is not honoured is a warning at its line, and the policy still loads."""
    loaded = declare("BackendTrafficPolicy", policy(body))
    assert sorted(unsupported(loaded.inventory.backend_traffic_policies["default", "x"])) == sorted(paths)
    assert sorted(problem.path for problem in loaded.problems) == [
        f"BackendTrafficPolicy default/x: {path}" for path in sorted(paths)
    ]
    assert {problem.severity for problem in loaded.problems} == {Severity.WARNING}
    assert {problem.line for problem in loaded.problems} == {5}


def test_the_deprecated_target(declare: Declare) -> None:
    """`targetRef` is one target."""
    body = "spec: {targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: g, sectionName: http}}"
    loaded = declare("BackendTrafficPolicy", body)
    assert loaded.problems == ()
    (target,) = loaded.inventory.backend_traffic_policies["default", "x"].spec.targets
    assert (target.kind, target.section_name) == ("Gateway", "http")


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ("spec: {}", "spec", "either targetRef or targetRefs must be used"),
        (
            policy("targetRef: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}"),
            "spec.targetRefs",
            "either targetRef or targetRefs must be used",
        ),
        ("spec: {targetRefs: [{group: '', kind: HTTPRoute, name: s}]}", "spec.targetRefs[0].group", "targetRef.group"),
        (
            "spec: {targetRef: {group: gateway.networking.k8s.io, kind: Service, name: s}}",
            "spec.targetRef.kind",
            "this policy can only have a targetRef.kind of Gateway/ListenerSet/HTTPRoute",
        ),
        (
            "spec: {mergeType: JSONMerge, targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]}",
            "spec.mergeType",
            "mergeType can only be used with xRoute targets",
        ),
        (policy("mergeType: Replace"), "spec.mergeType", "must be 'StrategicMerge' or 'JSONMerge'"),
        (policy("compression: [], compressor: []"), "spec.compressor", "either compression or compressor"),
        (policy("requestBuffer: {limit: 1Mi}, httpUpgrade: []"), "spec.requestBuffer", "cannot be used together"),
        (policy("circuitBreaker: {maxConnections: -1}"), "spec.circuitBreaker.maxConnections", "at least 0"),
        (policy("circuitBreaker: {maxConnections: 4294967296}"), "spec.circuitBreaker.maxConnections", "at most"),
        (policy("circuitBreaker: {maxRequests: 1}"), "spec.circuitBreaker.maxRequests", "unknown field"),
        (policy("timeout: {http: {requestTimeout: 1d}}"), "spec.timeout.http.requestTimeout", "must be a duration"),
    ],
)
def test_what_a_policy_must_not_be(faults: Faults, body: str, path: str, words: str) -> None:
    """Each rule of the CRD is checked, at its field and in its words."""
    found = faults("BackendTrafficPolicy", body)
    assert list(found) == [path]
    assert words in found[path]
