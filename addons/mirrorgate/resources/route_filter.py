"""The filters of an HTTPRoute (GW `apis/v1/httproute_types.go`, `HTTPRouteFilter` and what it holds)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from .reference import BackendObjectReference, LocalObjectReference
from .scalars import HeaderName, HeaderValue, Port, PreciseHostname
from .shapes import CheckedShape, Fault, Items, Shape, repeated

__all__ = [
    "MEMBERS",
    "CORSFilter",
    "ExternalAuthFilter",
    "FilterType",
    "Fraction",
    "HTTPHeader",
    "HTTPRouteFilter",
    "HeaderFilter",
    "PathModifier",
    "RequestMirrorFilter",
    "RequestRedirectFilter",
    "URLRewriteFilter",
    "filter_faults",
]

type FilterType = Literal[
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
    "RequestRedirect",
    "URLRewrite",
    "ExtensionRef",
    "CORS",
    "ExternalAuth",
]

MEMBERS = {
    "RequestHeaderModifier": ("requestHeaderModifier", "request_header_modifier"),
    "ResponseHeaderModifier": ("responseHeaderModifier", "response_header_modifier"),
    "RequestMirror": ("requestMirror", "request_mirror"),
    "RequestRedirect": ("requestRedirect", "request_redirect"),
    "URLRewrite": ("urlRewrite", "url_rewrite"),
    "ExtensionRef": ("extensionRef", "extension_ref"),
    "CORS": ("cors", "cors"),
    "ExternalAuth": ("externalAuth", "external_auth"),
}
"""The field that belongs to each type of filter, as manifests and as Python name it."""


class HTTPHeader(Shape):
    name: HeaderName
    value: HeaderValue


class HeaderFilter(CheckedShape):
    """Changes to header fields: `set` overwrites, `add` appends, `remove` deletes. Names are case-insensitive."""

    set: Items[HTTPHeader] = Field(default=(), max_length=16)
    add: Items[HTTPHeader] = Field(default=(), max_length=16)
    remove: Items[str] = Field(default=(), max_length=16)

    def faults(self) -> Iterable[Fault]:
        yield from repeated("set", [header.name for header in self.set], "set is a map by name")
        yield from repeated("add", [header.name for header in self.add], "add is a map by name")
        yield from repeated("remove", self.remove, "remove is a set of names", key="")


class Fraction(CheckedShape):
    numerator: int = Field(ge=0)
    denominator: int = Field(default=100, ge=1)

    def faults(self) -> Iterable[Fault]:
        if self.numerator > self.denominator:
            yield Fault(("numerator",), "numerator must be less than or equal to denominator")

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.numerator / self.denominator


class RequestMirrorFilter(CheckedShape):
    """A copy of requests goes to one endpoint of `backendRef`; its answers are ignored."""

    backend_ref: BackendObjectReference
    percent: int | None = Field(default=None, ge=0, le=100)
    fraction: Fraction | None = None

    def faults(self) -> Iterable[Fault]:
        if self.percent is not None and self.fraction is not None:
            yield Fault((), "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter")

    @property
    def share(self) -> float:
        """The share of requests to copy, 0 to 1; everything when nothing is declared."""
        if self.fraction is not None:
            return self.fraction.share
        return 1.0 if self.percent is None else self.percent / 100


class PathModifier(CheckedShape):
    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    replace_full_path: str | None = Field(default=None, max_length=1024)
    replace_prefix_match: str | None = Field(default=None, max_length=1024)

    def faults(self) -> Iterable[Fault]:
        for kind, field, value in (
            ("ReplaceFullPath", "replaceFullPath", self.replace_full_path),
            ("ReplacePrefixMatch", "replacePrefixMatch", self.replace_prefix_match),
        ):
            if self.type == kind and value is None:
                yield Fault((), f"{field} must be specified when type is set to '{kind}'")
            if self.type != kind and value is not None:
                yield Fault((field,), f"type must be '{kind}' when {field} is set")


class RequestRedirectFilter(Shape):
    scheme: Literal["http", "https"] | None = None
    hostname: PreciseHostname | None = None
    path: PathModifier | None = None
    port: Port | None = None
    status_code: Literal[301, 302, 303, 307, 308] = 302


class URLRewriteFilter(Shape):
    hostname: PreciseHostname | None = None
    path: PathModifier | None = None


_Origin = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"(^\*$)|(^(http(s)?)://(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)",
    ),
]
_CorsMethod = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"]


class CORSFilter(CheckedShape):
    allow_origins: Items[_Origin] = Field(default=(), max_length=64)
    allow_credentials: bool | None = None
    allow_methods: Items[_CorsMethod] = Field(default=(), max_length=9)
    allow_headers: Items[HeaderName] = Field(default=(), max_length=64)
    expose_headers: Items[HeaderName] = Field(default=(), max_length=64)
    max_age: int = Field(default=5, ge=1)
    """Seconds that a preflight's answer may be kept."""

    def faults(self) -> Iterable[Fault]:
        for field, values in (
            ("allowOrigins", self.allow_origins),
            ("allowMethods", self.allow_methods),
            ("allowHeaders", self.allow_headers),
        ):
            if "*" in values and len(values) > 1:
                yield Fault((field,), f"{field} cannot contain '*' alongside other values")


class GRPCAuth(Shape):
    allowed_headers: Items[str] = Field(default=(), max_length=64)


class HTTPAuth(Shape):
    path: str | None = Field(default=None, max_length=1024)
    allowed_headers: Items[str] = Field(default=(), max_length=64)
    allowed_response_headers: Items[str] = Field(default=(), max_length=64)


class ForwardBody(Shape):
    max_size: int = Field(default=0, ge=0)


class ExternalAuthFilter(CheckedShape):
    protocol: Literal["HTTP", "GRPC"]
    backend_ref: BackendObjectReference
    grpc: GRPCAuth | None = None
    http: HTTPAuth | None = None
    forward_body: ForwardBody | None = None

    def faults(self) -> Iterable[Fault]:
        for protocol, field, value in (("GRPC", "grpc", self.grpc), ("HTTP", "http", self.http)):
            if self.protocol == protocol and value is None:
                yield Fault((), f"{field} must be specified when protocol is set to '{protocol}'")
            if self.protocol != protocol and value is not None:
                yield Fault(("protocol",), f"protocol must be '{protocol}' when {field} is set")


class HTTPRouteFilter(CheckedShape):
    """One filter: `type` says which one field is set."""

    type: FilterType
    request_header_modifier: HeaderFilter | None = None
    response_header_modifier: HeaderFilter | None = None
    request_mirror: RequestMirrorFilter | None = None
    request_redirect: RequestRedirectFilter | None = None
    url_rewrite: URLRewriteFilter | None = None
    extension_ref: LocalObjectReference | None = None
    cors: CORSFilter | None = None
    external_auth: ExternalAuthFilter | None = None

    def faults(self) -> Iterable[Fault]:
        for kind, (field, attribute) in MEMBERS.items():
            value = getattr(self, attribute)
            if self.type == kind and value is None:
                yield Fault((), f"filter.{field} must be specified for {kind} filter.type")
            if self.type != kind and value is not None:
                yield Fault((field,), f"filter.{field} must be nil if the filter.type is not {kind}")


_ONCE = ("CORS", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite")


def filter_faults(filters: tuple[HTTPRouteFilter, ...]) -> Iterable[Fault]:
    """Yield what is wrong with filters standing together, located below the shape that has the field `filters`."""
    first: dict[str, int] = {}
    for index, entry in enumerate(filters):
        if entry.type in _ONCE and first.setdefault(entry.type, index) != index:
            yield Fault(("filters", index), f"{entry.type} filter cannot be repeated")
    if "RequestRedirect" in first and "URLRewrite" in first:
        yield Fault(
            ("filters", max(first["RequestRedirect"], first["URLRewrite"])),
            "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
        )
