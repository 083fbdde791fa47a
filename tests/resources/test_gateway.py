"""Tests of GatewayClass and Gateway."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.resources.loading import Loaded

Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]


def gateway(listeners: str, rest: str = "") -> str:
    return f"spec: {{gatewayClassName: c, listeners: [{listeners}]{rest}}}"


def test_a_listener_has_the_api_servers_defaults(declare: Declare) -> None:
    """Routes of the same namespace may attach, to every host."""
    loaded = declare("Gateway", gateway("{name: http, port: 80, protocol: HTTP}"))
    assert loaded.problems == ()
    (listener,) = loaded.inventory.gateways["default", "x"].spec.listeners
    assert listener.hostname is None
    assert listener.allowed_routes.namespaces.from_ == "Same"
    assert listener.allowed_routes.kinds == ()


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_everything_that_a_gateway_can_have(declare: Declare, version: str) -> None:
    """Every field of the CRD is known, in both versions."""
    body = """\
        spec:
          gatewayClassName: c
          addresses: [{value: 127.0.0.1}, {type: Hostname, value: a.example.com}, {type: NamedAddress, value: n}]
          infrastructure: {labels: {a: b}, annotations: {c: d}, parametersRef: {group: g, kind: K, name: n}}
          allowedListeners: {namespaces: {from: All}}
          defaultScope: None
          tls:
            backend: {clientCertificateRef: {name: s}}
            frontend:
              default: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}}
              perPort: [{port: 443, tls: {}}]
          listeners:
            - name: https
              hostname: "*.example.com"
              port: 443
              protocol: HTTPS
              tls: {mode: Terminate, certificateRefs: [{name: s, namespace: other}], options: {a: b}}
              allowedRoutes:
                namespaces: {from: Selector, selector: {matchLabels: {a: b}}}
                kinds: [{kind: HTTPRoute}]
            - {name: own, port: 9, protocol: example.com/bar}
    """
    loaded = declare("Gateway", body, f"gateway.networking.k8s.io/{version}")
    assert loaded.problems == ()
    spec = loaded.inventory.gateways["default", "x"].spec
    assert spec.addresses[0].type == "IPAddress"
    assert spec.listeners[0].tls is not None
    assert spec.listeners[0].tls.certificate_refs[0].namespace == "other"


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        (gateway(""), "spec.listeners", "at least 1 entry"),
        ("spec: {listeners: [{name: a, port: 1, protocol: HTTP}]}", "spec.gatewayClassName", "is required"),
        (
            gateway("{name: a, port: 1, protocol: HTTP}, {name: a, port: 2, protocol: HTTP}"),
            "spec.listeners[1].name",
            "Listener name must be unique within the Gateway",
        ),
        (
            gateway("{name: a, port: 1, protocol: HTTP}, {name: b, port: 1, protocol: HTTP}"),
            "spec.listeners[1]",
            "Combination of port, protocol and hostname must be unique for each listener",
        ),
        (
            gateway("{name: a, port: 1, protocol: HTTP, tls: {certificateRefs: [{name: s}]}}"),
            "spec.listeners[0].tls",
            "tls must not be specified for protocol HTTP",
        ),
        (
            gateway("{name: a, port: 1, protocol: HTTPS, tls: {mode: Passthrough}}"),
            "spec.listeners[0].tls.mode",
            "tls mode must be Terminate for protocol HTTPS",
        ),
        (gateway("{name: a, port: 1, protocol: TLS}"), "spec.listeners[0].tls", "tls mode must be set"),
        (
            gateway("{name: a, port: 1, protocol: TCP, hostname: a.b}"),
            "spec.listeners[0].hostname",
            "hostname must not be specified for protocol TCP",
        ),
        (
            gateway("{name: a, port: 1, protocol: HTTPS, tls: {}}"),
            "spec.listeners[0].tls",
            "certificateRefs or options must be specified when mode is Terminate",
        ),
        (gateway("{name: a, port: 0, protocol: HTTP}"), "spec.listeners[0].port", "at least 1"),
        (gateway("{name: a, port: 1, protocol: HT TP}"), "spec.listeners[0].protocol", "must be text that matches"),
        (
            gateway("{name: a, port: 1, protocol: HTTP, allowedRoutes: {namespaces: {from: Some}}}"),
            "spec.listeners[0].allowedRoutes.namespaces.from",
            "must be 'All', 'Selector' or 'Same', not 'Some'",
        ),
        (
            gateway("{name: a, port: 1, protocol: HTTP}", ", addresses: [{value: here}]"),
            "spec.addresses[0].value",
            "must be an IPv4 or IPv6 address",
        ),
        (
            gateway("{name: a, port: 1, protocol: HTTP}", ", addresses: [{value: 127.0.0.1}, {value: 127.0.0.1}]"),
            "spec.addresses[1].value",
            "IPAddress values must be unique",
        ),
        (
            gateway("{name: a, port: 1, protocol: HTTP}", ", addresses: [{type: Wrong, value: a}]"),
            "spec.addresses[0].type",
            "must be text that matches",
        ),
        (
            gateway(
                "{name: a, port: 1, protocol: HTTP}",
                ", tls: {frontend: {default: {}, perPort: [{port: 1, tls: {}}, {port: 1, tls: {}}]}}",
            ),
            "spec.tls.frontend.perPort[1].port",
            "Port for TLS configuration must be unique within the Gateway",
        ),
    ],
)
def test_what_a_gateway_must_not_have(faults: Faults, body: str, path: str, words: str) -> None:
    """Each rule of the CRD is checked, at its field and in its words."""
    found = faults("Gateway", body)
    assert list(found) == [path]
    assert words in found[path]


def test_a_gateway_class_names_its_controller(declare: Declare, faults: Faults) -> None:
    """A controller is a domain and a path; parameters may lie in a namespace."""
    body = "spec: {controllerName: a.b/c, description: d, parametersRef: {group: g, kind: K, name: n, namespace: m}}"
    assert declare("GatewayClass", body).problems == ()
    assert list(faults("GatewayClass", "spec: {controllerName: c}")) == ["spec.controllerName"]
