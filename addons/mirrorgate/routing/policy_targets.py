"""What a policy names: its targetRefs, and the objects that its targetSelectors take.

Envoy Gateway, `PolicyTargetReferences`: selectors take whole objects, in other namespaces only with a ReferenceGrant
for the policy's kind, and what is selected comes before what is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..resources.inventory import Inventory
from ..resources.objects import Resource
from ..resources.policy_target import TargetSelector
from ..resources.reference import GATEWAY_GROUP, LocalPolicyTargetReferenceWithSectionName
from .attachment import selects_namespace
from .precedence import age_of
from .references import References

__all__ = ["NamedTarget", "Target", "targets_of"]

Target = tuple[str, str, str, str]
"""Kind, namespace, name, and the section (listener or rule name; empty for the whole object)."""

NamedTarget = tuple[str, str, Target]
"""The field that names a target, the target's group, and the target."""

Reference = tuple[str, LocalPolicyTargetReferenceWithSectionName]
"""A field and what it holds."""


def targets_of(
    inventory: Inventory,
    references: References,
    policy: Resource,
    refs: Iterable[Reference],
    selectors: Sequence[TargetSelector],
) -> list[NamedTarget]:
    """Return what a policy names, the oldest selected object first, each once."""
    found: list[NamedTarget] = []
    for index, selector in enumerate(selectors):
        for target in _selected(inventory, references, policy, selector):
            if all(target != known for _, _, known in found):
                found.append((f"spec.targetSelectors[{index}]", GATEWAY_GROUP, target))
    for path, ref in refs:
        named = (ref.kind, policy.metadata.namespace, ref.name, ref.section_name or "")
        found.append((path, ref.group, named))
    return found


def _selected(
    inventory: Inventory, references: References, policy: Resource, selector: TargetSelector
) -> Iterator[Target]:
    objects: Iterable[Resource] = {
        "Gateway": inventory.gateways.values(),
        "HTTPRoute": inventory.http_routes.values(),
    }.get(selector.kind, ())
    aged = [(age_of(each.metadata.creation_timestamp, index, *each.key), each) for index, each in enumerate(objects)]
    labels, own = selector.labels, policy.metadata.namespace
    for _, each in sorted(aged, key=lambda pair: pair[0]):
        namespace, name = each.key
        if not labels.matches(each.metadata.labels) or not _in_namespaces(inventory, selector, own, namespace):
            continue
        if references.permits((policy.group, policy.kind, own), (GATEWAY_GROUP, selector.kind, namespace, name)):
            yield (selector.kind, namespace, name, "")


def _in_namespaces(inventory: Inventory, selector: TargetSelector, own: str, namespace: str) -> bool:
    allowed = selector.namespaces
    if allowed is None or allowed.from_ == "Same":
        return namespace == own
    return allowed.from_ == "All" or selects_namespace(inventory, allowed.selector, namespace)
