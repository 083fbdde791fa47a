"""Tests of Service and EndpointSlice."""

from __future__ import annotations

from collections.abc import Callable

from mirrorgate.resources.loading import Loaded

Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]


def test_a_service_loads_with_fields_that_we_do_not_read(declare: Declare) -> None:
    """Users' Services carry much more than a gateway needs."""
    body = """\
        spec:
          type: LoadBalancer
          clusterIP: None
          ipFamilies: [IPv4]
          selector: {app: a}
          ports:
            - {name: http, port: 80, targetPort: web, nodePort: 30080, appProtocol: http}
            - {name: grpc, port: 81, targetPort: 9000}
            - {port: 82}
        status: {loadBalancer: {}}
    """
    loaded = declare("Service", body)
    assert loaded.problems == ()
    spec = loaded.inventory.services["default", "x"].spec
    assert [port.target_port for port in spec.ports] == ["web", 9000, None]
    assert spec.cluster_ip == "None"


def test_a_service_may_be_empty(declare: Declare) -> None:
    """It then has no ports and no selector."""
    spec = declare("Service", "").inventory.services["default", "x"].spec
    assert (spec.ports, spec.selector, spec.type) == ((), {}, "ClusterIP")


def test_what_we_do_read_of_a_service_is_checked(faults: Faults) -> None:
    """A port is a number, a target port a number or a name."""
    found = faults("Service", "spec: {type: Ingress, ports: [{port: '80'}, {port: 1, targetPort: 1.5}]}")
    assert set(found) == {"spec.type", "spec.ports[0].port", "spec.ports[1].targetPort"}


SLICE = """\
addressType: IPv4
endpoints:
  - addresses: [10.0.0.1]
    conditions: {ready: true, serving: true, terminating: null}
    nodeName: n
    targetRef: {kind: Pod, name: p, namespace: default, uid: u}
ports: [{name: http, port: 8000, protocol: TCP}]
"""


def test_a_slice_says_whose_it_is(declare: Declare) -> None:
    """Its label names the Service; unknown conditions are None."""
    loaded = declare("EndpointSlice", SLICE)
    assert loaded.problems == ()
    found = loaded.inventory.endpoint_slices["default", "x"]
    assert found.service == ""
    assert found.endpoints[0].conditions.terminating is None
    labelled = declare("EndpointSlice", "  labels: {kubernetes.io/service-name: s}\n" + SLICE)
    assert labelled.inventory.endpoint_slices["default", "x"].service == "s"


def test_addresses_are_of_the_slices_type(faults: Faults) -> None:
    """An address of another type would be connected to in vain."""
    body = "addressType: IPv6\nendpoints: [{addresses: ['::1']}, {addresses: [127.0.0.1]}, {addresses: [here]}]"
    assert faults("EndpointSlice", body) == {
        "endpoints[1].addresses[0]": "must be an IPv6 address",
        "endpoints[2].addresses[0]": "must be an IPv6 address",
    }
    assert faults("EndpointSlice", "addressType: FQDN\nendpoints: [{addresses: [here.example]}]") == {}
    assert set(faults("EndpointSlice", "endpoints: [{addresses: []}]")) == {"addressType", "endpoints[0].addresses"}
