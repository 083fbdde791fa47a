"""The status of InferencePools: which Gateways send requests to them.

Inference Extension v1, `InferencePoolStatus` and its guide for implementers: one entry for each Gateway, never for a
route, and none when no attached route uses the pool.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import Problem
from ..resources.inference_pool import INFERENCE_X_GROUP, PROFILE_ANNOTATION, InferencePool, SchedulingProfile
from ..resources.inventory import Inventory
from ..resources.reference import GATEWAY_GROUP
from .conditions import Condition, Finding, Statuses, documents, false, true
from .endpoint_pickers import endpoint_picker_of
from .notes import warning
from .table import DestinationKind, Rule

__all__ = ["PoolUse", "pool_problems", "pools_of"]

_Key = tuple[str, str]


@dataclass(slots=True)
class PoolUse:
    """Which Gateway's routes lead to which pool, and whether one of them was accepted."""

    accepted: dict[_Key, dict[_Key, bool]] = field(default_factory=dict)

    def note(self, pool: _Key, gateway: _Key, accepted: bool) -> None:
        parents = self.accepted.setdefault(pool, {})
        parents[gateway] = parents.get(gateway, False) or accepted

    def statuses(self, inventory: Inventory, controller_name: str, *, external_pickers: bool = False) -> Statuses:
        """Return the status of every InferencePool; the list of parents is called `parent` in v1alpha2."""
        statuses: Statuses = {}
        for key, pool in inventory.inference_pools.items():
            old = pool.group == INFERENCE_X_GROUP
            picked = _external(inventory, pool) if external_pickers else _builtin(pool)
            parents = [
                {
                    "parentRef": {"group": GATEWAY_GROUP, "kind": "Gateway", "namespace": namespace, "name": name},
                    **({} if old else {"controllerName": controller_name}),
                    "conditions": documents((_accepted(accepted), picked), pool.metadata.generation),
                }
                for (namespace, name), accepted in self.accepted.get(key, {}).items()
            ]
            statuses["InferencePool", *key] = {"parent" if old else "parents": parents}
        return statuses


def _accepted(accepted: bool) -> Condition:
    if accepted:
        return true("Accepted", "Accepted", "The InferencePool is used by an accepted HTTPRoute of the Gateway")
    message = "No HTTPRoute that uses the InferencePool is accepted by the Gateway"
    return false("Accepted", Finding("HTTPRouteNotAccepted", message))


def _builtin(pool: InferencePool) -> Condition:
    picker = pool.spec.endpoint_picker_ref
    message = "Mirrorgate picks endpoints itself"
    if picker is not None:
        message += f"; its picker stands in for {picker.kind} {picker.name}, which is not called"
    return true("ResolvedRefs", "ResolvedRefs", message)


def _external(inventory: Inventory, pool: InferencePool) -> Condition:
    picker = endpoint_picker_of(inventory, pool)
    if picker is None:
        return true("ResolvedRefs", "ResolvedRefs", "The pool names no picker: Mirrorgate picks endpoints itself")
    if picker.fault:
        return false("ResolvedRefs", Finding("InvalidExtensionRef", picker.fault))
    return true("ResolvedRefs", "ResolvedRefs", f"{picker.ref} is asked for the endpoint of every request")


def pools_of(rule: Rule) -> set[_Key]:
    """Return the pools that a rule leads or mirrors to."""
    leads = [backend.destination for backend in rule.backends] + [mirror.destination for mirror in rule.mirrors]
    return {
        (destination.namespace, destination.name)
        for destination in leads
        if destination is not None and destination.kind is DestinationKind.INFERENCE_POOL
    }


def pool_problems(inventory: Inventory) -> list[Problem]:
    """Warn of pools that ask for a scheduling profile that there is not."""
    problems = []
    for pool in inventory.inference_pools.values():
        asked = pool.metadata.annotations.get(PROFILE_ANNOTATION)
        if asked is not None and pool.profile is None:
            message = f"there is no scheduling profile {asked!r}; the pool's own era's is used"
            hint = f"one of {', '.join(SchedulingProfile)}"
            problems.append(warning(pool, f"metadata.annotations[{PROFILE_ANNOTATION}]", message, hint))
    return problems
