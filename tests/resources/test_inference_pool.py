"""Tests of InferencePool in both of its versions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.resources.loading import Loaded

Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]

V1ALPHA2 = "inference.networking.x-k8s.io/v1alpha2"
V1 = """\
spec:
  selector: {matchLabels: {app: a}}
  targetPorts: [{number: 8000}, {number: 8001}]
  appProtocol: kubernetes.io/h2c
  endpointPickerRef: {name: epp, port: {number: 9002}, failureMode: FailOpen}
status: {parents: []}
"""


LONELY = ["InferencePool default/x: spec.selector"]
"""What is told of a pool without Pods."""


def told(loaded: Loaded) -> list[str]:
    return [problem.path for problem in loaded.problems]


def test_v1(declare: Declare) -> None:
    """Every field of v1 is known."""
    loaded = declare("InferencePool", V1)
    assert told(loaded) == LONELY
    spec = loaded.inventory.inference_pools["default", "x"].spec
    assert [port.number for port in spec.target_ports] == [8000, 8001]
    assert spec.endpoint_picker_ref is not None
    assert spec.endpoint_picker_ref.failure_mode == "FailOpen"


def test_the_picker_is_optional(declare: Declare) -> None:
    """Mirrorgate picks by itself."""
    body = "spec: {selector: {matchLabels: {app: a}}, targetPorts: [{number: 8000}]}"
    loaded = declare("InferencePool", body)
    assert told(loaded) == LONELY
    spec = loaded.inventory.inference_pools["default", "x"].spec
    assert (spec.endpoint_picker_ref, spec.app_protocol) == (None, "http")


@pytest.mark.parametrize(
    ("extension", "port"),
    [("{name: e}", 9002), ("{name: e, portNumber: 7}", 7), ("{group: g, kind: Other, name: e}", None)],
)
def test_v1alpha2_becomes_v1(declare: Declare, extension: str, port: int | None) -> None:
    """The shape is that of v1, the apiVersion stays, and a Service's port is 9002."""
    body = f"spec: {{selector: {{app: a}}, targetPortNumber: 8000, extensionRef: {extension}}}"
    loaded = declare("InferencePool", body, V1ALPHA2)
    assert told(loaded) == LONELY
    pool = loaded.inventory.inference_pools["default", "x"]
    assert (pool.api_version, pool.group) == (V1ALPHA2, "inference.networking.x-k8s.io")
    assert pool.spec.selector.match_labels == {"app": "a"}
    assert [entry.number for entry in pool.spec.target_ports] == [8000]
    picker = pool.spec.endpoint_picker_ref
    assert picker is not None
    assert (picker.port.number if picker.port else None) == port
    assert loaded.inventory.place_of(pool, "spec.targetPortNumber").line == 5


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ("spec: {}", {"spec.selector", "spec.targetPorts"}),
        ("spec: {selector: {matchLabels: {}}, targetPorts: []}", {"spec.selector.matchLabels", "spec.targetPorts"}),
        (
            "spec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}, {number: 1}]}",
            {"spec.targetPorts[1].number"},
        ),
        (
            "spec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}], endpointPickerRef: {name: e}}",
            {"spec.endpointPickerRef"},
        ),
        (
            f"spec: {{selector: {{matchLabels: {{a: b}}}}, targetPorts: [{'{number: 1}, ' * 9}]}}",
            {"spec.targetPorts"},
        ),
        ("spec: {selector: {app: a}, targetPorts: [{number: 1}]}", {"spec.selector.app", "spec.selector.matchLabels"}),
    ],
)
def test_what_a_pool_must_not_be(faults: Faults, body: str, paths: set[str]) -> None:
    """Each rule of the CRD is checked at its field."""
    assert set(faults("InferencePool", body)) == paths


def test_fields_of_one_version_are_unknown_in_the_other(faults: Faults) -> None:
    """The apiVersion decides which shape is meant."""
    found = faults("InferencePool", V1, V1ALPHA2)
    assert {"spec.targetPorts", "spec.targetPortNumber", "spec.extensionRef", "spec.endpointPickerRef"} <= set(found)
