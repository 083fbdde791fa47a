"""Tests of the way from a reference to endpoints."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.resources.endpoints import (
    Address,
    Resolution,
    backend_endpoints,
    pool_endpoints,
    service_endpoints,
)
from mirrorgate.resources.loading import Loaded

LoadText = Callable[[str], Loaded]


def pod(name: str, ip: str = "127.0.0.1", rest: str = "", app: str = "a", namespace: str = "default") -> str:
    return f"""\
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {app}}}{rest}}}
spec: {{containers: [{{ports: [{{name: web, containerPort: 8080}}]}}]}}
status: {{podIP: {ip}}}
"""


def annotated(port: int) -> str:
    return f", annotations: {{mirrorgate.dev/target-port: '{port}'}}"


def service(spec: str) -> str:
    return f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{{spec}}}\n"


def endpoint_slice(body: str, name: str = "s-1", service: str = "s", kind: str = "IPv4") -> str:
    return f"""\
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: {kind}
{body}
"""


def texts(resolution: Resolution) -> list[str]:
    assert resolution.found
    return [str(address) for address in resolution.addresses]


@pytest.mark.parametrize(
    ("target", "expected"),
    [("", ["127.0.0.1:80"]), (", targetPort: 8000", ["127.0.0.1:8000"]), (", targetPort: web", ["127.0.0.1:8080"])],
)
def test_a_services_pods(load_text: LoadText, target: str, expected: list[str]) -> None:
    """The selected Pods of the namespace count, with the target port by number, by name or by default."""
    text = service(f"selector: {{app: a}}, ports: [{{port: 80{target}}}]")
    text += pod("one") + pod("other", app="b") + pod("far", namespace="far")
    inventory = load_text(text).inventory
    resolution = service_endpoints(inventory, "default", "s", 80)
    assert texts(resolution) == expected
    assert resolution.addresses[0].name == "default/one"
    assert resolution.addresses[0].labels == (("app", "a"),)


def test_a_pod_without_the_named_port_is_no_endpoint(load_text: LoadText) -> None:
    """Nothing listens there."""
    text = service("selector: {app: a}, ports: [{port: 80, targetPort: grpc}]") + pod("one")
    assert texts(service_endpoints(load_text(text).inventory, "default", "s", 80)) == []


def test_the_annotation_wins(load_text: LoadText) -> None:
    """Several Pods share a host, each on a port of its own; the same address counts once."""
    text = service("selector: {app: a}, ports: [{port: 80, targetPort: 8000}]")
    text += pod("one", rest=annotated(1)) + pod("two", rest=annotated(2)) + pod("again", rest=annotated(2))
    assert texts(service_endpoints(load_text(text).inventory, "default", "s", 80)) == ["127.0.0.1:1", "127.0.0.1:2"]


@pytest.mark.parametrize(("publish", "expected"), [("", []), ("publishNotReadyAddresses: true, ", ["127.0.0.1:80"])])
def test_pods_that_are_not_ready(load_text: LoadText, publish: str, expected: list[str]) -> None:
    """They get nothing, unless the Service asks for it."""
    text = service(f"{publish}selector: {{app: a}}, ports: [{{port: 80}}]")
    text += pod("one") + "  # no address follows\n"
    text = text.replace("podIP: 127.0.0.1", "podIP: 127.0.0.1, conditions: [{type: Ready, status: 'False'}]")
    assert texts(service_endpoints(load_text(text).inventory, "default", "s", 80)) == expected


@pytest.mark.parametrize(
    ("spec", "port", "reason"),
    [
        ("type: ExternalName, externalName: a.b, ports: [{port: 80}]", 80, "UnsupportedValue"),
        ("ports: [{port: 80}]", 81, "PortNotFound"),
        ("ports: [{port: 80}]", None, "PortNotFound"),
        ("ports: [{port: 80, protocol: UDP}]", 80, "PortNotFound"),
    ],
)
def test_services_that_lead_nowhere(load_text: LoadText, spec: str, port: int | None, reason: str) -> None:
    """Each has its reason."""
    inventory = load_text(service(spec)).inventory
    assert service_endpoints(inventory, "default", "s", port) == Resolution((), False, reason)


def test_what_does_not_exist_is_not_found(load_text: LoadText) -> None:
    """Whatever its kind."""
    inventory = load_text("").inventory
    missing = Resolution((), False, "BackendNotFound")
    assert service_endpoints(inventory, "default", "s", 80) == missing
    assert pool_endpoints(inventory, "default", "p") == missing
    assert backend_endpoints(inventory, "default", "b") == missing


def test_a_service_without_selector_has_no_endpoints_of_its_own(load_text: LoadText) -> None:
    """It does not select every Pod."""
    text = service("ports: [{port: 80}]") + pod("one")
    assert texts(service_endpoints(load_text(text).inventory, "default", "s", 80)) == []


SLICES = endpoint_slice(
    """\
endpoints:
  - {addresses: [10.0.0.1, 10.9.9.9], targetRef: {kind: Pod, name: one}}
  - {addresses: [10.0.0.2], conditions: {ready: false, serving: true, terminating: true}}
  - {addresses: [10.0.0.3], conditions: {ready: true}}
ports: [{name: http, port: 8000}, {name: other, port: 9}, {name: http, port: 7, protocol: UDP}]
"""
)
HTTP = "ports: [{name: http, port: 80, targetPort: 1}, {name: other, port: 81}]"


def test_slices_win_over_pods(load_text: LoadText) -> None:
    """Ready endpoints count, the first address of each, the port by its name."""
    text = service(f"selector: {{app: a}}, {HTTP}") + pod("one") + SLICES
    text += endpoint_slice("endpoints: [{addresses: ['::1']}]\nports: [{name: http, port: 8000}]", "s-2", kind="IPv6")
    text += endpoint_slice("endpoints: [{addresses: [10.0.0.8]}]\nports: [{name: http, port: 8}]", "t-1", service="t")
    inventory = load_text(text).inventory
    resolution = service_endpoints(inventory, "default", "s", 80)
    assert texts(resolution) == ["10.0.0.1:8000", "10.0.0.3:8000", "[::1]:8000"]
    assert resolution.addresses[0] == Address("10.0.0.1", 8000, "default/one", (("app", "a"),))
    assert resolution.addresses[1].name == "default/s-1"
    assert texts(service_endpoints(inventory, "default", "s", 81)) == ["10.0.0.1:9", "10.0.0.3:9"]


def test_endpoints_that_end_serve_when_no_other_does(load_text: LoadText) -> None:
    """KEP-1669: better an endpoint that drains than none."""
    text = service(HTTP) + endpoint_slice(
        """\
endpoints:
  - {addresses: [10.0.0.1], conditions: {ready: false, serving: true, terminating: true}}
  - {addresses: [10.0.0.2], conditions: {ready: false, serving: false, terminating: true}}
  - {addresses: [10.0.0.3], conditions: {ready: false}}
ports: [{name: http, port: 8000}]
"""
    )
    assert texts(service_endpoints(load_text(text).inventory, "default", "s", 80)) == ["10.0.0.1:8000"]


def test_an_empty_slice_still_wins(load_text: LoadText) -> None:
    """Somebody keeps slices for the Service and says that there is no endpoint."""
    text = service(f"selector: {{app: a}}, {HTTP}") + pod("one") + endpoint_slice("endpoints: []")
    assert texts(service_endpoints(load_text(text).inventory, "default", "s", 80)) == []


def test_a_slice_may_leave_the_port_to_the_service(load_text: LoadText) -> None:
    """A port without a number is every port; the target port of the Service, if it is a number, says which."""
    body = "endpoints: [{addresses: [a.example]}]\nports: [{name: http}]"
    text = service(HTTP) + endpoint_slice(body, kind="FQDN")
    assert texts(service_endpoints(load_text(text).inventory, "default", "s", 80)) == ["a.example:1"]
    named = service("ports: [{name: http, port: 80, targetPort: web}]") + endpoint_slice(body, kind="FQDN")
    assert texts(service_endpoints(load_text(named).inventory, "default", "s", 80)) == []


def test_the_annotation_wins_over_a_slice(load_text: LoadText) -> None:
    """A Pod has one port, however it is reached."""
    text = service(HTTP) + pod("one", rest=annotated(5)) + SLICES
    assert texts(service_endpoints(load_text(text).inventory, "default", "s", 80))[0] == "10.0.0.1:5"


POOL = """\
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: p}
spec: {selector: {matchLabels: {app: a}}, targetPorts: [{number: 8000}, {number: 8001}]}
"""


def test_a_pools_endpoints(load_text: LoadText) -> None:
    """Each target port of each Pod is an endpoint; the annotation stands for all of them."""
    text = POOL + pod("one") + pod("two", ip="'::1'") + pod("three", rest=annotated(5)) + pod("far", namespace="far")
    resolution = pool_endpoints(load_text(text).inventory, "default", "p")
    assert texts(resolution) == ["127.0.0.1:8000", "127.0.0.1:8001", "[::1]:8000", "[::1]:8001", "127.0.0.1:5"]


def test_a_pool_without_pods_is_found(load_text: LoadText) -> None:
    """It answers 503, not 500."""
    assert pool_endpoints(load_text(POOL).inventory, "default", "p") == Resolution((), True)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            "endpoints: [{ip: {address: '::1', port: 1}}, {ip: {address: 127.0.0.1, port: 2}}]",
            ["[::1]:1", "127.0.0.1:2"],
        ),
        ("endpoints: [{fqdn: {hostname: a.b., port: 1}}]", ["a.b:1"]),
        ("{}", []),
    ],
)
def test_a_backends_endpoints(load_text: LoadText, spec: str, expected: list[str]) -> None:
    """They are what it declares."""
    body = spec if spec == "{}" else f"{{{spec}}}"
    text = f"apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: b}}\nspec: {body}\n"
    assert texts(backend_endpoints(load_text(text).inventory, "default", "b")) == expected


@pytest.mark.parametrize(
    "spec",
    [
        "endpoints: [{unix: {path: /a}}]",
        "type: DynamicResolver",
        "tls: {insecureSkipVerify: true, ciphers: [A]}, endpoints: [{ip: {address: 127.0.0.1, port: 1}}]",
    ],
)
def test_backends_that_are_not_supported(load_text: LoadText, spec: str) -> None:
    """Nothing is sent in clear that was meant to be encrypted."""
    text = f"apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: b}}\nspec: {{{spec}}}\n"
    assert backend_endpoints(load_text(text).inventory, "default", "b") == Resolution((), False, "UnsupportedValue")
