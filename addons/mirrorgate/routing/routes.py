"""One HTTPRoute: its rules, the listeners that take it, and the status of each of its parents.

Gateway API v1, `RouteParentStatus`: references are resolved even for a route that no listener takes, and a broken
reference does not make a route unaccepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..resources.http_route import HTTPRoute
from ..resources.inventory import Inventory
from ..resources.reference import ParentReference
from .attachment import Attachment, attach, names_gateway
from .conditions import Condition, Finding, documents, false, merge_messages, true
from .gateways import GatewayState
from .notes import Notes
from .references import References
from .rules import CompiledRule, compile_rules

__all__ = ["RouteResult", "compile_route"]


@dataclass(slots=True)
class RouteResult:
    """A route and what became of each parentRef, by its index."""

    route: HTTPRoute
    notes: Notes
    rules: tuple[CompiledRule, ...]
    parents: dict[int, Finding | None] = field(default_factory=dict)
    """Why a parent does not take the route, `None` when it does; only parents that are ours."""
    attachments: dict[int, Sequence[Attachment]] = field(default_factory=dict)
    gateways: dict[tuple[str, str], bool] = field(default_factory=dict)
    """The Gateways of ours that are named, and whether one of their parentRefs is accepted."""

    def status(self, controller_name: str) -> dict[str, object]:
        """Return the `.status`: one entry for each parentRef that is ours."""
        generation = self.route.metadata.generation
        return {
            "parents": [
                {
                    "parentRef": _declared(self.route.spec.parent_refs[index]),
                    "controllerName": controller_name,
                    "conditions": documents(self._conditions(finding), generation),
                }
                for index, finding in self.parents.items()
            ]
        }

    def _conditions(self, finding: Finding | None) -> list[Condition]:
        notes = self.notes
        conditions: list[Condition] = []
        invalid = [Finding(f.reason, f"rule {index}: {f.message}") for index, f in sorted(notes.invalid.items())]
        refusal = self.refusal
        if finding is not None:
            conditions.append(false("Accepted", finding))
        elif refusal is not None:
            conditions.append(false("Accepted", refusal))
        else:
            conditions.append(true("Accepted", "Accepted", "The HTTPRoute is accepted"))
        if notes.unresolved:
            conditions.append(false("ResolvedRefs", merge_messages(notes.unresolved)))
        else:
            conditions.append(true("ResolvedRefs", "ResolvedRefs", "All references are resolved"))
        partial = [*invalid, *notes.partial]
        if finding is None and refusal is None and partial:
            merged = merge_messages(partial)
            message = f"Dropped Rule: its requests are answered 500: {merged.message}"
            conditions.append(true("PartiallyInvalid", merged.reason, message))
        return conditions

    @property
    def refusal(self) -> Finding | None:
        """Why the route itself is not accepted: each of its rules is invalid. They answer 500 all the same."""
        if len(self.notes.invalid) < len(self.rules):
            return None
        return merge_messages([finding for _, finding in sorted(self.notes.invalid.items())])


def compile_route(
    inventory: Inventory,
    gateways: Mapping[tuple[str, str], GatewayState],
    route: HTTPRoute,
    references: References,
    every_class: bool,
) -> RouteResult:
    """Compile a route and attach it; counts it at the listeners that take it.

    `every_class` says that there is no other controller, so that a Gateway that does not exist is ours to report.
    """
    notes = Notes(route)
    result = RouteResult(route, notes, compile_rules(route, references, notes))
    for index, ref in enumerate(route.spec.parent_refs):
        path = f"spec.parentRefs[{index}]"
        key = (ref.namespace or route.metadata.namespace, ref.name)
        if not names_gateway(ref):
            notes.warn(path, f"a parent of kind {ref.kind} is not supported; Gateway is")
            continue
        state = gateways.get(key)
        if state is None:
            if every_class:
                notes.warn(path, f"Gateway {'/'.join(key)} does not exist")
                result.parents[index] = Finding("NoMatchingParent", f"Gateway {'/'.join(key)} does not exist")
            continue
        found = attach(inventory, state, route, ref)
        if isinstance(found, Finding):
            notes.warn(path, found.message)
            result.parents[index] = found
        else:
            result.parents[index] = None
            result.attachments[index] = found
        accepted = not isinstance(found, Finding) and result.refusal is None
        result.gateways[key] = result.gateways.get(key, False) or accepted
    if route.spec.use_default_gateways not in (None, "None"):
        notes.warn("spec.useDefaultGateways", "useDefaultGateways is not honoured by this version of Mirrorgate")
    if not route.spec.parent_refs:
        notes.warn("spec.parentRefs", "the route names no parent, so that no request reaches it")
    _count(result)
    return result


def _count(result: RouteResult) -> None:
    """Count the route once at each listener that took it, and keep each listener's first attachment only.

    Two parentRefs may select the same listener, one by its name and one by its port.
    """
    seen: set[tuple[tuple[str, str], str]] = set()
    for index, attachments in result.attachments.items():
        fresh: list[Attachment] = []
        for attachment in attachments:
            listener = attachment.listener
            key = (listener.gateway.key, listener.spec.name)
            if key not in seen:
                seen.add(key)
                fresh.append(attachment)
                listener.attached += result.refusal is None
        result.attachments[index] = fresh


def _declared(ref: ParentReference) -> dict[str, object]:
    """Return a parentRef as it was declared, with the group and kind that are its defaults."""
    document: dict[str, object] = {"group": ref.group, "kind": ref.kind}
    if ref.namespace is not None:
        document["namespace"] = ref.namespace
    document["name"] = ref.name
    if ref.section_name is not None:
        document["sectionName"] = ref.section_name
    if ref.port is not None:
        document["port"] = ref.port
    return document
