"""Listeners of a Gateway: which are served, what may attach to them, and which exclude each other.

Gateway API v1, `Listener` and `ListenerStatus`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from ..errors import Problem
from ..resources.certificate import ServerCertificate
from ..resources.gateway import Gateway
from ..resources.gateway import Listener as ListenerSpec
from ..resources.inventory import Inventory
from ..resources.reference import GATEWAY_GROUP
from .certificates import certificates_of
from .conditions import Condition, Finding, documents, false, true
from .notes import Notes
from .precedence import Precedence
from .references import References
from .table import Match

__all__ = ["ListenerState", "find_conflicts", "read_listeners"]


@dataclass(slots=True)
class ListenerState:
    """A listener while routes are attached to it."""

    gateway: Gateway
    spec: ListenerSpec
    index: int
    takes_routes: bool = True
    """Whether HTTPRoute is among the kinds that may attach."""
    refused: Finding | None = None
    """Why `Accepted` is False."""
    unresolved: Finding | None = None
    """Why `ResolvedRefs` is False."""
    conflicted: Finding | None = None
    unprogrammed: Finding | None = None
    """Why an accepted listener is not served."""
    certificates: tuple[ServerCertificate, ...] = ()
    attached: int = 0
    """Accepted routes that select the listener, even when it is not served."""
    matches: list[tuple[Precedence, Match]] = field(default_factory=list)

    @property
    def is_accepted(self) -> bool:
        return self.refused is None and self.conflicted is None

    @property
    def is_served(self) -> bool:
        return self.is_accepted and self.unprogrammed is None

    @property
    def hostname(self) -> str:
        return (self.spec.hostname or "").lower()

    def status(self, generation: int, gateway_refusal: Finding | None) -> dict[str, object]:
        """Return the entry of `status.listeners`."""
        kinds = [{"group": GATEWAY_GROUP, "kind": "HTTPRoute"}] if self.takes_routes else []
        return {
            "name": self.spec.name,
            "supportedKinds": kinds,
            "attachedRoutes": self.attached,
            "conditions": documents(self._conditions(gateway_refusal), generation),
        }

    def _conditions(self, gateway_refusal: Finding | None) -> Iterator[Condition]:
        if self.conflicted is not None:
            yield Condition("Conflicted", "True", self.conflicted.reason, self.conflicted.message)
        else:
            yield Condition("Conflicted", "False", "NoConflicts", "No other listener is in the way")
        refused = self.refused or self.conflicted
        if refused is None:
            yield true("Accepted", "Accepted", "The listener is accepted")
        else:
            yield false("Accepted", refused)
        if self.unresolved is None:
            yield true("ResolvedRefs", "ResolvedRefs", "All references are resolved")
        else:
            yield false("ResolvedRefs", self.unresolved)
        blocked = refused or self.unprogrammed or gateway_refusal
        if blocked is None:
            yield true("Programmed", "Programmed", "The listener is served")
        else:
            yield false("Programmed", Finding("Invalid", blocked.message))


def read_listeners(
    inventory: Inventory, references: References, gateway: Gateway
) -> tuple[list[ListenerState], list[Problem]]:
    """Return a Gateway's listeners, each judged by itself."""
    notes = Notes(gateway)
    states = [ListenerState(gateway, spec, index) for index, spec in enumerate(gateway.spec.listeners)]
    for state in states:
        _check_protocol(state, notes)
        _check_kinds(state, notes)
        if state.spec.protocol == "HTTPS":
            path = f"spec.listeners[{state.index}]"
            state.certificates, missing = certificates_of(inventory, references, gateway, state.spec, path, notes)
            state.unresolved = state.unresolved or missing
            if missing is not None and not state.certificates:
                state.unprogrammed = missing
    return states, notes.problems


def _check_protocol(state: ListenerState, notes: Notes) -> None:
    protocol = state.spec.protocol
    path = f"spec.listeners[{state.index}].protocol"
    if protocol not in ("HTTP", "HTTPS"):
        hint = f" (did you mean {protocol.upper()}?)" if protocol.upper() in ("HTTP", "HTTPS") else ""
        text = f"protocol {protocol} is not supported; HTTP and HTTPS are{hint}"
        state.refused = Finding("UnsupportedProtocol", text)
        state.takes_routes = False
        notes.warn(path, state.refused.message)


def _check_kinds(state: ListenerState, notes: Notes) -> None:
    allowed = state.spec.allowed_routes
    if not allowed.kinds or not state.takes_routes:
        return
    known = [kind.kind == "HTTPRoute" and kind.group == GATEWAY_GROUP for kind in allowed.kinds]
    state.takes_routes = any(known)
    for index, fine in enumerate(known):
        if not fine:
            message = f"routes of kind {allowed.kinds[index].kind} are not supported; HTTPRoute is"
            state.unresolved = Finding("InvalidRouteKinds", message)
            notes.warn(f"spec.listeners[{state.index}].allowedRoutes.kinds[{index}]", message)


def find_conflicts(gateways: Sequence[tuple[tuple[str, ...], Sequence[ListenerState]]]) -> list[Problem]:
    """Mark listeners that exclude each other on one port and address; `gateways` come oldest first.

    Within a Gateway none of them is served, as the specification asks (`ListenerConditionConflicted`). Between
    Gateways, which a cluster would give addresses of their own, the older Gateway keeps the port.
    """
    problems: list[Problem] = []
    for _, listeners in gateways:
        for one, other in combinations(listeners, 2):
            finding = _conflict(one, other)
            if finding is not None:
                problems += [_mark(one, other, finding), _mark(other, one, finding)]
    for (addresses, older), (others, younger) in combinations(gateways, 2):
        if bool(addresses) == bool(others) and (not addresses or set(addresses) & set(others)):
            for one in older:
                for other in younger:
                    finding = None if not one.is_accepted else _conflict(one, other)
                    if finding is not None and other.conflicted is None:
                        problems.append(_mark(other, one, finding))
    return problems


def _conflict(one: ListenerState, other: ListenerState) -> Finding | None:
    if one.spec.port != other.spec.port or one.refused or other.refused:
        return None
    if one.spec.protocol != other.spec.protocol:
        return Finding("ProtocolConflict", f"port {one.spec.port} is asked for with two protocols")
    if one.hostname == other.hostname:
        host = one.hostname or "any host"
        return Finding("HostnameConflict", f"port {one.spec.port} is asked for twice for {host}")
    return None


def _mark(state: ListenerState, other: ListenerState, finding: Finding) -> Problem:
    gateway = "/".join(other.gateway.key)
    state.conflicted = Finding(finding.reason, f"{finding.message}: listener {other.spec.name} of Gateway {gateway}")
    notes = Notes(state.gateway)
    notes.warn(f"spec.listeners[{state.index}]", f"the listener is not served: {state.conflicted.message}")
    return notes.problems[0]
