"""Service (core/v1) and EndpointSlice (discovery.k8s.io/v1), as far as endpoints need them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Literal

from pydantic import Field

from .objects import LooseResource
from .scalars import IntOrString, Port
from .shapes import CheckedShape, Fault, Items, LooseShape

__all__ = [
    "Endpoint",
    "EndpointConditions",
    "EndpointPort",
    "EndpointSlice",
    "Service",
    "ServicePort",
    "ServiceSpec",
    "TargetReference",
]


class ServicePort(LooseShape):
    name: str = ""
    protocol: str = "TCP"
    port: Port
    target_port: IntOrString | None = None
    """A number, the name of a container's port, or `None` for the Service's own port."""
    app_protocol: str | None = None


class ServiceSpec(LooseShape):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    selector: dict[str, str] = Field(default_factory=dict)
    """Empty: the endpoints come from EndpointSlices that somebody else writes."""
    ports: Items[ServicePort] = ()
    cluster_ip: str | None = Field(default=None, alias="clusterIP")
    """`None` written out means headless."""
    external_name: str | None = None
    publish_not_ready_addresses: bool = False


class Service(LooseResource):
    spec: ServiceSpec = ServiceSpec()


class EndpointConditions(LooseShape):
    """`None` is unknown, which for `ready` and `serving` reads as true, for `terminating` as false."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetReference(LooseShape):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class Endpoint(LooseShape):
    addresses: Items[str] = Field(min_length=1, max_length=100)
    conditions: EndpointConditions = EndpointConditions()
    hostname: str | None = None
    target_ref: TargetReference | None = None


class EndpointPort(LooseShape):
    name: str = ""
    port: Port | None = None
    """`None`: every port."""
    protocol: str = "TCP"
    app_protocol: str | None = None


class EndpointSlice(CheckedShape, LooseResource):
    """Some endpoints of a Service, which its label `kubernetes.io/service-name` names."""

    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: Items[Endpoint] = ()
    ports: Items[EndpointPort] = ()

    def faults(self) -> Iterable[Fault]:
        for index, endpoint in enumerate(self.endpoints):
            for number, address in enumerate(endpoint.addresses):
                if self.address_type != "FQDN" and _version(address) != self.address_type:
                    yield Fault(("endpoints", index, "addresses", number), f"must be an {self.address_type} address")

    @property
    def service(self) -> str:
        return self.metadata.labels.get("kubernetes.io/service-name", "")


def _version(address: str) -> str:
    try:
        return f"IPv{ip_address(address).version}"
    except ValueError:
        return ""
