"""GatewayClasses and Gateways: which are ours, which are accepted, and their listeners.

Gateway API v1, `GatewayClass`, `Gateway`. With manifests from files every Gateway is served, whatever its class.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import Problem
from ..resources.gateway import Gateway, GatewayClass
from ..resources.inventory import Inventory
from .conditions import Condition, Finding, Statuses, documents, false, true
from .listeners import ListenerState, find_conflicts, read_listeners
from .notes import warning
from .precedence import age_of
from .references import References

__all__ = ["GatewayState", "class_statuses", "gateway_status", "read_gateways"]

ENVOY_GROUP = "gateway.envoyproxy.io"


@dataclass(slots=True)
class GatewayState:
    """A Gateway of ours while its table is made."""

    gateway: Gateway
    refusal: Finding | None
    """Why the whole Gateway is not served, `None` when it is."""
    addresses: tuple[str, ...]
    listeners: list[ListenerState]

    @property
    def key(self) -> tuple[str, str]:
        return self.gateway.key


def class_statuses(inventory: Inventory, controller_name: str, every_class: bool) -> tuple[Statuses, list[Problem]]:
    """Return the status of each GatewayClass that is ours; `every_class` makes all of them ours."""
    statuses: Statuses = {}
    problems: list[Problem] = []
    for gateway_class in inventory.gateway_classes.values():
        if not every_class and gateway_class.spec.controller_name != controller_name:
            continue
        finding = _class_finding(inventory, gateway_class)
        if finding is None:
            condition = true("Accepted", "Accepted", "The GatewayClass is accepted")
        else:
            condition = false("Accepted", finding)
            problems.append(warning(gateway_class, "spec.parametersRef", finding.message))
        generation = gateway_class.metadata.generation
        statuses["GatewayClass", *gateway_class.key] = {"conditions": documents([condition], generation)}
    return statuses, problems


def _class_finding(inventory: Inventory, gateway_class: GatewayClass) -> Finding | None:
    ref = gateway_class.spec.parameters_ref
    if ref is None:
        return None
    return _parameters_finding(inventory, ref.group, ref.kind, ref.namespace or "default", ref.name)


def _parameters_finding(inventory: Inventory, group: str, kind: str, namespace: str, name: str) -> Finding | None:
    """Say why `parametersRef` is not accepted. An EnvoyProxy is understood, though nothing of it applies here."""
    if (group, kind) != (ENVOY_GROUP, "EnvoyProxy"):
        message = f"parametersRef names a {kind} of group {group!r}; only EnvoyProxy of {ENVOY_GROUP} is known"
        return Finding("InvalidParameters", message)
    if (namespace, name) not in inventory.envoy_proxies:
        return Finding("InvalidParameters", f"EnvoyProxy {namespace}/{name}, which parametersRef names, does not exist")
    return None


def read_gateways(
    inventory: Inventory, references: References, controller_name: str, every_class: bool
) -> tuple[list[GatewayState], list[Problem]]:
    """Return the Gateways that are ours, oldest first, with their listeners and the conflicts among them."""
    problems: list[Problem] = []
    states: list[GatewayState] = []
    for gateway in _oldest_first(inventory.gateways.values()):
        gateway_class = inventory.gateway_classes.get(("", gateway.spec.gateway_class_name))
        if not every_class and not _is_served(inventory, gateway_class, controller_name):
            continue
        if gateway_class is None:
            problems.append(
                warning(
                    gateway,
                    "spec.gatewayClassName",
                    f"there is no GatewayClass {gateway.spec.gateway_class_name!r} among the manifests",
                    "the Gateway is served all the same; a cluster would need the class",
                )
            )
        refusal = _gateway_finding(inventory, gateway)
        if refusal is not None:
            problems.append(warning(gateway, "spec", f"the Gateway is not served: {refusal.message}"))
        problems += _unsupported(gateway)
        listeners, found = read_listeners(inventory, references, gateway)
        problems += found
        addresses = tuple(address.value for address in gateway.spec.addresses if address.value)
        states.append(GatewayState(gateway, refusal, addresses, listeners))
    problems += find_conflicts([(state.addresses, state.listeners) for state in states if state.refusal is None])
    return states, problems


def _unsupported(gateway: Gateway) -> list[Problem]:
    """Return a warning for each field of a Gateway that is set and not honoured."""
    spec = gateway.spec
    set_fields = {
        "spec.allowedListeners": spec.allowed_listeners is not None
        and spec.allowed_listeners.namespaces.from_ != "None",
        "spec.tls": spec.tls is not None,
        "spec.defaultScope": spec.default_scope not in (None, "None"),
    }
    message = "is not honoured by this version of Mirrorgate"
    return [warning(gateway, path, f"{path} {message}") for path, is_set in set_fields.items() if is_set]


def _oldest_first(gateways: Iterable[Gateway]) -> list[Gateway]:
    aged = [(age_of(g.metadata.creation_timestamp, position, *g.key), g) for position, g in enumerate(gateways)]
    return [gateway for _, gateway in sorted(aged, key=lambda pair: pair[0])]


def _is_served(inventory: Inventory, gateway_class: GatewayClass | None, controller_name: str) -> bool:
    if gateway_class is None or gateway_class.spec.controller_name != controller_name:
        return False
    return _class_finding(inventory, gateway_class) is None


def _gateway_finding(inventory: Inventory, gateway: Gateway) -> Finding | None:
    for address in gateway.spec.addresses:
        if address.type != "IPAddress":
            return Finding("UnsupportedAddress", f"addresses of type {address.type} are not supported; use IPAddress")
    ref = None if gateway.spec.infrastructure is None else gateway.spec.infrastructure.parameters_ref
    if ref is None:
        return None
    return _parameters_finding(inventory, ref.group, ref.kind, gateway.metadata.namespace, ref.name)


def gateway_status(state: GatewayState) -> dict[str, object]:
    """Return the `.status` of a Gateway once routes are attached. A default bind address is left to the adapter."""
    generation = state.gateway.metadata.generation
    served = [listener for listener in state.listeners if listener.is_served]
    status: dict[str, object] = {
        "conditions": documents(_gateway_conditions(state, len(served)), generation),
        "listeners": [listener.status(generation, state.refusal) for listener in state.listeners],
    }
    if state.addresses and state.refusal is None:
        status["addresses"] = [{"type": "IPAddress", "value": address} for address in state.addresses]
    return status


def _gateway_conditions(state: GatewayState, served: int) -> list[Condition]:
    if state.refusal is not None:
        return [false("Accepted", state.refusal), false("Programmed", Finding("Invalid", state.refusal.message))]
    broken = [listener.spec.name for listener in state.listeners if not listener.is_served or listener.unresolved]
    message = f"Listeners that are not served as declared: {', '.join(broken)}"
    if not any(listener.is_accepted for listener in state.listeners):
        accepted = false("Accepted", Finding("ListenersNotValid", message))
    elif broken:
        accepted = true("Accepted", "ListenersNotValid", message)
    else:
        accepted = true("Accepted", "Accepted", "The Gateway is accepted")
    if served:
        return [accepted, true("Programmed", "Programmed", "The Gateway is served")]
    return [accepted, false("Programmed", Finding("Invalid", "No listener of the Gateway can be served"))]
