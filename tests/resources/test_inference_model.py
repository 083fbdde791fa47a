"""Tests of InferenceModel, InferenceObjective and InferenceModelRewrite."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.resources.loading import Loaded

Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]


def test_an_inference_model(declare: Declare) -> None:
    """Its pool is of the experimental group by default."""
    body = "spec: {modelName: m, criticality: Critical, targetModels: [{name: a, weight: 1}], poolRef: {name: p}}"
    loaded = declare("InferenceModel", body)
    assert loaded.problems == ()
    spec = loaded.inventory.inference_models["default", "x"].spec
    assert (spec.pool_ref.group, spec.pool_ref.kind) == ("inference.networking.x-k8s.io", "InferencePool")
    assert declare("InferenceModel", "spec: {modelName: m, poolRef: {name: p}}").problems == ()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("spec: {poolRef: {name: p}}", "spec.modelName"),
        ("spec: {modelName: m}", "spec.poolRef"),
        ("spec: {modelName: m, poolRef: {name: p}, criticality: High}", "spec.criticality"),
        (
            "spec: {modelName: m, poolRef: {name: p}, targetModels: [{name: a, weight: 0}]}",
            "spec.targetModels[0].weight",
        ),
        (
            "spec: {modelName: m, poolRef: {name: p}, targetModels: [{name: a, weight: 1}, {name: b}]}",
            "spec.targetModels",
        ),
        (f"spec: {{modelName: m, poolRef: {{name: p}}, targetModels: [{'{name: a}, ' * 11}]}}", "spec.targetModels"),
    ],
)
def test_what_an_inference_model_must_not_be(faults: Faults, body: str, path: str) -> None:
    """Weights are set for all targets or none, at most ten."""
    assert list(faults("InferenceModel", body)) == [path]


@pytest.mark.parametrize("group", ["inference.networking.x-k8s.io", "llm-d.ai"])
def test_an_objective_and_a_rewrite_in_both_groups(declare: Declare, group: str) -> None:
    """llm-d took both kinds over."""
    loaded = declare("InferenceObjective", "spec: {priority: -1, poolRef: {name: p}}", f"{group}/v1alpha2")
    assert loaded.problems == ()
    assert loaded.inventory.inference_objectives["default", "x"].spec.priority == -1
    body = """\
        spec:
          poolRef: {group: inference.networking.k8s.io, name: p}
          rules:
            - matches: [{model: {value: a}}, {model: {type: Exact, value: b}}]
              targets: [{modelRewrite: c, weight: 9}, {modelRewrite: d}]
            - targets: [{modelRewrite: e}]
    """
    loaded = declare("InferenceModelRewrite", body, f"{group}/v1alpha2")
    assert loaded.problems == ()
    rules = loaded.inventory.inference_model_rewrites["default", "x"].spec.rules
    assert rules[1].matches == ()
    assert rules[0].targets[0].weight == 9


def test_a_rewrite_needs_targets(faults: Faults) -> None:
    """A rule without one would rewrite to nothing."""
    found = faults("InferenceModelRewrite", "spec: {poolRef: {name: p}, rules: [{}, {targets: []}]}")
    assert set(found) == {"spec.rules[0].targets", "spec.rules[1].targets"}
