"""What only the running gateway knows of a status: its addresses, its features, and which listeners could be bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from ..routing.conditions import Statuses
from ..routing.table import Listener
from ..snapshot import Snapshot
from .configuring import bound_at

__all__ = ["FEATURES", "completed"]

FEATURES = (
    "Gateway",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendRequestRedirect",
    "HTTPRouteBackendTimeout",
    "HTTPRouteBackendURLRewrite",
    "HTTPRouteCORS",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetry",
    "HTTPRouteRetryBackendTimeout",
    "HTTPRouteRetryConnectionError",
    "HTTPRouteSchemeRedirect",
    "ReferenceGrant",
    "SupportInferencePool",
)
"""Names of `pkg/features` of the Gateway API, sorted as the status wants them. `tests/conformance` shows each."""


def completed(snapshot: Snapshot, addresses: Sequence[str], bind: str, bind_errors: Mapping[str, str]) -> Statuses:
    """Return the statuses of a configuration with what the compiler cannot know.

    `addresses` are for Gateways that declare none; `bind_errors` has the proxy modes that could not be bound.
    """
    statuses = dict(snapshot.statuses)
    served: dict[tuple[str, str], dict[str, Listener]] = {}
    for listener in snapshot.table.listeners:
        served.setdefault(listener.gateway, {})[listener.name] = listener
    for key, status in snapshot.statuses.items():
        kind, namespace, name = key
        if kind == "GatewayClass" and _holds(status, "Accepted"):
            statuses[key] = {**status, "supportedFeatures": [{"name": feature} for feature in FEATURES]}
        elif kind == "Gateway":
            listeners = served.get((namespace, name), {})
            statuses[key] = _gateway(status, listeners, addresses, bind, bind_errors)
    return statuses


def _gateway(
    status: Mapping[str, Any],
    served: Mapping[str, Listener],
    addresses: Sequence[str],
    bind: str,
    bind_errors: Mapping[str, str],
) -> dict[str, object]:
    faults: dict[str, str] = {}
    entries = []
    for entry in status["listeners"]:
        name = entry["name"]
        listener = served.get(name)
        fault = _bind_fault(listener, bind, bind_errors) if listener is not None else ""
        if listener is None and _holds(entry, "Programmed") and _holds(status, "Programmed"):
            fault = "the port cannot be served by this gateway"
        if fault:
            faults[name] = fault
            entry = {**entry, "conditions": _refused(entry["conditions"], "Invalid", fault)}
        entries.append(entry)
    result: dict[str, object] = {**status, "listeners": entries}
    if faults and not any(name not in faults for name in served):
        message = "; ".join(f"listener {name}: {fault}" for name, fault in faults.items())
        result["conditions"] = _refused(status["conditions"], "AddressNotUsable", message)
    programmed = _holds(result, "Programmed")
    declared = status.get("addresses") or [_address(value) for value in addresses]
    result["addresses"] = declared if programmed else []
    return result


def _bind_fault(listener: Listener, bind: str, bind_errors: Mapping[str, str]) -> str:
    """Say why a listener cannot be bound; empty when it is."""
    prefixes = tuple(bound_at(listener, address) for address in listener.addresses or (bind,))
    return next((error for mode, error in bind_errors.items() if mode.startswith(prefixes)), "")


def _refused(conditions: Iterable[Mapping[str, Any]], reason: str, message: str) -> list[dict[str, Any]]:
    return [
        {**condition, "status": "False", "reason": reason, "message": message}
        if condition["type"] == "Programmed"
        else dict(condition)
        for condition in conditions
    ]


def _holds(entry: Mapping[str, Any], kind: str) -> bool:
    return any(
        condition["type"] == kind and condition["status"] == "True" for condition in entry.get("conditions") or ()
    )


def _address(value: str) -> dict[str, str]:
    try:
        ip_address(value)
    except ValueError:
        return {"type": "Hostname", "value": value}
    return {"type": "IPAddress", "value": value}
