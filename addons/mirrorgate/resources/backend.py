"""Backend and EnvoyProxy of Envoy Gateway (`gateway.envoyproxy.io/v1alpha1`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .objects import LooseResource, Resource
from .scalars import IPText, PreciseHostname
from .shapes import CheckedShape, Fault, Items, LooseShape, Shape

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


class BackendTls(LooseShape):
    """TLS towards the backend, which this version does not speak: only its presence matters."""

    model_config = ConfigDict(extra="allow")


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
    paths = [
        f"spec.{alias}"
        for alias, given in (
            ("tls", spec.tls is not None),
            ("fallback", bool(spec.fallback)),
        )
        if given
    ]
    paths += [f"spec.endpoints[{index}].unix" for index, entry in enumerate(spec.endpoints) if entry.unix is not None]
    return paths if spec.type == "Endpoints" else [*paths, "spec.type"]


class EnvoyProxy(LooseResource):
    """What configures a managed Envoy. Known so that a Gateway may refer to it; nothing in it is used."""

    spec: dict[str, object] = Field(default_factory=dict)
