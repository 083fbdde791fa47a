"""ReferenceGrant: who may refer across namespaces (GW `apis/v1/referencegrant_types.go`)."""

from __future__ import annotations

from pydantic import Field

from .objects import Resource
from .scalars import Group, KindName, NamespaceName, ObjectName
from .shapes import Items, Shape

__all__ = ["ReferenceGrant", "ReferenceGrantFrom", "ReferenceGrantSpec", "ReferenceGrantTo"]


class ReferenceGrantFrom(Shape):
    group: Group
    kind: KindName
    namespace: NamespaceName


class ReferenceGrantTo(Shape):
    group: Group
    kind: KindName
    name: ObjectName | None = None
    """`None`: every object of the kind in the grant's namespace."""


class ReferenceGrantSpec(Shape):
    from_: Items[ReferenceGrantFrom] = Field(alias="from", min_length=1, max_length=16)
    to: Items[ReferenceGrantTo] = Field(min_length=1, max_length=16)


class ReferenceGrant(Resource):
    spec: ReferenceGrantSpec
