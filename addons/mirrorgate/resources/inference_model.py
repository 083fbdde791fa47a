"""InferenceModel, InferenceObjective and InferenceModelRewrite: what a pool's models are called and how they rank.

InferenceModel is of IE v0.3.0 (`api/v1alpha2/inferencemodel_types.go`); later releases replaced it by the other two,
which llm-d serves as `llm-d.ai/v1alpha2`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from .inference_pool import INFERENCE_X_GROUP
from .objects import Resource
from .scalars import Group, KindName, ObjectName
from .shapes import CheckedShape, Fault, Items, Shape

__all__ = [
    "InferenceModel",
    "InferenceModelRewrite",
    "InferenceModelRewriteRule",
    "InferenceModelRewriteSpec",
    "InferenceModelSpec",
    "InferenceObjective",
    "InferenceObjectiveSpec",
    "ModelMatch",
    "PoolReference",
    "RewriteMatch",
    "RewriteTarget",
    "TargetModel",
]


class PoolReference(Shape):
    """An InferencePool of the same namespace."""

    group: Group = INFERENCE_X_GROUP
    kind: KindName = "InferencePool"
    name: ObjectName


class TargetModel(Shape):
    name: str = Field(min_length=1, max_length=253)
    weight: int | None = Field(default=None, ge=1, le=1_000_000)


class InferenceModelSpec(CheckedShape):
    model_name: str = Field(min_length=1, max_length=256)
    criticality: Literal["Critical", "Standard", "Sheddable"] | None = None
    """`None` may be treated as Standard."""
    target_models: Items[TargetModel] = Field(default=(), max_length=10)
    """Empty: the model's own name."""
    pool_ref: PoolReference

    def faults(self) -> Iterable[Fault]:
        weighted = [target.weight is not None for target in self.target_models]
        if any(weighted) and not all(weighted):
            yield Fault(("targetModels",), "Weights should be set for all models, or none of the models.")


class InferenceModel(Resource):
    spec: InferenceModelSpec


class InferenceObjectiveSpec(Shape):
    priority: int | None = Field(default=None, ge=-(2**31), lt=2**31)
    """Higher goes first; `None` is 0, negative may be shed."""
    pool_ref: PoolReference


class InferenceObjective(Resource):
    spec: InferenceObjectiveSpec


class ModelMatch(Shape):
    type: Literal["Exact"] = "Exact"
    value: str = Field(min_length=1, max_length=256)


class RewriteMatch(Shape):
    model: ModelMatch | None = None


class RewriteTarget(Shape):
    weight: int | None = Field(default=None, ge=1, le=1_000_000)
    """Beside targets that have a weight, one without is never chosen."""
    model_rewrite: str = Field(min_length=1, max_length=253)


class InferenceModelRewriteRule(Shape):
    matches: Items[RewriteMatch] = ()
    """Any of them; empty matches every model."""
    targets: Items[RewriteTarget] = Field(min_length=1)


class InferenceModelRewriteSpec(Shape):
    pool_ref: PoolReference
    rules: Items[InferenceModelRewriteRule] = ()


class InferenceModelRewrite(Resource):
    spec: InferenceModelRewriteSpec
