"""Which policy applies to which rule: the most specific one, conflicts, merging, and the policies' status.

Envoy Gateway, `BackendTrafficPolicy` v1alpha1, and GEP-713 (policy attachment): the policy of the most specific
target applies whole, in the order rule, route, listener, Gateway; of two on one target the oldest applies. A route's
policy with a `mergeType` is merged into that of the listener, or else of the Gateway. Conditions are in Envoy
Gateway's words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import Problem
from ..resources.inventory import Inventory
from ..resources.objects import Resource
from ..resources.reference import GATEWAY_GROUP
from .conditions import Condition, Finding, Statuses, documents, false, true
from .notes import warning
from .policy_targets import NamedTarget, Target
from .precedence import age_of

__all__ = ["Applied", "Policies", "Scope"]

_MOST_ANCESTORS = 16
"""As many entries a policy's status may have (`PolicyStatus.ancestors`)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which targets a controller reports on."""

    controller_name: str
    parents: Mapping[tuple[str, str], Sequence[tuple[str, str]]]
    """The Gateways of ours that each HTTPRoute names."""
    gateways: Collection[tuple[str, str]] | None = None
    """The Gateways that are ours, where there are other controllers; `None` when every target is ours to report."""

    def holds(self, target: Target) -> bool:
        """Tell whether a target is one of our Gateways or leads to one."""
        kind, namespace, name, _ = target
        if self.gateways is None:
            return True
        return (namespace, name) in (
            self.gateways if kind == "Gateway" else self.parents if kind == "HTTPRoute" else ()
        )


@dataclass(frozen=True, slots=True)
class Applied[P: Resource]:
    """The policy that applies to a rule as it is reached through a listener."""

    policy: P
    source: str
    """`namespace/name`, and behind a `+` that of the parent which it is merged into."""


@dataclass(slots=True)
class _Attached[P: Resource]:
    policy: P
    path: str
    target: Target
    finding: Finding | None = None
    """Why the policy does not apply to this target."""


@dataclass(slots=True)
class Policies[P: Resource]:
    """The policies of one kind and their targets."""

    merge: Callable[[P, P], P | Finding | None] = lambda policy, parent: None
    """Merge a policy into its parent; `None` when the policy does not ask for it."""
    _by_target: dict[Target, P] = field(default_factory=dict)
    _attached: list[_Attached[P]] = field(default_factory=list)
    _targetless: list[P] = field(default_factory=list)
    _merged: dict[Target, dict[Target, P | Finding]] = field(default_factory=dict)
    """By a route's target and its parent's: what came of merging them."""
    _displaced: dict[Target, set[Target]] = field(default_factory=dict)
    """By a target whose policy some rule does not get: the targets whose policies it gets instead."""

    def attach(
        self,
        inventory: Inventory,
        policies: Iterable[P],
        targets_of: Callable[[P], Sequence[NamedTarget]],
        kinds: frozenset[str],
    ) -> None:
        """Attach policies, the oldest first, to the targets that exist."""
        aged = [(age_of(p.metadata.creation_timestamp, index, *p.key), p) for index, p in enumerate(policies)]
        for _, policy in sorted(aged, key=lambda pair: pair[0]):
            targets = targets_of(policy)
            if not targets:
                self._targetless.append(policy)
            for path, group, target in targets:
                attached = _Attached(policy, path, target, _target_finding(inventory, group, target, kinds))
                if attached.finding is None:
                    holder = self._by_target.setdefault(target, policy)
                    if holder is not policy:
                        message = (
                            f"Unable to target {_title(target)}, another {policy.kind} has already attached to it: "
                            f"{'/'.join(holder.key)}, which is older"
                        )
                        attached.finding = Finding("Conflicted", message)
                self._attached.append(attached)

    def for_rule(
        self, route: tuple[str, str], rule: str | None, gateway: tuple[str, str], listener: str
    ) -> Applied[P] | None:
        """Return the policy that applies to a rule as it is reached through a listener, `None` when none does."""
        own: list[Target] = [("HTTPRoute", *route, rule), ("HTTPRoute", *route, "")] if rule else []
        own = [target for target in own or [("HTTPRoute", *route, "")] if target in self._by_target]
        parents: list[Target] = [("Gateway", *gateway, listener), ("Gateway", *gateway, "")]
        parents = [target for target in parents if target in self._by_target]
        found = [*own, *parents]
        if not found:
            return None
        for displaced in found[1:]:
            self._displaced.setdefault(displaced, set()).add(found[0])
        policy = self._by_target[found[0]]
        source = "/".join(policy.key)
        if not own or not parents:
            return Applied(policy, source)
        parent = self._by_target[parents[0]]
        result = self._merge_once(found[0], parents[0])
        if result is None:
            return Applied(policy, source)
        if isinstance(result, Finding):
            return Applied(parent, "/".join(parent.key))
        return Applied(result, f"{source}+{'/'.join(parent.key)}")

    def _merge_once(self, target: Target, parent: Target) -> P | Finding | None:
        known = self._merged.get(target, {})
        if parent in known:
            return known[parent]
        result = self.merge(self._by_target[target], self._by_target[parent])
        if result is not None:
            self._merged.setdefault(target, {})[parent] = result
        return result

    def problems(self, scope: Scope) -> list[Problem]:
        """Return a warning for each target that a policy does not apply to, and for a policy without any."""
        targetless = [] if scope.gateways is not None else self._targetless
        nothing = "the policy's targetSelectors select nothing that it may apply to"
        unfit = [
            (attached, result)
            for attached in self._attached
            for result in self._merged.get(attached.target, {}).values()
            if isinstance(result, Finding) and attached.finding is None
        ]
        return [
            *(
                warning(attached.policy, attached.path, attached.finding.message)
                for attached in self._attached
                if attached.finding is not None and scope.holds(attached.target)
            ),
            *(warning(policy, "spec.targetSelectors", nothing) for policy in targetless),
            *(warning(attached.policy, "spec.mergeType", finding.message) for attached, finding in unfit),
        ]

    def statuses(
        self, scope: Scope, remarks: Callable[[P], str], deprecated: Callable[[P], str] = lambda policy: ""
    ) -> Statuses:
        """Return the status of every policy with a target in scope.

        An ancestor is the Gateway through which the target is reached, or the target itself when there is none.
        `remarks` adds to the message of an accepted one, `deprecated` tells of fields that are.
        """
        entries: dict[tuple[str, str, str], list[dict[str, object]]] = {}
        for attached in self._attached:
            policy = attached.policy
            if not scope.holds(attached.target):
                continue
            kind, namespace, name, section = attached.target
            gateways = scope.parents.get((namespace, name), ()) if kind == "HTTPRoute" else ()
            refs = [_reference("Gateway", *gateway) for gateway in gateways] if attached.finding is None else []
            found = entries.setdefault((policy.kind, *policy.key), [])
            for ref in refs or [_reference(kind, namespace, name, section)]:
                gateway = (str(ref["namespace"]), str(ref["name"]))
                conditions = self._conditions(attached, scope, gateway, remarks(policy), deprecated(policy))
                entry: dict[str, object] = {
                    "ancestorRef": ref,
                    "controllerName": scope.controller_name,
                    "conditions": documents(conditions, policy.metadata.generation),
                }
                if entry not in found:
                    found.append(entry)
        return {key: {"ancestors": _truncated(found)} for key, found in entries.items()}

    def _conditions(
        self, attached: _Attached[P], scope: Scope, gateway: tuple[str, str], remark: str, deprecated: str
    ) -> list[Condition]:
        if attached.finding is not None:
            return [false("Accepted", attached.finding)]
        target, others = attached.target, _plural(attached.policy.kind)
        results = {
            "/".join(self._by_target[parent].key): result
            for parent, result in self._merged.get(target, {}).items()
            if parent[1:3] == gateway
        }
        unfit = next((result for result in results.values() if isinstance(result, Finding)), None)
        if unfit is not None:
            return [false("Accepted", unfit)]
        conditions = [true("Accepted", "Accepted", f"Policy has been accepted{remark or '.'}")]
        if results:
            conditions.append(true("Merged", "Merged", f"Merged with policy {', '.join(results)}"))
        if deprecated:
            conditions.append(true("Warning", "DeprecatedField", deprecated))
        mergers = {
            child
            for child, parents in self._merged.items()
            if target in parents and not isinstance(parents[target], Finding)
        }
        if mergers:
            message = f"This policy is being merged by other {others} for {_listed(mergers)}"
            conditions.append(true("Merged", "Merged", message))
        if overriding := self._overriding(target, scope) - mergers:
            message = f"This policy is being overridden by other {others} for {_listed(overriding)}"
            conditions.append(true("Overridden", "Overridden", message))
        return conditions

    def _overriding(self, target: Target, scope: Scope) -> set[Target]:
        """Return what has a policy of its own below a target: its sections, and a Gateway's routes."""
        kind, namespace, name, section = target
        found = set(self._displaced.get(target, ()))
        if section:
            return found
        return found | {
            other
            for other in self._by_target
            if (other[:3] == (kind, namespace, name) and other[3])
            or (
                kind == "Gateway" and other[0] == "HTTPRoute" and (namespace, name) in scope.parents.get(other[1:3], ())
            )
        }


def _truncated(entries: list[dict[str, object]]) -> list[dict[str, object]]:
    """Keep as many entries as a status may have, those with bad news first, and say that there are more."""
    if len(entries) <= _MOST_ANCESTORS:
        return entries
    kept = sorted(entries, key=lambda entry: "Conflicted" not in str(entry) and "Overridden" not in str(entry))
    kept = kept[:_MOST_ANCESTORS]
    message = "Ancestors have been truncated because the number of policy ancestors exceeds 16."
    last = kept[-1]["conditions"]
    assert isinstance(last, list)
    generation = last[0]["observedGeneration"]
    aggregated = documents([true("Aggregated", "Aggregated", message)], generation)
    kept[-1] = {**kept[-1], "conditions": [*last, *aggregated]}
    return kept


_LABELS = {
    ("Gateway", True): "these gateway listeners",
    ("HTTPRoute", False): "these routes",
    ("HTTPRoute", True): "these route rules",
}


def _listed(targets: Iterable[Target]) -> str:
    """List targets as Envoy Gateway does: by their kind, in alphabetical order."""
    entries: dict[tuple[str, bool], list[str]] = {key: [] for key in _LABELS}
    for kind, namespace, name, section in sorted(targets):
        entries[kind, bool(section)].append(f"{namespace}/{name}" + (f"/{section}" if section else ""))
    return " and ".join(f"{_LABELS[key]}: [{' '.join(names)}]" for key, names in entries.items() if names)


def _plural(kind: str) -> str:
    return f"{kind[0].lower()}{kind[1:-1]}ies"


def _target_finding(inventory: Inventory, group: str, target: Target, kinds: frozenset[str]) -> Finding | None:
    """Say why a policy cannot apply to a target."""
    kind, namespace, name, section = target
    if group != GATEWAY_GROUP or kind not in kinds:
        known = " or ".join(sorted(kinds))
        return Finding("Invalid", f"a target of kind {kind} of group {group or 'core'} is not supported; {known} is")
    sections: set[str | None]
    if kind == "Gateway":
        gateway = inventory.gateways.get((namespace, name))
        found = gateway is not None
        sections = set() if gateway is None else {listener.name for listener in gateway.spec.listeners}
    else:
        route = inventory.http_routes.get((namespace, name))
        found = route is not None
        sections = set() if route is None else {rule.name for rule in route.spec.rules}
    if not found:
        return Finding("TargetNotFound", f"{_title((kind, namespace, name, ''))} does not exist")
    if section and section not in sections:
        return Finding("TargetNotFound", f"No section name {section} found for {_title((kind, namespace, name, ''))}")
    return None


def _title(target: Target) -> str:
    kind, namespace, name, section = target
    return f"{kind} {namespace}/{name}" + (f" section {section}" if section else "")


def _reference(kind: str, namespace: str, name: str, section: str = "") -> dict[str, object]:
    ref: dict[str, object] = {"group": GATEWAY_GROUP, "kind": kind, "namespace": namespace, "name": name}
    return {**ref, "sectionName": section} if section else ref
