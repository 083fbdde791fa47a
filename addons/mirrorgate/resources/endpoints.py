"""The endpoints behind a Service, an InferencePool or a Backend, as far as objects alone tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from .backend import IpEndpoint
from .inventory import Inventory
from .pod import Pod
from .service import Endpoint, EndpointSlice, ServicePort

__all__ = ["Address", "Resolution", "backend_endpoints", "pool_endpoints", "service_endpoints"]


@dataclass(frozen=True, slots=True)
class Address:
    """One endpoint: a host (IP address or name) and a port, with the Pod behind it where one is known."""

    host: str
    port: int
    name: str = ""
    """`namespace/name` of the Pod, or the object that names the endpoint."""
    labels: tuple[tuple[str, str], ...] = ()
    _written: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        object.__setattr__(self, "_written", f"{host}:{self.port}")

    def __str__(self) -> str:
        return self._written


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a reference leads to.

    A reference that leads nowhere has a reason of the Gateway API (`BackendNotFound`, `UnsupportedValue`), or
    `PortNotFound` for a Service without that port. One that leads to an object without ready endpoints is found, has
    no addresses, and a reason only where the object itself is at fault.
    """

    addresses: tuple[Address, ...]
    found: bool
    reason: str = ""


_NOT_FOUND = Resolution((), False, "BackendNotFound")
_NO_PORT = Resolution((), False, "PortNotFound")
_UNSUPPORTED = Resolution((), False, "UnsupportedValue")


def service_endpoints(inventory: Inventory, namespace: str, name: str, port: int | None) -> Resolution:
    """Return the ready endpoints of one port of a Service.

    EndpointSlices that carry the Service's name win; else the Pods that its selector matches count, as the
    controller of a cluster would have it. An ExternalName Service is not supported, as the Gateway API advises.
    """
    service = inventory.services.get((namespace, name))
    if service is None:
        return _NOT_FOUND
    if service.spec.type == "ExternalName":
        return _UNSUPPORTED
    declared = next((entry for entry in service.spec.ports if entry.port == port and entry.protocol == "TCP"), None)
    if declared is None:
        return _NO_PORT
    slices = inventory.slices_of(namespace, name)
    if slices:
        return Resolution(_unique(_sliced(inventory, slices, declared)), True)
    if not service.spec.selector:
        return Resolution((), True)
    pods = _selected(inventory, namespace, service.spec.selector, service.spec.publish_not_ready_addresses)
    return Resolution(_unique(_addresses(pod, _service_port(pod, declared)) for pod in pods), True)


def pool_endpoints(inventory: Inventory, namespace: str, name: str) -> Resolution:
    """Return the ready endpoints of an InferencePool: each target port of each selected Pod is one (IE v1).

    A Pod's annotation `mirrorgate.dev/target-port` stands for all of its ports.
    """
    pool = inventory.inference_pools.get((namespace, name))
    if pool is None:
        return _NOT_FOUND
    pods = _selected(inventory, namespace, pool.spec.selector.match_labels)
    declared = [entry.number for entry in pool.spec.target_ports]
    return Resolution(_unique(_addresses(pod, *declared) for pod in pods), True)


def backend_endpoints(inventory: Inventory, namespace: str, name: str) -> Resolution:
    """Return the endpoints of a Backend, ready by definition.

    Unix sockets, resolvers and some settings of TLS are not supported; what was meant to be safer is not sent anyway.
    """
    backend = inventory.backends.get((namespace, name))
    if backend is None:
        return _NOT_FOUND
    if backend.spec.type != "Endpoints" or (backend.spec.tls is not None and backend.spec.tls.unsupported):
        return _UNSUPPORTED
    title = f"{namespace}/{name}"
    addresses: list[Address] = []
    for entry in backend.spec.endpoints:
        server = entry.ip or entry.fqdn
        if server is None:
            return _UNSUPPORTED
        host = server.address if isinstance(server, IpEndpoint) else server.hostname.rstrip(".")
        addresses.append(Address(host, server.port, title))
    return Resolution(_unique([addresses]), True)


def _selected(inventory: Inventory, namespace: str, selector: dict[str, str], unready: bool = False) -> Iterator[Pod]:
    for pod in inventory.pods_labelled(namespace, selector):
        if pod.ready or (unready and pod.status.pod_ip is not None):
            yield pod


def _service_port(pod: Pod, declared: ServicePort) -> int | None:
    target = declared.target_port
    if isinstance(target, str):
        return pod.port_named(target)
    return declared.port if target is None else target


def _addresses(pod: Pod, *ports: int | None) -> Iterator[Address]:
    labels = tuple(sorted(pod.metadata.labels.items()))
    title = f"{pod.metadata.namespace}/{pod.metadata.name}"
    for port in (pod.target_port,) if pod.target_port is not None else ports:
        if port is not None and pod.status.pod_ip is not None:
            yield Address(pod.status.pod_ip, port, title, labels)


def _sliced(inventory: Inventory, slices: list[EndpointSlice], declared: ServicePort) -> Iterator[Iterator[Address]]:
    """Yield the addresses of ready endpoints; of those that still serve while they end, when none is ready.

    That fallback is Kubernetes' (KEP-1669), so that the last endpoints of a rollout finish their work.
    """
    listed = [(entry, endpoint) for entry in slices for endpoint in entry.endpoints]
    ready = [pair for pair in listed if pair[1].conditions.ready is not False]
    ending = [pair for pair in listed if pair[1].conditions.terminating and pair[1].conditions.serving is not False]
    for entry, endpoint in ready or ending:
        yield _endpoint_addresses(inventory, entry, endpoint, declared)


def _endpoint_addresses(
    inventory: Inventory, entry: EndpointSlice, endpoint: Endpoint, declared: ServicePort
) -> Iterator[Address]:
    namespace = entry.metadata.namespace
    target = endpoint.target_ref
    pod = inventory.pods.get((namespace, target.name)) if target is not None and target.kind == "Pod" else None
    title = f"{namespace}/{target.name if target is not None and target.name else entry.metadata.name}"
    labels = () if pod is None else tuple(sorted(pod.metadata.labels.items()))
    # The addresses of one endpoint are interchangeable; consumers take the first (EndpointSlice v1).
    host = endpoint.addresses[0]
    if entry.address_type != "FQDN":
        host = str(ip_address(host))
    for port in entry.ports:
        if port.name == declared.name and port.protocol == "TCP":
            number = port.port if port.port is not None else declared.target_port or declared.port
            if pod is not None and pod.target_port is not None:
                number = pod.target_port
            if isinstance(number, int):
                yield Address(host, number, title, labels)


def _unique(groups: Iterable[Iterable[Address]]) -> tuple[Address, ...]:
    found: dict[tuple[str, int], Address] = {}
    for group in groups:
        for address in group:
            found.setdefault((address.host, address.port), address)
    return tuple(found.values())
