"""Pod (core/v1): its labels, address, named ports and readiness. In files a Pod stands for one endpoint."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from .objects import LooseResource
from .scalars import IPText, Port
from .shapes import CheckedShape, Fault, Items, LooseShape

__all__ = ["TARGET_PORT_ANNOTATION", "Container", "ContainerPort", "Pod", "PodCondition", "PodSpec", "PodStatus"]

TARGET_PORT_ANNOTATION = "mirrorgate.dev/target-port"
"""Overrides the port that a Service or an InferencePool gives, so that several Pods can share one host."""


class ContainerPort(LooseShape):
    name: str = ""
    container_port: Port
    protocol: str = "TCP"


class Container(LooseShape):
    name: str = ""
    ports: Items[ContainerPort] = ()
    restart_policy: str | None = None
    """`Always` on an init container makes it a sidecar."""


class PodSpec(LooseShape):
    containers: Items[Container] = ()
    init_containers: Items[Container] = ()


class PodCondition(LooseShape):
    type: str
    status: str


class PodIP(LooseShape):
    ip: IPText


class PodStatus(LooseShape):
    phase: str | None = None
    pod_ip: IPText | None = Field(default=None, alias="podIP")
    pod_ips: Items[PodIP] = Field(default=(), alias="podIPs")
    conditions: Items[PodCondition] = ()


class Pod(CheckedShape, LooseResource):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def faults(self) -> Iterable[Fault]:
        if TARGET_PORT_ANNOTATION in self.metadata.annotations and self.target_port is None:
            yield Fault(("metadata", "annotations", TARGET_PORT_ANNOTATION), "must be a port, from 1 to 65535")

    @property
    def ready(self) -> bool:
        """Whether requests may be sent to it: it has an address, does not end, and its Ready condition is true.

        A Pod with no conditions at all was written by hand and counts as ready.
        """
        if self.status.pod_ip is None or self.metadata.deletion_timestamp is not None:
            return False
        if self.status.phase in ("Succeeded", "Failed"):
            return False
        if not self.status.conditions:
            return True
        return any(condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions)

    @property
    def target_port(self) -> int | None:
        """The port of the annotation `mirrorgate.dev/target-port`; `None` when there is none or it is no port."""
        text = self.metadata.annotations.get(TARGET_PORT_ANNOTATION, "")
        port = int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0
        return port if 1 <= port <= 65535 else None

    def port_named(self, name: str) -> int | None:
        """Return the number of the container port of that name; `None` when no container has it."""
        sidecars = tuple(entry for entry in self.spec.init_containers if entry.restart_policy == "Always")
        for container in self.spec.containers + sidecars:
            for port in container.ports:
                if port.name == name and port.protocol == "TCP":
                    return port.container_port
        return None
