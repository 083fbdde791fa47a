"""References from routes to what they lead to: permitted, known, found, and with which endpoints.

Gateway API v1, `BackendObjectReference` and `ReferenceGrant`; an InferencePool is found under either of its groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..resources.endpoints import Resolution, backend_endpoints, pool_endpoints, service_endpoints
from ..resources.http_route import HTTPRoute
from ..resources.inference_pool import SchedulingProfile
from ..resources.inventory import Inventory
from ..resources.reference import GATEWAY_GROUP, BackendObjectReference
from .backend_tls import TlsPolicies
from .conditions import Finding
from .endpoint_pickers import endpoint_picker_of
from .models import PoolModels, read_models
from .table import Destination, DestinationKind, EndpointPicker

__all__ = ["POOL_GROUPS", "References", "Resolved"]

POOL_GROUPS = frozenset({"inference.networking.k8s.io", "inference.networking.x-k8s.io"})
"""The InferencePool's group before and after it left its experimental versions: one store."""

_H2C = "kubernetes.io/h2c"
_PROTOCOLS = {
    "": "http",
    "http": "http",
    "kubernetes.io/ws": "http",
    "gateway.envoyproxy.io/ws": "http",
    "gateway.envoyproxy.io/h2c": _H2C,
    _H2C: _H2C,
}
"""`appProtocol` values that are known, and how the upstream is spoken to."""

_UNSUPPORTED = {
    "Service": "ExternalName Services are not forwarded to, as the Gateway API advises",
    "Backend": "Unix sockets, dynamic resolvers and some settings of TLS are not supported by this version",
}
"""What `UnsupportedValue` means for each kind."""

_Key = tuple[DestinationKind, str, str, int | None]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a reference leads: a destination, or the finding why there is none."""

    ref: str
    """As `Destination.ref`, also for what does not exist."""
    destination: Destination | None
    finding: Finding | None = None


class References:
    """The references of one inventory. Each destination is resolved once, whoever refers to it."""

    def __init__(self, inventory: Inventory, *, external_pickers: bool = False) -> None:
        """With `external_pickers`, the pickers that InferencePools name are asked instead of our own."""
        self._inventory = inventory
        self._external_pickers = external_pickers
        self.tls = TlsPolicies(inventory)
        self.models: Mapping[tuple[str, str], PoolModels] = read_models(inventory)
        self._grants: dict[tuple[str, str, str], list[tuple[str, str, str, str | None]]] = {}
        for grant in inventory.reference_grants.values():
            for source in grant.spec.from_:
                targets = self._grants.setdefault((source.group, source.kind, source.namespace), [])
                targets += [(grant.metadata.namespace, to.group, to.kind, to.name) for to in grant.spec.to]
        self._resolved: dict[_Key, Resolved] = {}

    def permits(self, source: tuple[str, str, str], target: tuple[str, str, str, str]) -> bool:
        """Tell whether `source` (group, kind, namespace) may refer to `target` (group, kind, namespace, name)."""
        group, kind, namespace, name = target
        if source[2] == namespace:
            return True
        groups = POOL_GROUPS if group in POOL_GROUPS and kind == "InferencePool" else {group}
        return any(
            to_namespace == namespace and to_group in groups and to_kind == kind and to_name in (None, "", name)
            for to_namespace, to_group, to_kind, to_name in self._grants.get(source, ())
        )

    def backend(self, ref: BackendObjectReference, namespace: str) -> Resolved:
        """Resolve a backendRef, or a mirror's, of an HTTPRoute in `namespace`.

        Permission comes first, so that a condition does not tell what exists in a namespace that grants nothing.
        """
        target = ref.namespace or namespace
        kind = _kind_of(ref.group, ref.kind)
        if kind is None:
            title = f"{ref.kind} {target}/{ref.name}"
            group = ref.group or "core"
            known = "Service, InferencePool and Backend (gateway.envoyproxy.io) are"
            return Resolved(
                title, None, Finding("InvalidKind", f"kind {ref.kind} of group {group} is unknown; {known}")
            )
        port = ref.port if kind is DestinationKind.SERVICE else None
        if not self.permits((GATEWAY_GROUP, "HTTPRoute", namespace), (ref.group, ref.kind, target, ref.name)):
            title = Destination(kind, target, ref.name, port, ()).ref
            message = f"no ReferenceGrant in namespace {target} permits HTTPRoutes of {namespace} to refer to {title}"
            return Resolved(title, None, Finding("RefNotPermitted", message))
        key = (kind, target, ref.name, port)
        if key not in self._resolved:
            self._resolved[key] = self._resolve(*key)
        return self._resolved[key]

    def named_by(self, route: HTTPRoute) -> set[tuple[DestinationKind, str, str]]:
        """Return kind, namespace and name of all that a route leads or mirrors to, whether it exists or not."""
        refs: list[BackendObjectReference] = []
        for rule in route.spec.rules:
            filters = [*rule.filters, *(entry for ref in rule.backend_refs for entry in ref.filters)]
            refs += rule.backend_refs
            refs += [entry.request_mirror.backend_ref for entry in filters if entry.request_mirror is not None]
        return {
            (kind, ref.namespace or route.metadata.namespace, ref.name)
            for ref in refs
            if (kind := _kind_of(ref.group, ref.kind)) is not None
        }

    def _resolve(self, kind: DestinationKind, namespace: str, name: str, port: int | None) -> Resolved:
        ref = Destination(kind, namespace, name, port, ()).ref
        found = self._endpoints(kind, namespace, name, port)
        if not found.found:
            return Resolved(ref, None, Finding(_reason(found.reason), _message(ref, found.reason)))
        declared = self._app_protocol(kind, namespace, name, port)
        protocol = _PROTOCOLS.get(declared)
        if protocol is None:
            return Resolved(ref, None, Finding("UnsupportedProtocol", f"{ref}: protocol {declared} is not supported"))
        tls = self.tls.of(kind, namespace, name, self._port_names(kind, namespace, name, port))
        if isinstance(tls, Finding):
            return Resolved(ref, None, tls)
        models, picker = None, None
        if kind is DestinationKind.INFERENCE_POOL:
            models = self.models.get((namespace, name))
            if self._external_pickers:
                picker = endpoint_picker_of(self._inventory, self._inventory.inference_pools[namespace, name])
        profile = self._profile(kind, namespace, name, models, picker)
        destination = Destination(
            kind,
            namespace,
            name,
            port,
            found.addresses,
            app_protocol=protocol,
            profile=profile,
            picker=picker,
            tls=tls,
        )
        if models is not None:
            destination = replace(
                destination, models=models.models, closed_models=models.closed, objectives=models.objectives
            )
        return Resolved(ref, destination)

    def _profile(
        self, kind: DestinationKind, namespace: str, name: str, models: PoolModels | None, picker: EndpointPicker | None
    ) -> str:
        """Choose a pool's scheduling profile: its own word, else by the era that its models are of.

        Whom to turn away is for the picker outside to say, where there is one; what stands in for it only picks.
        """
        if picker is not None:
            return SchedulingProfile.LEAST_REQUEST
        pool = (
            self._inventory.inference_pools.get((namespace, name)) if kind is DestinationKind.INFERENCE_POOL else None
        )
        if pool is not None and pool.profile is not None:
            return pool.profile
        return SchedulingProfile.GAIE_V03 if models is not None and models.critical else SchedulingProfile.GAIE_V1

    def _endpoints(self, kind: DestinationKind, namespace: str, name: str, port: int | None) -> Resolution:
        if kind is DestinationKind.INFERENCE_POOL:
            return pool_endpoints(self._inventory, namespace, name)
        if kind is DestinationKind.BACKEND:
            return backend_endpoints(self._inventory, namespace, name)
        return service_endpoints(self._inventory, namespace, name, port)

    def _app_protocol(self, kind: DestinationKind, namespace: str, name: str, port: int | None) -> str:
        if kind is DestinationKind.INFERENCE_POOL:
            return self._inventory.inference_pools[namespace, name].spec.app_protocol
        if kind is DestinationKind.SERVICE:
            ports = self._inventory.services[namespace, name].spec.ports
            return next((entry.app_protocol or "" for entry in ports if entry.port == port), "")
        spec = self._inventory.backends[namespace, name].spec
        if spec.tls is not None and "h2" in spec.tls.alpn_protocols:
            return _H2C  # HTTP/2; that it is not in clear is for TLS to say
        return next(iter(spec.app_protocols), "")

    def _port_names(self, kind: DestinationKind, namespace: str, name: str, port: int | None) -> list[str]:
        if kind is not DestinationKind.SERVICE:
            return []
        ports = self._inventory.services[namespace, name].spec.ports
        return [entry.name for entry in ports if entry.port == port and entry.name]


def _kind_of(group: str, kind: str) -> DestinationKind | None:
    if (group, kind) == ("", "Service"):
        return DestinationKind.SERVICE
    if kind == "InferencePool" and group in POOL_GROUPS:
        return DestinationKind.INFERENCE_POOL
    if (group, kind) == ("gateway.envoyproxy.io", "Backend"):
        return DestinationKind.BACKEND
    return None


def _reason(reason: str) -> str:
    """Return the condition's reason; a missing port is a backend that is not found (`RouteReasonBackendNotFound`)."""
    return "BackendNotFound" if reason == "PortNotFound" else reason or "BackendNotFound"


def _message(ref: str, reason: str) -> str:
    if reason == "PortNotFound":
        return f"{ref}: the Service has no such port"
    if reason in ("", "BackendNotFound"):
        return f"{ref} does not exist"
    return f"{ref} is not supported: {_UNSUPPORTED.get(ref.partition(' ')[0], reason)}"
