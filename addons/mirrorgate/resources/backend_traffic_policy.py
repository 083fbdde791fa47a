"""BackendTrafficPolicy of Envoy Gateway (`gateway.envoyproxy.io/v1alpha1`): limits, timeouts and the rest.

Every field of the CRD is known, so that a policy written for Envoy Gateway loads; `unsupported` names those that a
policy sets and this version does not honour, so that none is ignored in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel

from .objects import Resource
from .places import format_path
from .policy_target import TargetSelector
from .reference import GATEWAY_GROUP, LocalPolicyTargetReferenceWithSectionName
from .route_filter import Fraction
from .scalars import Duration, UInt32
from .shapes import CheckedShape, Fault, Items, Shape
from .traffic_balancing import Connection, Dns, Http2, LoadBalancer, TcpKeepalive
from .traffic_health import AdmissionControl, FaultInjection, HealthCheck, TrafficRetry
from .traffic_limits import RequestBuffer, ResponseOverride, TrafficTelemetry
from .traffic_rate_limits import RateLimit

__all__ = [
    "HONOURED_BALANCERS",
    "BackendTrafficPolicy",
    "BackendTrafficPolicySpec",
    "CircuitBreaker",
    "HttpTimeout",
    "PerEndpointLimits",
    "RetryBudget",
    "TcpTimeout",
    "TrafficTimeout",
    "honours",
    "unsupported",
]

_TARGET_KINDS = ("Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute", "TCPRoute", "UDPRoute", "TLSRoute")


class PerEndpointLimits(Shape):
    max_connections: UInt32 = 1024
    """0 means 1 (measured on Envoy 1.40)."""


class RetryBudget(Shape):
    percent: Fraction
    min_retry_concurrency: int | None = None


class CircuitBreaker(Shape):
    """The limits of a rule's cluster, all endpoints together; the defaults are the CRD's."""

    max_connections: UInt32 = 1024
    max_pending_requests: UInt32 = 1024
    max_parallel_requests: UInt32 = 1024
    max_parallel_retries: UInt32 = 1024
    max_requests_per_connection: UInt32 | None = None
    """`None` and 0: unlimited."""
    per_endpoint: PerEndpointLimits | None = None
    retry_budget: RetryBudget | None = None


class TcpTimeout(Shape):
    connect_timeout: Duration | None = None


class HttpTimeout(Shape):
    """`None` is not declared, 0 switches off."""

    request_timeout: Duration | None = None
    stream_idle_timeout: Duration | None = None
    max_stream_duration: Duration | None = None
    connection_idle_timeout: Duration | None = None
    max_connection_duration: Duration | None = None


class TrafficTimeout(Shape):
    tcp: TcpTimeout | None = None
    http: HttpTimeout | None = None


class BackendTrafficPolicySpec(CheckedShape):
    target_ref: LocalPolicyTargetReferenceWithSectionName | None = None
    """Deprecated in favour of `targetRefs`; see `targets`."""
    target_refs: Items[LocalPolicyTargetReferenceWithSectionName] = ()
    target_selectors: Items[TargetSelector] = ()
    merge_type: Literal["StrategicMerge", "JSONMerge"] | None = None
    circuit_breaker: CircuitBreaker | None = None
    timeout: TrafficTimeout | None = None
    retry: TrafficRetry | None = None
    health_check: HealthCheck | None = None
    load_balancer: LoadBalancer | None = None
    rate_limit: RateLimit | None = None
    admission_control: AdmissionControl | None = None
    fault_injection: FaultInjection | None = None
    response_override: Items[ResponseOverride] = ()
    request_buffer: RequestBuffer | None = None
    connection: Connection | None = None
    http2: Http2 | None = None
    tcp_keepalive: TcpKeepalive | None = None
    dns: Dns | None = None
    telemetry: TrafficTelemetry | None = None
    bandwidth_limit: object = None
    compression: object = None
    compressor: object = None
    http_upgrade: object = None
    proxy_protocol: object = None
    use_client_protocol: object = None
    routing_type: object = None

    @property
    def targets(self) -> tuple[LocalPolicyTargetReferenceWithSectionName, ...]:
        """What the policy applies to, however it is declared."""
        return self.target_refs if self.target_ref is None else (self.target_ref,)

    def faults(self) -> Iterable[Fault]:
        if self.target_ref is not None and self.target_refs:
            yield Fault(("targetRefs",), "either targetRef or targetRefs must be used")
        if not (self.targets or self.target_selectors):
            yield Fault((), "either targetRef or targetRefs must be used", "name the HTTPRoute that it applies to")
        for index, ref in enumerate(self.targets):
            loc = ("targetRef",) if self.target_ref is not None else ("targetRefs", index)
            if ref.group != GATEWAY_GROUP:
                yield Fault((*loc, "group"), f"this policy can only have a targetRef.group of {GATEWAY_GROUP}")
            if ref.kind not in _TARGET_KINDS:
                kinds = "/".join(_TARGET_KINDS)
                yield Fault((*loc, "kind"), f"this policy can only have a targetRef.kind of {kinds}")
            if self.merge_type is not None and not ref.kind.endswith("Route"):
                yield Fault(("mergeType",), "mergeType can only be used with xRoute targets")
        if self.compression is not None and self.compressor is not None:
            yield Fault(("compressor",), "either compression or compressor can be set, not both")
        if self.request_buffer is not None and self.http_upgrade is not None:
            yield Fault(("requestBuffer",), "requestBuffer cannot be used together with httpUpgrade")


class BackendTrafficPolicy(Resource):
    spec: BackendTrafficPolicySpec


_HONOURED = frozenset(
    (
        "targetRef",
        "targetRefs",
        "targetSelectors",
        "mergeType",
        "circuitBreaker.maxConnections",
        "circuitBreaker.maxPendingRequests",
        "circuitBreaker.maxParallelRequests",
        "circuitBreaker.maxParallelRetries",
        "circuitBreaker.maxRequestsPerConnection",
        "circuitBreaker.perEndpoint.maxConnections",
        "circuitBreaker.retryBudget",
        "retry.numRetries",
        "retry.retryOn",
        "retry.perRetry",
        "timeout.tcp.connectTimeout",
        "timeout.http.requestTimeout",
        "timeout.http.streamIdleTimeout",
        "timeout.http.maxStreamDuration",
        "timeout.http.connectionIdleTimeout",
        "timeout.http.maxConnectionDuration",
        "tcpKeepalive",
        "connection.bufferLimit",
        "loadBalancer.type",
        "loadBalancer.consistentHash",
        "loadBalancer.endpointOverride",
        "loadBalancer.slowStart",
        "healthCheck.active.type",
        "healthCheck.active.timeout",
        "healthCheck.active.interval",
        "healthCheck.active.initialJitter",
        "healthCheck.active.unhealthyThreshold",
        "healthCheck.active.healthyThreshold",
        "healthCheck.active.http",
        "healthCheck.active.tcp",
        "healthCheck.active.grpc",
        "healthCheck.active.overrides",
        "healthCheck.passive",
        "healthCheck.panicThreshold",
        "rateLimit.type",
        "rateLimit.local",
        "rateLimit.global",
        "responseOverride",
        "faultInjection.delay",
        "faultInjection.abort.httpStatus",
        "faultInjection.abort.percentage",
        "requestBuffer.limit",
    )
)
HONOURED_BALANCERS = ("LeastRequest", "RoundRobin", "Random", "ConsistentHash")


def unsupported(policy: BackendTrafficPolicy) -> list[str]:
    """Return the paths of the fields that the policy sets and this version does not honour.

    A path is that of the highest field of which nothing is honoured, such as `spec.retry`.
    """
    paths = list(_beyond(policy.spec, ()))
    balancer = policy.spec.load_balancer
    if balancer is not None and balancer.type not in HONOURED_BALANCERS:
        paths.append("spec.loadBalancer.type")
    if policy.spec.rate_limit is not None:
        paths += [f"spec.rateLimit.{path}" for path in policy.spec.rate_limit.beyond]
    for index, override in enumerate(policy.spec.response_override):
        if not override.doable:
            paths.append(f"spec.responseOverride[{index}].response.body.valueRef")
    return paths


def _beyond(shape: BaseModel, path: tuple[str, ...]) -> Iterator[str]:
    for name, field in type(shape).model_fields.items():
        value = getattr(shape, name)
        if name not in shape.model_fields_set or value is None:
            continue
        here = (*path, field.alias or name)
        dotted = ".".join(here)
        if dotted in _HONOURED:
            continue
        if isinstance(value, BaseModel) and any(entry.startswith(dotted + ".") for entry in _HONOURED):
            yield from _beyond(value, here)
        else:
            yield format_path(("spec", *here))


def honours(path: str) -> bool | None:
    """Tell whether a field of the spec has an effect; `None` when some fields below it have."""
    if path in _HONOURED or any(path.startswith(f"{entry}.") for entry in _HONOURED):
        return True
    return None if any(entry.startswith(f"{path}.") for entry in _HONOURED) else False
