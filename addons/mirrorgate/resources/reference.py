"""How objects name each other: parents, backends, secrets, targets of policies."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from .scalars import Group, KindName, NamespaceName, ObjectName, Port, SectionName
from .shapes import CheckedShape, Fault, Shape

__all__ = [
    "GATEWAY_GROUP",
    "BackendObjectReference",
    "LocalObjectReference",
    "LocalPolicyTargetReference",
    "LocalPolicyTargetReferenceWithSectionName",
    "ObjectReference",
    "ParametersReference",
    "ParentReference",
    "SecretObjectReference",
]

GATEWAY_GROUP = "gateway.networking.k8s.io"


class ParentReference(Shape):
    """What a route attaches to, usually a Gateway (GW `shared_types.go`, `ParentReference`)."""

    group: Group = GATEWAY_GROUP
    kind: KindName = "Gateway"
    namespace: NamespaceName | None = None
    """`None`: the namespace of the route."""
    name: ObjectName
    section_name: SectionName | None = None
    port: Port | None = None


class BackendObjectReference(CheckedShape):
    """Where requests go: a Service by default, an InferencePool or a Backend by group and kind."""

    group: Group = ""
    kind: KindName = "Service"
    name: ObjectName
    namespace: NamespaceName | None = None
    """`None`: the namespace of the object that refers."""
    port: Port | None = None
    """The Service's own port, not its targetPort. An InferencePool ignores it."""

    def faults(self) -> Iterable[Fault]:
        if self.group == "" and self.kind == "Service" and self.port is None:
            yield Fault((), "must have a port when it refers to a Service", "add port: the Service's port")


class SecretObjectReference(Shape):
    group: Group = ""
    kind: KindName = "Secret"
    name: ObjectName
    namespace: NamespaceName | None = None


class LocalObjectReference(Shape):
    """An object of the same namespace."""

    group: Group
    kind: KindName
    name: ObjectName


class ObjectReference(LocalObjectReference):
    namespace: NamespaceName | None = None


class ParametersReference(ObjectReference):
    """What configures the implementation behind a GatewayClass."""


class LocalPolicyTargetReference(Shape):
    """What a policy applies to, in the policy's own namespace."""

    group: Group
    kind: KindName
    name: ObjectName


class LocalPolicyTargetReferenceWithSectionName(LocalPolicyTargetReference):
    section_name: SectionName | None = Field(default=None)
    """A listener of a Gateway or a named rule of a route; `None` for the whole object."""
