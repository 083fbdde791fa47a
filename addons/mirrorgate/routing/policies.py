"""Which policy applies to which rule: targets, the most specific one, conflicts, and their status.

Envoy Gateway, `BackendTrafficPolicy` v1alpha1, and GEP-713 (policy attachment): the policy of the most specific
target applies whole, in the order rule, route, listener, Gateway; of two on one target the oldest applies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import Problem
from ..resources.inventory import Inventory
from ..resources.objects import Resource
from ..resources.reference import GATEWAY_GROUP, LocalPolicyTargetReferenceWithSectionName
from .conditions import Condition, Finding, Statuses, documents, false, true
from .notes import warning
from .precedence import age_of

__all__ = ["Policies", "Scope", "Target"]

Target = tuple[str, str, str, str]
"""Kind, namespace, name, and the section (listener or rule name; empty for the whole object)."""

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

    _by_target: dict[Target, P] = field(default_factory=dict)
    _attached: list[_Attached[P]] = field(default_factory=list)

    def attach(
        self,
        inventory: Inventory,
        policies: Iterable[P],
        refs_of: Callable[[P], Sequence[tuple[str, LocalPolicyTargetReferenceWithSectionName]]],
        kinds: frozenset[str],
    ) -> None:
        """Attach policies, the oldest first, to the targets that exist; `refs_of` yields field path and reference."""
        aged = [(age_of(p.metadata.creation_timestamp, index, *p.key), p) for index, p in enumerate(policies)]
        for _, policy in sorted(aged, key=lambda pair: pair[0]):
            for path, ref in refs_of(policy):
                target = (ref.kind, policy.metadata.namespace, ref.name, ref.section_name or "")
                attached = _Attached(policy, path, target, _target_finding(inventory, ref.group, target, kinds))
                if attached.finding is None:
                    holder = self._by_target.setdefault(target, policy)
                    if holder is not policy:
                        message = f"{_title(target)} has {holder.title} already, which is older"
                        attached.finding = Finding("Conflicted", message)
                self._attached.append(attached)

    def for_rule(self, route: tuple[str, str], rule: str | None, gateway: tuple[str, str], listener: str) -> P | None:
        """Return the policy that applies to a rule as it is reached through a listener, `None` when none does."""
        sections = [("HTTPRoute", *route, rule or ""), ("HTTPRoute", *route, "")]
        targets: list[Target] = [*sections, ("Gateway", *gateway, listener), ("Gateway", *gateway, "")]
        return next((self._by_target[target] for target in targets if target in self._by_target), None)

    def problems(self, scope: Scope) -> list[Problem]:
        """Return a warning for each target that a policy does not apply to."""
        return [
            warning(attached.policy, attached.path, attached.finding.message)
            for attached in self._attached
            if attached.finding is not None and scope.holds(attached.target)
        ]

    def statuses(self, scope: Scope, remarks: Callable[[P], str]) -> Statuses:
        """Return the status of every policy with a target in scope; `remarks` adds to the message of an accepted one.

        An ancestor is the Gateway through which the target is reached, or the target itself when there is none.
        """
        entries: dict[tuple[str, str, str], list[dict[str, object]]] = {}
        for attached in self._attached:
            policy = attached.policy
            if not scope.holds(attached.target):
                continue
            kind, namespace, name, section = attached.target
            gateways = scope.parents.get((namespace, name), ()) if kind == "HTTPRoute" else ()
            refs = [_reference("Gateway", *gateway) for gateway in gateways] if attached.finding is None else []
            conditions = documents(self._conditions(attached, scope, remarks(policy)), policy.metadata.generation)
            found = entries.setdefault((policy.kind, *policy.key), [])
            for ref in refs or [_reference(kind, namespace, name, section)]:
                entry: dict[str, object] = {
                    "ancestorRef": ref,
                    "controllerName": scope.controller_name,
                    "conditions": conditions,
                }
                if entry not in found:
                    found.append(entry)
        return {key: {"ancestors": found[:_MOST_ANCESTORS]} for key, found in entries.items()}

    def _conditions(self, attached: _Attached[P], scope: Scope, remark: str) -> list[Condition]:
        if attached.finding is not None:
            return [false("Accepted", attached.finding)]
        accepted = true("Accepted", "Accepted", f"The policy is accepted{remark}")
        overriding = self._overriding(attached.target, scope)
        if not overriding:
            return [accepted]
        names = ", ".join(_title(target) for target in overriding)
        return [accepted, true("Overridden", "Overridden", f"More specific policies apply to {names}")]

    def _overriding(self, target: Target, scope: Scope) -> list[Target]:
        """Return what has a policy of its own below a target: its sections, and a Gateway's routes."""
        kind, namespace, name, section = target
        if section:
            return []
        return [
            other
            for other in self._by_target
            if (other[:3] == (kind, namespace, name) and other[3])
            or (
                kind == "Gateway" and other[0] == "HTTPRoute" and (namespace, name) in scope.parents.get(other[1:3], ())
            )
        ]


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
        part = "listener" if kind == "Gateway" else "rule"
        return Finding("TargetNotFound", f"{_title((kind, namespace, name, ''))} has no {part} {section!r}")
    return None


def _title(target: Target) -> str:
    kind, namespace, name, section = target
    return f"{kind} {namespace}/{name}" + (f" section {section}" if section else "")


def _reference(kind: str, namespace: str, name: str, section: str = "") -> dict[str, object]:
    ref: dict[str, object] = {"group": GATEWAY_GROUP, "kind": kind, "namespace": namespace, "name": name}
    return {**ref, "sectionName": section} if section else ref
