"""Models: names, clashes and rewrites of a pool."""

from collections.abc import Callable
from typing import Any

from mirrorgate.resources.inventory import Inventory
from mirrorgate.routing.models import model_statuses, read_models

Load = Callable[[str], Inventory]


def document(kind: str, name: str, spec: str, created: str = "null") -> str:
    return f"""
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: {kind}
metadata: {{name: {name}, creationTimestamp: {created}}}
spec: {{poolRef: {{name: pool}}, {spec}}}
"""


def test_the_oldest_model_keeps_its_name(inventory: Load) -> None:
    """By creationTimestamp, and by the order of the files among those without one."""
    text = (
        document("InferenceModel", "third", "modelName: m")
        + document("InferenceModel", "second", "modelName: m", '"2026-01-01T00:00:00Z"')
        + document("InferenceModel", "first", "modelName: m", '"2025-01-01T00:00:00Z"')
    )
    loaded = inventory(text)
    pools = read_models(loaded)
    pool = pools["default", "pool"]
    assert pool.declared["m"].metadata.name == "first"
    assert [model.metadata.name for model, _ in pool.clashes] == ["second", "third"]
    statuses: Any = model_statuses(loaded, pools)
    reasons = [statuses["InferenceModel", "default", n]["conditions"][0]["reason"] for n in ("first", "second")]
    assert reasons == ["Pending", "ModelNameInUse"]


def test_a_rewrite_match_without_a_model_is_generic(inventory: Load) -> None:
    """An empty match takes every model, as no match does; only the first generic rule counts."""
    text = document("InferenceModelRewrite", "a", "rules: [{matches: [{}], targets: [{modelRewrite: x}]}]") + document(
        "InferenceModelRewrite", "b", "rules: [{targets: [{modelRewrite: y}]}]"
    )
    pool = read_models(inventory(text))["default", "pool"]
    assert [(model.name, model.targets[0].name) for model in pool.models] == [(None, "x")]
    assert not pool.closed


def test_objectives_default_to_zero(inventory: Load) -> None:
    """An objective without a priority has 0."""
    text = document("InferenceObjective", "a", "priority: -3") + document("InferenceObjective", "b", "")
    assert read_models(inventory(text))["default", "pool"].objectives == {"a": -3, "b": 0}
