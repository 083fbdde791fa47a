"""InferencePool, v1 of `inference.networking.k8s.io` and v1alpha2 of `inference.networking.x-k8s.io`.

Both are kept in the shape of v1 (IE `api/v1/inferencepool_types.go`); `api_version` tells which one was declared.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from .objects import Resource
from .scalars import Group, KindName, ObjectName, Port
from .shapes import CheckedShape, Fault, Items, Shape

__all__ = [
    "INFERENCE_GROUP",
    "INFERENCE_X_GROUP",
    "PROFILE_ANNOTATION",
    "EndpointPickerRef",
    "InferencePool",
    "InferencePoolSpec",
    "InferencePoolV1Alpha2",
    "PoolSelector",
    "SchedulingProfile",
    "TargetPort",
]

INFERENCE_GROUP = "inference.networking.k8s.io"
INFERENCE_X_GROUP = "inference.networking.x-k8s.io"

PROFILE_ANNOTATION = "mirrorgate.dev/scheduling-profile"


class SchedulingProfile(enum.StrEnum):
    """How a pool's endpoints are picked, as its annotation `mirrorgate.dev/scheduling-profile` names it."""

    GAIE_V1 = "gaie-v1"
    """Scorers for queue, KV cache, prefix cache and LoRA adapters; negative priorities are shed."""
    GAIE_V03 = "gaie-v0.3"
    """The filter tree of v0.1 to v0.3; all but critical requests are shed."""
    LEAST_REQUEST = "least-request"
    ROUND_ROBIN = "round-robin"
    RANDOM = "random"


class TargetPort(Shape):
    number: Port


class PoolSelector(Shape):
    match_labels: dict[str, str] = Field(min_length=1, max_length=64)


class EndpointPickerRef(CheckedShape):
    """The picker that a cluster runs for the pool; ours stands in for it unless it is asked for."""

    group: Group = ""
    kind: KindName = "Service"
    name: ObjectName
    port: TargetPort | None = None
    failure_mode: Literal["FailOpen", "FailClose"] = "FailClose"

    def faults(self) -> Iterable[Fault]:
        if self.kind == "Service" and self.port is None:
            yield Fault((), "port is required when kind is 'Service' or unspecified (defaults to 'Service')")


class InferencePoolSpec(CheckedShape):
    selector: PoolSelector
    target_ports: Items[TargetPort] = Field(min_length=1, max_length=8)
    """Each is an endpoint of its own at every Pod."""
    app_protocol: Literal["http", "kubernetes.io/h2c"] = "http"
    endpoint_picker_ref: EndpointPickerRef | None = None

    def faults(self) -> Iterable[Fault]:
        seen: set[int] = set()
        for index, port in enumerate(self.target_ports):
            if port.number in seen:
                yield Fault(("targetPorts", index, "number"), "port number must be unique")
            seen.add(port.number)


class InferencePool(Resource):
    spec: InferencePoolSpec

    @property
    def profile(self) -> SchedulingProfile | None:
        """The profile that the annotation names, `None` without one or with one that is unknown."""
        try:
            return SchedulingProfile(self.metadata.annotations.get(PROFILE_ANNOTATION, ""))
        except ValueError:
            return None


class _ExtensionRef(Shape):
    group: Group = ""
    kind: KindName = "Service"
    name: ObjectName
    port_number: Port | None = None
    failure_mode: Literal["FailOpen", "FailClose"] = "FailClose"


class _SpecV1Alpha2(Shape):
    selector: dict[str, str] = Field(min_length=1, max_length=64)
    target_port_number: Port
    extension_ref: _ExtensionRef


class InferencePoolV1Alpha2(Resource):
    """The declared shape of v1alpha2 (IE v0.3.0 `api/v1alpha2/inferencepool_types.go`)."""

    spec: _SpecV1Alpha2

    def to_v1(self) -> InferencePool:
        """Convert the shape as IE's `apix/v1alpha2/inferencepool_conversion.go` does; a Service's port is 9002."""
        declared = self.spec.extension_ref
        port = declared.port_number or (9002 if declared.kind == "Service" else None)
        pool = InferencePool(
            api_version=self.api_version,
            kind=self.kind,
            metadata=self.metadata,
            spec=InferencePoolSpec(
                selector=PoolSelector(match_labels=self.spec.selector),
                target_ports=(TargetPort(number=self.spec.target_port_number),),
                endpoint_picker_ref=EndpointPickerRef(
                    group=declared.group,
                    kind=declared.kind,
                    name=declared.name,
                    port=None if port is None else TargetPort(number=port),
                    failure_mode=declared.failure_mode,
                ),
            ),
        )
        pool.placed(self.place)
        return pool
