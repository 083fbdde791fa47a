"""Kubernetes objects for tests, as plain dictionaries: the few that a case needs, with everything else left out.

JSON is YAML, so that a test writes `as_yaml(...)` into a file and the gateway reads what a user could have written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "as_yaml",
    "backend",
    "backend_tls_policy",
    "failure_breaker_policy",
    "gateway",
    "http_route",
    "https_gateway",
    "inference_pool",
    "mirror_cluster",
    "mirror_to",
    "picked_pool",
    "picker_service",
    "reference",
    "rule_cluster",
    "shadow_policy",
    "token_rate_limit_policy",
    "traffic_policy",
]

Object = dict[str, Any]

_CORE = "gateway.networking.k8s.io"
_ENVOY = "gateway.envoyproxy.io"
_INFERENCE = "inference.networking.k8s.io"


def as_yaml(objects: Iterable[Object]) -> str:
    """Write objects as the documents of one file."""
    return "---\n".join(json.dumps(each, indent=1) + "\n" for each in objects)


def gateway(*ports: int, name: str = "gateway") -> list[Object]:
    """Return a GatewayClass and a Gateway with an HTTP listener on each port."""
    listeners = [{"name": f"http-{port}", "port": port, "protocol": "HTTP"} for port in ports]
    return [
        _object(_CORE + "/v1", "GatewayClass", "mirrorgate", controllerName="mirrorgate.dev/gateway-controller"),
        _object(_CORE + "/v1", "Gateway", name, gatewayClassName="mirrorgate", listeners=listeners),
    ]


def https_gateway(
    port: int, listeners: Mapping[str, Sequence[str]], *, name: str = "gateway", http: Sequence[int] = ()
) -> list[Object]:
    """Return a GatewayClass and a Gateway that terminates TLS on a port: hostnames (empty for any) to their Secrets.

    `http` are ports without TLS.
    """
    objects = gateway(*http, name=name)
    objects[1]["spec"]["listeners"] += [
        {
            "name": f"https-{number}",
            "port": port,
            "protocol": "HTTPS",
            **({"hostname": hostname} if hostname else {}),
            "tls": {"certificateRefs": [{"name": secret} for secret in secrets]},
        }
        for number, (hostname, secrets) in enumerate(listeners.items())
    ]
    return objects


def http_route(
    name: str,
    *backends: Object,
    hosts: Iterable[str] = (),
    mirrors: Iterable[Object] = (),
    parent: str = "gateway",
    rule: Mapping[str, Any] | None = None,
) -> Object:
    """Return a route of one rule; `rule` has more of its fields. The host is `<name>.test` when none is given."""
    fields: dict[str, Any] = {"backendRefs": list(backends), "filters": list(mirrors), **(rule or {})}
    return _object(
        _CORE + "/v1",
        "HTTPRoute",
        name,
        parentRefs=[{"name": parent}],
        hostnames=list(hosts) or [f"{name}.test"],
        rules=[fields],
    )


def backend(name: str, *ports: int, http2: bool = False) -> Object:
    """Return servers of this machine under one name, which are not scraped; `http2` says what they speak."""
    endpoints = [{"ip": {"address": "127.0.0.1", "port": port}} for port in ports]
    protocols = {"appProtocols": ["gateway.envoyproxy.io/h2c"]} if http2 else {}
    return _object(_ENVOY + "/v1alpha1", "Backend", name, endpoints=endpoints, **protocols)


def inference_pool(name: str, *ports: int) -> list[Object]:
    """Return an InferencePool and a Pod for each port."""
    selector = {"matchLabels": {"app": name}}
    pool = _object(_INFERENCE + "/v1", "InferencePool", name, selector=selector, targetPorts=[{"number": 8000}])
    pods: list[Object] = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{name}-{number}",
                "labels": {"app": name},
                "annotations": {"mirrorgate.dev/target-port": str(port)},
            },
            "status": {"podIP": "127.0.0.1"},
        }
        for number, port in enumerate(ports)
    ]
    return [pool, *pods]


def reference(name: str, kind: str = "Backend", **more: Any) -> Object:
    """Return a backendRef to a Backend or an InferencePool."""
    return {"group": _INFERENCE if kind == "InferencePool" else _ENVOY, "kind": kind, "name": name, **more}


def mirror_to(name: str, kind: str = "Backend", **more: Any) -> Object:
    """Return a RequestMirror filter; `more` holds `percent` or `fraction`."""
    return {"type": "RequestMirror", "requestMirror": {"backendRef": reference(name, kind), **more}}


def traffic_policy(route: str, **spec: Any) -> Object:
    """Return a BackendTrafficPolicy of a route."""
    return _object(_ENVOY + "/v1alpha1", "BackendTrafficPolicy", route, targetRefs=[_route(route)], **spec)


def shadow_policy(route: str, **spec: Any) -> Object:
    """Return a ShadowPolicy of a route."""
    return _object("mirrorgate.dev/v1alpha1", "ShadowPolicy", route, targetRefs=[_route(route)], **spec)


def failure_breaker_policy(route: str, **spec: Any) -> Object:
    """Return a FailureBreakerPolicy of a route."""
    return _object("mirrorgate.dev/v1alpha1", "FailureBreakerPolicy", route, targetRefs=[_route(route)], **spec)


def token_rate_limit_policy(route: str, *limits: Object, **spec: Any) -> Object:
    """Return a TokenRateLimitPolicy of a route."""
    more = {"targetRefs": [_route(route)], "limits": list(limits), **spec}
    return _object("mirrorgate.dev/v1alpha1", "TokenRateLimitPolicy", route, **more)


def picker_service(name: str, *ports: int, clear: bool = False) -> list[Object]:
    """Return a Service whose endpoints are pickers of this machine, each at a port of its own."""
    protocol = {"appProtocol": "kubernetes.io/h2c"} if clear else {}
    port = {"name": "grpc", "port": 9002, **protocol}
    slices: list[Object] = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-{number}", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
            "ports": [{"name": "grpc", "port": number, "protocol": "TCP"}],
        }
        for number in ports
    ]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [port]}}
    return [service, *slices]


def picked_pool(name: str, picker: str, *ports: int, mode: str = "FailClose") -> list[Object]:
    """Return a pool that names its picker, and a route of its name."""
    pool, *pods = inference_pool(name, *ports)
    pool["spec"]["endpointPickerRef"] = {"name": picker, "port": {"number": 9002}, "failureMode": mode}
    return [pool, *pods, http_route(name, reference(name, "InferencePool"))]


def backend_tls_policy(
    name: str, hostname: str, *authorities: str, kind: str = "Backend", target: str = "", **validation: Any
) -> Object:
    """Return a BackendTLSPolicy that trusts what ConfigMaps hold; it applies to what has its name, or to `target`."""
    group = {"Backend": _ENVOY, "InferencePool": _INFERENCE}.get(kind, "")
    refs = [{"group": "", "kind": "ConfigMap", "name": authority} for authority in authorities]
    checks = {"hostname": hostname, **({"caCertificateRefs": refs} if refs else {}), **validation}
    targets = [{"group": group, "kind": kind, "name": target or name}]
    return _object(_CORE + "/v1", "BackendTLSPolicy", name, targetRefs=targets, validation=checks)


def rule_cluster(route: str) -> str:
    """Name the cluster of a route's one rule."""
    return f"httproute/default/{route}/rule/0"


def mirror_cluster(route: str, number: int = 0) -> str:
    """Name the cluster of a mirror of a route's one rule."""
    return f"{rule_cluster(route)}-mirror-{number}"


def _route(name: str) -> Object:
    return {"group": _CORE, "kind": "HTTPRoute", "name": name}


def _object(version: str, kind: str, name: str, **spec: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
