"""GatewayClass and Gateway (GW `apis/v1/gatewayclass_types.go`, `gateway_types.go`)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .objects import LabelSelector, Resource
from .reference import GATEWAY_GROUP, LocalObjectReference, ObjectReference, ParametersReference, SecretObjectReference
from .scalars import Group, Hostname, KindName, LabelValue, ObjectName, Port, SectionName
from .shapes import CheckedShape, Fault, Items, Shape, repeated

__all__ = [
    "AllowedListeners",
    "AllowedRoutes",
    "Gateway",
    "GatewayAddress",
    "GatewayClass",
    "GatewayClassSpec",
    "GatewayInfrastructure",
    "GatewaySpec",
    "GatewayTls",
    "Listener",
    "ListenerTls",
    "RouteGroupKind",
    "RouteNamespaces",
]

_ADDRESS_TYPE = (
    r"^(Hostname|IPAddress|NamedAddress|"
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+)$"
)
_CONTROLLER = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$"
_PROTOCOL = (
    r"^([a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?|"
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9]+)$"
)


class GatewayClassSpec(Shape):
    controller_name: str = Field(min_length=1, max_length=253, pattern=_CONTROLLER)
    parameters_ref: ParametersReference | None = None
    description: str | None = Field(default=None, max_length=64)


class GatewayClass(Resource):
    cluster_scoped: ClassVar[bool] = True

    spec: GatewayClassSpec


class RouteGroupKind(Shape):
    group: Group = GATEWAY_GROUP
    kind: KindName


class RouteNamespaces(Shape):
    from_: Literal["All", "Selector", "Same"] = Field(default="Same", alias="from")
    selector: LabelSelector | None = None
    """Used when `from` is `Selector` only."""


class AllowedRoutes(Shape):
    """Which routes may attach to a listener."""

    namespaces: RouteNamespaces = RouteNamespaces()
    kinds: Items[RouteGroupKind] = Field(default=(), max_length=8)
    """Empty: the kinds that fit the listener's protocol."""


class ListenerTls(CheckedShape):
    mode: Literal["Terminate", "Passthrough"] = "Terminate"
    certificate_refs: Items[SecretObjectReference] = Field(default=(), max_length=64)
    options: dict[str, Annotated[str, Field(max_length=4096)]] = Field(default_factory=dict, max_length=16)

    def faults(self) -> Iterable[Fault]:
        if self.mode == "Terminate" and not self.certificate_refs and not self.options:
            yield Fault((), "certificateRefs or options must be specified when mode is Terminate")


class Listener(CheckedShape):
    name: SectionName
    hostname: Hostname | None = None
    """`None`: every host."""
    port: Port
    protocol: str = Field(min_length=1, max_length=255, pattern=_PROTOCOL)
    tls: ListenerTls | None = None
    allowed_routes: AllowedRoutes = AllowedRoutes()

    def faults(self) -> Iterable[Fault]:
        if self.tls is not None and self.protocol in ("HTTP", "TCP", "UDP"):
            yield Fault(("tls",), f"tls must not be specified for protocol {self.protocol}")
        if self.tls is not None and self.protocol == "HTTPS" and self.tls.mode != "Terminate":
            yield Fault(("tls", "mode"), "tls mode must be Terminate for protocol HTTPS")
        if self.protocol == "TLS" and self.tls is None:
            yield Fault(("tls",), "tls mode must be set for protocol TLS")
        if self.hostname is not None and self.protocol in ("TCP", "UDP"):
            yield Fault(("hostname",), f"hostname must not be specified for protocol {self.protocol}")


class GatewayAddress(CheckedShape):
    type: str = Field(default="IPAddress", min_length=1, max_length=253, pattern=_ADDRESS_TYPE)
    value: str | None = Field(default=None, max_length=253)

    def faults(self) -> Iterable[Fault]:
        if self.type == "IPAddress" and self.value:
            try:
                ipaddress.ip_address(self.value)
            except ValueError:
                yield Fault(("value",), "must be an IPv4 or IPv6 address when the type is IPAddress")


class GatewayInfrastructure(Shape):
    labels: dict[str, LabelValue] = Field(default_factory=dict, max_length=8)
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(default_factory=dict, max_length=16)
    parameters_ref: LocalObjectReference | None = None


class _FromNone(Shape):
    from_: Literal["All", "Selector", "Same", "None"] = Field(default="None", alias="from")
    selector: LabelSelector | None = None


class AllowedListeners(Shape):
    """Which ListenerSets may attach; none by default."""

    namespaces: _FromNone = _FromNone()


class FrontendValidation(Shape):
    ca_certificate_refs: Items[ObjectReference] = Field(min_length=1, max_length=16)
    mode: Literal["AllowValidOnly", "AllowInsecureFallback"] = "AllowValidOnly"


class FrontendTlsConfig(Shape):
    validation: FrontendValidation | None = None


class FrontendTlsPort(Shape):
    port: Port
    tls: FrontendTlsConfig


class FrontendTls(CheckedShape):
    """How clients' certificates are checked."""

    default: FrontendTlsConfig
    per_port: Items[FrontendTlsPort] = Field(default=(), max_length=64)

    def faults(self) -> Iterable[Fault]:
        ports = [str(entry.port) for entry in self.per_port]
        return repeated("perPort", ports, "Port for TLS configuration must be unique within the Gateway", "port")


class BackendClientTls(Shape):
    client_certificate_ref: SecretObjectReference | None = None


class GatewayTls(Shape):
    backend: BackendClientTls | None = None
    frontend: FrontendTls | None = None


class GatewaySpec(CheckedShape):
    gateway_class_name: ObjectName
    listeners: Items[Listener] = Field(min_length=1, max_length=64)
    addresses: Items[GatewayAddress] = Field(default=(), max_length=16)
    infrastructure: GatewayInfrastructure | None = None
    allowed_listeners: AllowedListeners | None = None
    tls: GatewayTls | None = None
    default_scope: Literal["All", "None"] | None = None

    def faults(self) -> Iterable[Fault]:
        yield from repeated(
            "listeners", [entry.name for entry in self.listeners], "Listener name must be unique within the Gateway"
        )
        seen: dict[tuple[int, str, str], int] = {}
        for index, entry in enumerate(self.listeners):
            first = seen.setdefault((entry.port, entry.protocol, entry.hostname or ""), index)
            if first != index:
                yield Fault(
                    ("listeners", index),
                    "Combination of port, protocol and hostname must be unique for each listener: "
                    f"it is that of listeners[{first}] already",
                )
        for kind in ("IPAddress", "Hostname"):
            values: set[str] = set()
            for index, address in enumerate(self.addresses):
                if address.type == kind and address.value:
                    if address.value in values:
                        yield Fault(("addresses", index, "value"), f"{kind} values must be unique")
                    values.add(address.value)


class Gateway(Resource):
    spec: GatewaySpec
