"""Endpoint pickers: what an InferencePool names, found or not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.resources.inventory import Inventory
from mirrorgate.routing.endpoint_pickers import endpoint_picker_of
from mirrorgate.routing.pools import PoolUse

POOL = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: pool}
spec:
  selector: {matchLabels: {app: model}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {REF}
"""
SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: epp}
spec: {selector: {app: epp}, ports: [{port: 9002, appProtocol: PROTOCOL}]}
---
apiVersion: v1
kind: Pod
metadata: {name: epp-0, labels: {app: epp}}
status: {podIP: 10.0.0.7}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: picker.example.com, ports: [{port: 9002}]}
"""
Read = Callable[[str], Inventory]


def manifests(ref: str, protocol: str = "http2") -> str:
    return POOL.replace("{REF}", ref) + SERVICE.replace("PROTOCOL", protocol)


@pytest.mark.parametrize(
    ("protocol", "encrypted"), [("http2", True), ("grpc", True), ("h2c", False), ("kubernetes.io/h2c", False)]
)
def test_a_picker_is_its_services_endpoints(inventory: Read, protocol: str, encrypted: bool) -> None:
    """Over TLS, unless the port's protocol is HTTP/2 in clear."""
    loaded = inventory(manifests("{name: epp, port: {number: 9002}, failureMode: FailOpen}", protocol))
    picker = endpoint_picker_of(loaded, loaded.inference_pools["default", "pool"])
    assert picker is not None
    assert [str(address) for address in picker.addresses] == ["10.0.0.7:9002"]
    assert (picker.ref, picker.fail_open, picker.encrypted) == ("Service default/epp:9002", True, encrypted)
    assert not picker.fault


@pytest.mark.parametrize(
    ("ref", "fault"),
    [
        ("{name: absent, port: {number: 9002}}", "does not exist"),
        ("{name: epp, port: {number: 1}}", "no such port"),
        ("{name: elsewhere, port: {number: 9002}}", "ExternalName"),
        ("{group: example.com, kind: Picker, name: epp}", "cannot be an endpoint picker"),
    ],
)
def test_a_picker_that_cannot_be_asked(inventory: Read, ref: str, fault: str) -> None:
    """It says why, and the pool's status says so where pickers are asked, and there only."""
    loaded = inventory(manifests(ref))
    picker = endpoint_picker_of(loaded, loaded.inference_pools["default", "pool"])
    assert picker is not None
    assert fault in picker.fault
    assert not picker.fail_open
    use = PoolUse()
    use.note(("default", "pool"), ("default", "gateway"), True)
    for external, reason in ((True, "InvalidExtensionRef"), (False, "ResolvedRefs")):
        status = use.statuses(loaded, "c", external_pickers=external)["InferencePool", "default", "pool"]
        [parent] = status["parents"]  # type: ignore[misc]
        assert parent["conditions"][1]["reason"] == reason


def test_a_pool_without_a_picker(inventory: Read) -> None:
    """The reference is optional: our own picker chooses."""
    loaded = inventory(POOL.replace("  endpointPickerRef: {REF}\n", ""))
    assert endpoint_picker_of(loaded, loaded.inference_pools["default", "pool"]) is None
