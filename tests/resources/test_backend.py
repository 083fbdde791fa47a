"""Tests of Backend and EnvoyProxy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.errors import Severity
from mirrorgate.resources.loading import Loaded

Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]


def test_a_backend_names_servers(declare: Declare) -> None:
    """By address or by name, each with its port."""
    loaded = declare("Backend", "spec: {endpoints: [{ip: {address: '0::1', port: 1}, hostname: h, zone: z}]}")
    assert loaded.problems == ()
    (endpoint,) = loaded.inventory.backends["default", "x"].spec.endpoints
    assert endpoint.ip is not None
    assert endpoint.ip.address == "::1"
    assert declare("Backend", "spec: {endpoints: [{fqdn: {hostname: a.b., port: 1}}]}").problems == ()


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (
            "tls: {insecureSkipVerify: true, clientCertificateRef: {name: c}, ciphers: [A], alpnProtocols: [h3]},"
            "endpoints: [{ip: {address: 127.0.0.1, port: 1}}]",
            ["spec.tls.clientCertificateRef", "spec.tls.ciphers", "spec.tls.alpnProtocols"],
        ),
        ("endpoints: [{unix: {path: /a}}, {unix: {path: /b}}]", ["spec.endpoints[0].unix", "spec.endpoints[1].unix"]),
        ("appProtocols: [gateway.envoyproxy.io/h2c], fallback: true", ["spec.fallback"]),
        ("type: DynamicResolver", ["spec.type"]),
    ],
)
def test_what_has_no_effect_is_said(declare: Declare, body: str, paths: list[str]) -> None:
    """A field that is not honoured is a warning."""
    loaded = declare("Backend", f"spec: {{{body}}}")
    assert [problem.path for problem in loaded.problems] == [f"Backend default/x: {path}" for path in paths]
    assert {problem.severity for problem in loaded.problems} == {Severity.WARNING}


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ("tls: {sni: a.b}", "spec.tls", "must specify caCertificateRefs"),
        ("endpoints: [{}]", "spec.endpoints[0]", "one of fqdn, ip or unix must be specified"),
        (
            "endpoints: [{ip: {address: 127.0.0.1, port: 1}, unix: {path: /a}}]",
            "spec.endpoints[0]",
            "only one of fqdn, ip or unix can be specified",
        ),
        (
            "endpoints: [{ip: {address: 127.0.0.1, port: 1}}, {fqdn: {hostname: a, port: 1}}]",
            "spec.endpoints",
            "fqdn addresses cannot be mixed with other address types",
        ),
        (
            "type: DynamicResolver, endpoints: [{fqdn: {hostname: a, port: 1}}]",
            "spec.endpoints",
            "DynamicResolver type cannot have endpoints specified",
        ),
        ("endpoints: [{ip: {address: here, port: 1}}]", "spec.endpoints[0].ip.address", "IPv4 or IPv6 address"),
        ("endpoints: [{fqdn: {hostname: a, port: 0}}]", "spec.endpoints[0].fqdn.port", "at least 1"),
    ],
)
def test_what_a_backend_must_not_be(faults: Faults, body: str, path: str, words: str) -> None:
    """Each rule of the CRD is checked, at its field and in its words."""
    found = faults("Backend", f"spec: {{{body}}}")
    assert list(found) == [path]
    assert words in found[path]


def test_an_envoy_proxy_is_known_and_not_read(declare: Declare) -> None:
    """A Gateway may refer to it."""
    loaded = declare("EnvoyProxy", "spec: {provider: {type: Kubernetes}}\nother: 1")
    assert loaded.problems == ()
    assert ("default", "x") in loaded.inventory.envoy_proxies
    assert declare("EnvoyProxy", "").problems == ()
