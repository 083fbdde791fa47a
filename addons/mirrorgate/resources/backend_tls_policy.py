"""BackendTLSPolicy (`gateway.networking.k8s.io/v1`): how a Gateway speaks TLS with a Service's servers.

Shape and rules are those of the Gateway API's `backendtlspolicy_types.go` (v1.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from .objects import Resource
from .reference import LocalObjectReference, LocalPolicyTargetReferenceWithSectionName
from .scalars import Hostname, PreciseHostname
from .shapes import CheckedShape, Fault, Items

__all__ = ["BackendTLSPolicy", "BackendTLSPolicySpec", "BackendTLSPolicyValidation", "SubjectAltName"]


class SubjectAltName(CheckedShape):
    type: Literal["Hostname", "URI"]
    hostname: Hostname | None = None
    uri: str | None = Field(default=None, min_length=1, max_length=253)

    def faults(self) -> Iterable[Fault]:
        if (self.type == "Hostname") != (self.hostname is not None):
            yield Fault(("hostname",), "must be given if, and only if, type is Hostname")
        if (self.type == "URI") != (self.uri is not None):
            yield Fault(("uri",), "must be given if, and only if, type is URI")


class BackendTLSPolicyValidation(CheckedShape):
    """Whom to believe: exactly one of the two sources of authorities."""

    ca_certificate_refs: Annotated[Items[LocalObjectReference], Field(max_length=8)] = ()
    well_known_ca_certificates: str | None = Field(default=None, alias="wellKnownCACertificates")
    hostname: PreciseHostname
    subject_alt_names: Annotated[Items[SubjectAltName], Field(max_length=5)] = ()

    def faults(self) -> Iterable[Fault]:
        well_known = bool(self.well_known_ca_certificates)
        if self.ca_certificate_refs and well_known:
            yield Fault((), "must not contain both caCertificateRefs and wellKnownCACertificates")
        if not self.ca_certificate_refs and not well_known:
            yield Fault((), "must specify either caCertificateRefs or wellKnownCACertificates")


class BackendTLSPolicySpec(CheckedShape):
    target_refs: Items[LocalPolicyTargetReferenceWithSectionName] = Field(min_length=1, max_length=16)
    validation: BackendTLSPolicyValidation
    options: dict[str, str] = Field(default_factory=dict)

    def faults(self) -> Iterable[Fault]:
        seen: set[tuple[str, str, str, str | None]] = set()
        for index, ref in enumerate(self.target_refs):
            key = (ref.group, ref.kind, ref.name, ref.section_name)
            if key in seen:
                yield Fault(("targetRefs", index), "is the same as another one; sectionName must be unique")
            seen.add(key)


class BackendTLSPolicy(Resource):
    spec: BackendTLSPolicySpec
