"""What this version does with each field of each kind: the one place that says so, beside the code that does it.

A mark stands for its field and all below that has none of its own; paths are as manifests have them, without indexes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MARKS", "Mark", "Support"]


class Support(enum.StrEnum):
    YES = "supported"
    DIFFERS = "differs"
    NO = "not supported"


@dataclass(frozen=True, slots=True)
class Mark:
    support: Support
    note: str = ""


_YES = Mark(Support.YES)


def _no(note: str = "a warning, no effect") -> Mark:
    return Mark(Support.NO, note)


def _but(note: str) -> Mark:
    return Mark(Support.DIFFERS, note)


_MODELS = {"spec": _YES}

MARKS: Mapping[str, Mapping[str, Mark]] = {
    "GatewayClass": {
        "spec.controllerName": _but("with manifests from files every Gateway is served, whatever its class"),
        "spec.parametersRef": _but("an EnvoyProxy is accepted and has no effect; others are `InvalidParameters`"),
        "spec.description": _YES,
    },
    "Gateway": {
        "spec.gatewayClassName": _YES,
        "spec.listeners": _YES,
        "spec.listeners.protocol": _but("HTTP and HTTPS; others are `UnsupportedProtocol`"),
        "spec.listeners.tls.options": _no(),
        "spec.listeners.allowedRoutes.kinds": _but("HTTPRoute; others are `InvalidRouteKinds`"),
        "spec.addresses": _YES,
        "spec.addresses.type": _but("IPAddress; others are `UnsupportedAddress`"),
        "spec.infrastructure": _but("labels and annotations are accepted; there is nothing to put them on"),
        "spec.infrastructure.parametersRef": _but("as a GatewayClass's"),
        "spec.allowedListeners": _no(),
        "spec.tls": _no(),
        "spec.defaultScope": _no(),
    },
    "HTTPRoute": {
        "spec.parentRefs": _YES,
        "spec.parentRefs.kind": _but("Gateway; others are a warning"),
        "spec.hostnames": _YES,
        "spec.useDefaultGateways": _no(),
        "spec.rules": _YES,
        "spec.rules.matches.path.type": _but("regular expressions are RE2's, and match the whole path"),
        "spec.rules.filters.extensionRef": _no("`UnsupportedValue`; requests of the rule are answered 500"),
        "spec.rules.filters.externalAuth": _no("`UnsupportedValue`; requests of the rule are answered 500"),
        "spec.rules.backendRefs.filters.extensionRef": _no("`UnsupportedValue`; the backend's share is answered 500"),
        "spec.rules.backendRefs.filters.externalAuth": _no("`UnsupportedValue`; the backend's share is answered 500"),
        "spec.rules.backendRefs.filters.cors": _no("`UnsupportedValue`; the backend's share is answered 500"),
        "spec.rules.sessionPersistence": _no(),
    },
    "ReferenceGrant": {"spec": _YES},
    "Backend": {
        "spec.type": _but("Endpoints; DynamicResolver is `UnsupportedValue`"),
        "spec.endpoints": _YES,
        "spec.endpoints.unix": _no("`UnsupportedValue`"),
        "spec.appProtocols": _but("h2c and ws; wss is `UnsupportedProtocol`"),
        "spec.fallback": _no(),
        "spec.tls": _YES,
        "spec.tls.alpnProtocols": _but("h2, which makes it HTTP/2, and http/1.1; others are `UnsupportedValue`"),
        "spec.tls.minVersion": _but("1.2 is the least"),
        "spec.tls.clientCertificateRef": _no("`UnsupportedValue`"),
        "spec.tls.ciphers": _no("`UnsupportedValue`"),
        "spec.tls.ecdhCurves": _no("`UnsupportedValue`"),
        "spec.tls.signatureAlgorithms": _no("`UnsupportedValue`"),
    },
    "BackendTLSPolicy": {
        "spec.targetRefs": _but("Service, InferencePool and Backend"),
        "spec.validation": _YES,
        "spec.validation.caCertificateRefs": _but("ConfigMap and Secret, key `ca.crt`"),
        "spec.validation.wellKnownCACertificates": _but("System; others are `Invalid`"),
        "spec.options": _no(),
    },
    "EnvoyProxy": {"spec": _no("accepted, so that a Gateway may refer to it; nothing of it applies")},
    "InferencePool": {
        "spec.selector": _YES,
        "spec.targetPorts": _YES,
        "spec.appProtocol": _YES,
        "spec.endpointPickerRef": _but("is asked where that is wanted; else the gateway picks by itself"),
    },
    "InferenceModel": _MODELS,
    "InferenceObjective": _MODELS,
    "InferenceModelRewrite": _MODELS,
    "ShadowPolicy": {"spec": _YES},
    "FailureBreakerPolicy": {"spec": _YES},
    "TokenRateLimitPolicy": {"spec": _YES},
    "BackendTrafficPolicy": {
        "spec.connection.bufferLimit": _but("how much of a streamed request is kept for its retries; nothing else"),
        "spec.loadBalancer.type": _but(
            "LeastRequest, RoundRobin, Random and ConsistentHash; an InferencePool is picked by its profile"
        ),
    },
    "Service": {"spec": _but("what leads to endpoints is read; ExternalName is `UnsupportedValue`")},
    "EndpointSlice": {"addressType": _YES, "endpoints": _YES, "ports": _YES},
    "Pod": {"spec": _YES, "status": _YES},
    "Secret": {"type": _YES, "data": _YES, "stringData": _YES},
    "ConfigMap": {"data": _but("`ca.crt` is read where a policy refers to it")},
    "Namespace": {},
}
"""By kind. A BackendTrafficPolicy's other marks are where its fields are honoured: `backend_traffic_policy.honours`."""
