"""The models of an InferencePool: what clients may name, what the servers are asked for, and how much it matters.

Inference Extension v1alpha2: `InferenceModel` (one name, unique in its pool, the oldest wins),
`InferenceModelRewrite` (exact rules before generic ones, then the oldest object, then the order of its rules) and
`InferenceObjective`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..resources.inference_model import InferenceModel, InferenceModelRewrite
from ..resources.inventory import Inventory
from ..resources.objects import Resource
from .conditions import Condition, Finding, Statuses, documents, false, true, unknown
from .precedence import age_of
from .table import ModelTarget, PoolModel

__all__ = ["PoolModels", "model_statuses", "read_models"]

_Key = tuple[str, str]


@dataclass(slots=True)
class PoolModels:
    """What is declared for one pool, whether or not the pool exists."""

    declared: dict[str, InferenceModel] = field(default_factory=dict)
    """The InferenceModel that holds each name."""
    clashes: list[tuple[InferenceModel, InferenceModel]] = field(default_factory=list)
    """InferenceModels whose name is taken, and by which."""
    exact: list[PoolModel] = field(default_factory=list)
    generic: list[PoolModel] = field(default_factory=list)
    objectives: dict[str, int] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether other models are unknown: so it was as long as there were InferenceModels (v0.1 to v0.4: 404)."""
        return bool(self.declared)

    @property
    def critical(self) -> bool:
        """Whether a model declares how critical it is: then the pool's picker is that time's, too (v0.1 to v0.3)."""
        return any(model.spec.criticality is not None for model in self.declared.values())

    @property
    def models(self) -> tuple[PoolModel, ...]:
        """Return exact names first; a rewrite comes before an InferenceModel, whose criticality it keeps."""
        models = {name: _declared(model) for name, model in self.declared.items()}
        rewritten: dict[str, PoolModel] = {}
        for entry in self.exact:
            if entry.name is not None and entry.name not in rewritten:
                model = models.pop(entry.name, None)
                rewritten[entry.name] = entry if model is None else replace(entry, criticality=model.criticality)
        return (*rewritten.values(), *models.values(), *self.generic[:1])


def read_models(inventory: Inventory) -> Mapping[_Key, PoolModels]:
    """Return the models of every pool that an object names, by the pool's namespace and name."""
    pools: dict[_Key, PoolModels] = {}
    for model in _oldest_first(inventory.inference_models.values()):
        pool = pools.setdefault((model.metadata.namespace, model.spec.pool_ref.name), PoolModels())
        holder = pool.declared.setdefault(model.spec.model_name, model)
        if holder is not model:
            pool.clashes.append((model, holder))
    for rewrite in _oldest_first(inventory.inference_model_rewrites.values()):
        pool = pools.setdefault((rewrite.metadata.namespace, rewrite.spec.pool_ref.name), PoolModels())
        _add_rewrite(pool, rewrite)
    for objective in inventory.inference_objectives.values():
        pool = pools.setdefault((objective.metadata.namespace, objective.spec.pool_ref.name), PoolModels())
        pool.objectives[objective.metadata.name] = objective.spec.priority or 0
    return pools


def _oldest_first[R: Resource](objects: Iterable[R]) -> list[R]:
    aged = [
        (age_of(entry.metadata.creation_timestamp, index, *entry.key), entry) for index, entry in enumerate(objects)
    ]
    return [entry for _, entry in sorted(aged, key=lambda pair: pair[0])]


def _declared(model: InferenceModel) -> PoolModel:
    targets = tuple(ModelTarget(target.name, target.weight or 0) for target in model.spec.target_models)
    return PoolModel(model.spec.model_name, targets, model.spec.criticality, f"InferenceModel {'/'.join(model.key)}")


def _add_rewrite(pool: PoolModels, rewrite: InferenceModelRewrite) -> None:
    source = f"InferenceModelRewrite {'/'.join(rewrite.key)}"
    for rule in rewrite.spec.rules:
        targets = tuple(ModelTarget(target.model_rewrite, target.weight or 0) for target in rule.targets)
        if not rule.matches:
            pool.generic.append(PoolModel(None, targets, None, source))
        for match in rule.matches:
            if match.model is None:
                pool.generic.append(PoolModel(None, targets, None, source))
            else:
                pool.exact.append(PoolModel(match.model.value, targets, None, source))


def model_statuses(inventory: Inventory, pools: Mapping[_Key, PoolModels]) -> Statuses:
    """Return the status of every InferenceModel, InferenceModelRewrite and InferenceObjective."""
    taken = {model.key: holder for pool in pools.values() for model, holder in pool.clashes}
    statuses: Statuses = {}
    for model in inventory.inference_models.values():
        holder = taken.get(model.key)
        condition = _condition(inventory, model, model.spec.pool_ref.name)
        if holder is not None:
            message = f"the pool has the model {model.spec.model_name!r} from InferenceModel {'/'.join(holder.key)}"
            condition = false("Accepted", Finding("ModelNameInUse", message))
        statuses["InferenceModel", *model.key] = _status(model, condition)
    for rewrite in inventory.inference_model_rewrites.values():
        condition = _condition(inventory, rewrite, rewrite.spec.pool_ref.name)
        statuses["InferenceModelRewrite", *rewrite.key] = _status(rewrite, condition)
    for objective in inventory.inference_objectives.values():
        condition = _condition(inventory, objective, objective.spec.pool_ref.name)
        statuses["InferenceObjective", *objective.key] = _status(objective, condition)
    return statuses


def _condition(inventory: Inventory, resource: Resource, pool: str) -> Condition:
    namespace = resource.metadata.namespace
    if (namespace, pool) in inventory.inference_pools:
        return true("Accepted", "Accepted", f"The {resource.kind} applies to InferencePool {namespace}/{pool}")
    return unknown("Accepted", Finding("Pending", f"InferencePool {namespace}/{pool} does not exist"))


def _status(resource: Resource, condition: Condition) -> dict[str, object]:
    return {"conditions": documents([condition], resource.metadata.generation)}
