"""Backend and EnvoyProxy of Envoy Gateway (`gateway.envoyproxy.io/v1alpha1`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from .objects import LooseResource, Resource
from .reference import LocalObjectReference, SecretObjectReference
from .scalars import IPText, PreciseHostname
from .shapes import CheckedShape, Fault, Items, Shape

__all__ = [
    "Backend",
    "BackendEndpoint",
    "BackendSpec",
    "BackendTls",
    "EnvoyProxy",
    "FqdnEndpoint",
    "IpEndpoint",
    "UnixEndpoint",
    "unsupported_fields",
]

_FQDN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\.?$"
_Port = Annotated[int, Field(ge=1, le=65535)]


class IpEndpoint(Shape):
    address: IPText
    port: _Port


class FqdnEndpoint(Shape):
    hostname: str = Field(min_length=1, max_length=253, pattern=_FQDN)
    port: _Port


class UnixEndpoint(Shape):
    path: str = Field(min_length=1, max_length=108)


class BackendEndpoint(CheckedShape):
    """One server: exactly one of ip, fqdn and unix."""

    ip: IpEndpoint | None = None
    fqdn: FqdnEndpoint | None = None
    unix: UnixEndpoint | None = None
    hostname: PreciseHostname | None = None
    zone: str | None = None

    def faults(self) -> Iterable[Fault]:
        given = sum(kind is not None for kind in (self.ip, self.fqdn, self.unix))
        if given == 0:
            yield Fault((), "one of fqdn, ip or unix must be specified")
        if given > 1:
            yield Fault((), "only one of fqdn, ip or unix can be specified")


_TlsVersion = Literal["Auto", "1.0", "1.1", "1.2", "1.3"]


class BackendTls(CheckedShape):
    """TLS towards the backend (Envoy Gateway `api/v1alpha1/backend_types.go`, `BackendTLSSettings`)."""

    ca_certificate_refs: Annotated[Items[LocalObjectReference], Field(max_length=8)] = ()
    well_known_ca_certificates: Literal["System"] | None = Field(default=None, alias="wellKnownCACertificates")
    insecure_skip_verify: bool = False
    sni: PreciseHostname | None = None
    """What is asked for and what the certificate must be for; `None` is the endpoint's own host."""
    min_version: _TlsVersion = "Auto"
    max_version: _TlsVersion = "Auto"
    alpn_protocols: Items[str] = ()
    client_certificate_ref: SecretObjectReference | None = None
    ciphers: Items[str] = ()
    ecdh_curves: Annotated[Items[str], Field(alias="ecdhCurves")] = ()
    signature_algorithms: Items[str] = ()

    def faults(self) -> Iterable[Fault]:
        if self.ca_certificate_refs and self.well_known_ca_certificates:
            yield Fault((), "must not contain both caCertificateRefs and wellKnownCACertificates")
        if not (self.ca_certificate_refs or self.well_known_ca_certificates or self.insecure_skip_verify):
            message = "must specify caCertificateRefs, wellKnownCACertificates or insecureSkipVerify"
            yield Fault((), message, "what was meant to be checked is not taken on trust")

    @property
    def unsupported(self) -> list[str]:
        """The fields that are set and that cannot be honoured; the backend is then not spoken to at all."""
        given = {
            "clientCertificateRef": self.client_certificate_ref is not None,
            "ciphers": bool(self.ciphers),
            "ecdhCurves": bool(self.ecdh_curves),
            "signatureAlgorithms": bool(self.signature_algorithms),
            "maxVersion": self.max_version in ("1.0", "1.1"),
            "alpnProtocols": bool(set(self.alpn_protocols) - {"h2", "http/1.1"}),
        }
        return [name for name, is_set in given.items() if is_set]


class BackendSpec(CheckedShape):
    type: Literal["Endpoints", "DynamicResolver"] = "Endpoints"
    endpoints: Annotated[Items[BackendEndpoint], Field(max_length=256)] = ()
    app_protocols: Items[
        Literal["gateway.envoyproxy.io/h2c", "gateway.envoyproxy.io/ws", "gateway.envoyproxy.io/wss"]
    ] = ()
    fallback: bool | None = None
    tls: BackendTls | None = None

    def faults(self) -> Iterable[Fault]:
        if self.type == "DynamicResolver" and self.endpoints:
            yield Fault(("endpoints",), "DynamicResolver type cannot have endpoints specified")
        kinds = {endpoint.fqdn is not None for endpoint in self.endpoints}
        if len(kinds) > 1:
            yield Fault(("endpoints",), "fqdn addresses cannot be mixed with other address types")


class Backend(Resource):
    spec: BackendSpec


def unsupported_fields(backend: Backend) -> list[str]:
    """Return the paths of the fields that a Backend sets and this version does not honour."""
    spec = backend.spec
    paths = ["spec.fallback"] if spec.fallback else []
    paths += [] if spec.tls is None else [f"spec.tls.{name}" for name in spec.tls.unsupported]
    paths += [f"spec.endpoints[{index}].unix" for index, entry in enumerate(spec.endpoints) if entry.unix is not None]
    return paths if spec.type == "Endpoints" else [*paths, "spec.type"]


class EnvoyProxy(LooseResource):
    """What configures a managed Envoy. Known so that a Gateway may refer to it; nothing in it is used."""

    spec: dict[str, object] = Field(default_factory=dict)
