"""Which listeners a route attaches to.

Gateway API v1, `ParentReference`, `AllowedRoutes` and `HTTPRouteSpec.hostnames`. A route is accepted by a parent when
at least one of the listeners that the parentRef selects takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..resources.http_route import HTTPRoute
from ..resources.inventory import Inventory
from ..resources.objects import LabelSelector
from ..resources.reference import GATEWAY_GROUP, ParentReference
from .conditions import Finding
from .gateways import GatewayState
from .hostnames import intersect
from .listeners import ListenerState

__all__ = ["Attachment", "attach", "names_gateway", "selects_namespace"]

_NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that every namespace of a cluster has, and so one that no manifest declares."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A route at one listener, with those of its hostnames that the listener shares; `("",)` is any host."""

    listener: ListenerState
    hostnames: tuple[str, ...]


def names_gateway(ref: ParentReference) -> bool:
    return (ref.group, ref.kind) == (GATEWAY_GROUP, "Gateway")


def attach(
    inventory: Inventory, state: GatewayState, route: HTTPRoute, ref: ParentReference
) -> Sequence[Attachment] | Finding:
    """Return the listeners of a Gateway that take a route, at least one, or the finding why none does.

    A route keeps its own hostnames even where the listener's is narrower: requests come through the
    listener anyway, and it is the route's hostname whose length counts in precedence.
    """
    selected = [
        listener
        for listener in state.listeners
        if ref.section_name in (None, listener.spec.name) and ref.port in (None, listener.spec.port)
    ]
    if not selected:
        return Finding("NoMatchingParent", f"Gateway {'/'.join(state.key)} has no listener{_wanted(ref)}")
    allowed = [listener for listener in selected if listener.takes_routes and _allows(inventory, listener, route)]
    if not allowed:
        message = f"no listener of Gateway {'/'.join(state.key)} allows HTTPRoutes of namespace {route.key[0]}"
        return Finding("NotAllowedByListeners", message)
    declared = tuple(dict.fromkeys(hostname.lower() for hostname in route.spec.hostnames)) or ("",)
    attachments = [
        Attachment(listener, shared)
        for listener in allowed
        if (shared := tuple(hostname for hostname in declared if intersect(listener.hostname, hostname)))
    ]
    if not attachments:
        hosts = ", ".join(sorted({listener.hostname for listener in allowed}))
        message = f"none of the hostnames {', '.join(declared)} is one of the listeners' ({hosts})"
        return Finding("NoMatchingListenerHostname", message)
    return attachments


def _wanted(ref: ParentReference) -> str:
    name = "" if ref.section_name is None else f" {ref.section_name!r}"
    return name if ref.port is None else f"{name} on port {ref.port}"


def _allows(inventory: Inventory, listener: ListenerState, route: HTTPRoute) -> bool:
    namespaces = listener.spec.allowed_routes.namespaces
    if namespaces.from_ == "All":
        return True
    namespace = route.metadata.namespace
    if namespaces.from_ == "Same":
        return namespace == listener.gateway.metadata.namespace
    return selects_namespace(inventory, namespaces.selector, namespace)


def selects_namespace(inventory: Inventory, selector: LabelSelector | None, namespace: str) -> bool:
    """Tell whether a selector takes a namespace; without a selector it takes none (`RouteNamespaces.selector`)."""
    if selector is None:
        return False
    declared = inventory.namespaces.get(("", namespace))
    return selector.matches({_NAME_LABEL: namespace} if declared is None else declared.labels)
