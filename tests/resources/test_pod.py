"""Tests of Pod."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.resources.loading import Loaded

Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]


@pytest.mark.parametrize(
    ("body", "ready"),
    [
        ("status: {podIP: 127.0.0.1}", True),
        ("status: {podIP: '::1', conditions: [{type: Ready, status: 'True', reason: r}]}", True),
        ("status: {podIP: 127.0.0.1, conditions: [{type: Ready, status: 'False'}]}", False),
        ("status: {podIP: 127.0.0.1, conditions: [{type: Initialized, status: 'True'}]}", False),
        ("status: {podIP: 127.0.0.1, phase: Succeeded}", False),
        ("status: {podIP: 127.0.0.1, phase: Running}", True),
        ("  deletionTimestamp: 2025-04-21T08:00:00Z\nstatus: {podIP: 127.0.0.1}", False),
        ("status: {}", False),
        ("", False),
    ],
)
def test_readiness(declare: Declare, body: str, ready: bool) -> None:
    """A Pod is ready when it has an address and nothing speaks against it."""
    loaded = declare("Pod", body)
    assert loaded.problems == ()
    assert loaded.inventory.pods["default", "x"].ready is ready


def test_a_port_by_its_name(declare: Declare) -> None:
    """Containers and sidecars have named ports; other protocols and init containers do not count."""
    body = """\
        spec:
          nodeName: n
          containers:
            - name: a
              image: i
              ports: [{name: dns, containerPort: 53, protocol: UDP}, {name: web, containerPort: 80}]
            - {name: b}
          initContainers:
            - {name: c, ports: [{name: init, containerPort: 1}]}
            - {name: d, restartPolicy: Always, ports: [{name: side, containerPort: 2}]}
    """
    pod = declare("Pod", body).inventory.pods["default", "x"]
    assert [pod.port_named(name) for name in ("web", "dns", "init", "side", "none")] == [80, None, None, 2, None]


@pytest.mark.parametrize(("text", "port"), [('"18001"', 18001), ('"65535"', 65535)])
def test_the_annotation_overrides_the_port(declare: Declare, text: str, port: int) -> None:
    """Several Pods on one host need ports of their own."""
    body = f"  annotations: {{mirrorgate.dev/target-port: {text}}}"
    assert declare("Pod", body).inventory.pods["default", "x"].target_port == port


@pytest.mark.parametrize("text", ['"0"', '"65536"', '"http"', '""', '"-1"', '"٣"', '"80 "', "80"])
def test_an_annotation_that_is_no_port_is_an_error(faults: Faults, text: str) -> None:
    """It would otherwise be ignored in silence; a number without quotes is none for Kubernetes either."""
    found = faults("Pod", f"  annotations: {{mirrorgate.dev/target-port: {text}}}")
    assert list(found) == ['metadata.annotations["mirrorgate.dev/target-port"]']


def test_a_pod_without_annotation_has_no_port_of_its_own(declare: Declare) -> None:
    """The Service or the pool gives it."""
    assert declare("Pod", "").inventory.pods["default", "x"].target_port is None


def test_an_address_must_be_one(faults: Faults) -> None:
    """A name is not an address."""
    assert list(faults("Pod", "status: {podIP: localhost}")) == ["status.podIP"]
