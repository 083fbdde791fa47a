"""HTTPRoute (GW `apis/v1/httproute_types.go`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .objects import Resource
from .reference import BackendObjectReference, ParentReference
from .route_filter import HTTPRouteFilter, PathModifier, filter_faults
from .scalars import Duration, HeaderName, HeaderValue, Hostname, SectionName, Weight
from .shapes import CheckedShape, Fault, Items, Shape, repeated

__all__ = [
    "HTTPBackendRef",
    "HTTPHeaderMatch",
    "HTTPPathMatch",
    "HTTPQueryParamMatch",
    "HTTPRoute",
    "HTTPRouteMatch",
    "HTTPRouteRetry",
    "HTTPRouteRule",
    "HTTPRouteSpec",
    "HTTPRouteTimeouts",
    "SessionPersistence",
]

_PATH = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
_Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]


class HTTPPathMatch(CheckedShape):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: str = Field(default="/", max_length=1024)

    def faults(self) -> Iterable[Fault]:
        if self.type == "RegularExpression":
            return
        kinds = "when type one of ['Exact', 'PathPrefix']"
        if not self.value.startswith("/"):
            yield Fault(("value",), f"value must be an absolute path and start with '/' {kinds}")
        for bad in ("//", "/./", "/../", "%2f", "%2F", "#"):
            if bad in self.value:
                yield Fault(("value",), f"must not contain '{bad}' {kinds}")
        for bad in ("/..", "/."):
            if self.value.endswith(bad):
                yield Fault(("value",), f"must not end with '{bad}' {kinds}")
        if "#" not in self.value and not _PATH.fullmatch(self.value):
            yield Fault(("value",), "must only contain the characters of a path (RFC 3986, 3.3), others as %XX")


class HTTPHeaderMatch(Shape):
    type: Literal["Exact", "RegularExpression"] = "Exact"
    name: HeaderName
    value: HeaderValue


class HTTPQueryParamMatch(Shape):
    type: Literal["Exact", "RegularExpression"] = "Exact"
    name: HeaderName
    value: str = Field(min_length=1, max_length=1024)


class HTTPRouteMatch(CheckedShape):
    """One way for a request to match: every condition holds."""

    path: HTTPPathMatch = HTTPPathMatch()
    headers: Items[HTTPHeaderMatch] = Field(default=(), max_length=16)
    query_params: Items[HTTPQueryParamMatch] = Field(default=(), max_length=16)
    method: _Method | None = None

    def faults(self) -> Iterable[Fault]:
        yield from repeated("headers", [entry.name for entry in self.headers], "headers are a map by name")
        yield from repeated("queryParams", [entry.name for entry in self.query_params], "queryParams are a map by name")


class HTTPBackendRef(BackendObjectReference):
    weight: Weight = 1
    """The share of this backend is its weight over the sum of all; 0 sends nothing."""
    filters: Items[HTTPRouteFilter] = Field(default=(), max_length=16)

    def faults(self) -> Iterable[Fault]:
        yield from super().faults()
        yield from filter_faults(self.filters)


class HTTPRouteTimeouts(CheckedShape):
    request: Duration | None = None
    backend_request: Duration | None = None

    def faults(self) -> Iterable[Fault]:
        if self.request and self.backend_request is not None and self.backend_request > self.request:
            yield Fault(("backendRequest",), "backendRequest timeout cannot be longer than request timeout")


class HTTPRouteRetry(Shape):
    codes: Items[Annotated[int, Field(ge=400, le=599)]] = ()
    attempts: int | None = Field(default=None, ge=1)
    """How often a request is sent *again*."""
    backoff: Duration | None = None


class SessionCookie(Shape):
    name: HeaderName | None = None
    lifetime_type: Literal["Permanent", "Session"] = "Session"
    path: str = Field(default="/", max_length=1024)


class SessionHeader(Shape):
    name: HeaderName


class SessionPersistence(CheckedShape):
    session_name: str | None = Field(default=None, max_length=128)
    """The name in releases before the cookie and the header had one of their own."""
    type: Literal["Cookie", "Header"] = "Cookie"
    cookie: SessionCookie | None = None
    cookie_config: SessionCookie | None = None
    header: SessionHeader | None = None
    absolute_timeout: Duration | None = None
    idle_timeout: Duration | None = None

    def faults(self) -> Iterable[Fault]:
        if self.type != "Cookie" and self.cookie is not None:
            yield Fault(("cookie",), "cookie must be nil if type is not Cookie")
        if self.type != "Header" and self.header is not None:
            yield Fault(("header",), "header must be nil if type is not Header")
        cookie = self.cookie or self.cookie_config
        if cookie is not None and cookie.lifetime_type == "Permanent" and self.absolute_timeout is None:
            yield Fault((), "AbsoluteTimeout must be specified when cookie lifetimeType is Permanent")


_ANY_PATH = (HTTPRouteMatch(),)


class HTTPRouteRule(CheckedShape):
    name: SectionName | None = None
    matches: Annotated[Items[HTTPRouteMatch], AfterValidator(lambda matches: matches or _ANY_PATH)] = Field(
        default=_ANY_PATH, max_length=64
    )
    """Never empty: none declared is a PathPrefix of `/`."""
    filters: Items[HTTPRouteFilter] = Field(default=(), max_length=16)
    backend_refs: Items[HTTPBackendRef] = Field(default=(), max_length=16)
    timeouts: HTTPRouteTimeouts | None = None
    retry: HTTPRouteRetry | None = None
    session_persistence: SessionPersistence | None = None

    def faults(self) -> Iterable[Fault]:
        yield from filter_faults(self.filters)
        yield from self._prefix_faults(("filters",), self.filters)
        for index, backend in enumerate(self.backend_refs):
            yield from self._prefix_faults(("backendRefs", index, "filters"), backend.filters)
        if self.backend_refs:
            for index, entry in enumerate(self.filters):
                if entry.type == "RequestRedirect":
                    yield Fault(("filters", index), "RequestRedirect filter must not be used together with backendRefs")

    def _prefix_faults(self, loc: tuple[str | int, ...], filters: tuple[HTTPRouteFilter, ...]) -> Iterable[Fault]:
        if len(self.matches) == 1 and self.matches[0].path.type == "PathPrefix":
            return
        for index, entry in enumerate(filters):
            for field, name, holder in (
                ("requestRedirect", "RequestRedirect", entry.request_redirect),
                ("urlRewrite", "URLRewrite", entry.url_rewrite),
            ):
                path: PathModifier | None = holder.path if holder is not None else None
                if path is not None and path.type == "ReplacePrefixMatch":
                    yield Fault(
                        (*loc, index, field, "path"),
                        f"When using {name} filter with path.replacePrefixMatch, exactly one PathPrefix match must be "
                        "specified",
                    )


class HTTPRouteSpec(CheckedShape):
    parent_refs: Items[ParentReference] = Field(default=(), max_length=32)
    hostnames: Items[Hostname] = Field(default=(), max_length=16)
    """Empty: every host of the listener."""
    rules: Items[HTTPRouteRule] = Field(default=(HTTPRouteRule(),), min_length=1, max_length=16)
    use_default_gateways: Literal["All", "None"] | None = None

    def faults(self) -> Iterable[Fault]:
        yield from self._parent_faults()
        total = sum(len(rule.matches) for rule in self.rules)
        if total > 128:
            yield Fault(
                ("rules",),
                "While 16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a "
                f"route must be at most 128, not {total}",
            )
        seen: dict[str, int] = {}
        for index, rule in enumerate(self.rules):
            if rule.name is not None and seen.setdefault(rule.name, index) != index:
                yield Fault(("rules", index, "name"), "Rule name must be unique within the route")

    def _parent_faults(self) -> Iterable[Fault]:
        groups: dict[tuple[str, str, str, str], list[int]] = {}
        for index, ref in enumerate(self.parent_refs):
            groups.setdefault((ref.group, ref.kind, ref.namespace or "", ref.name), []).append(index)
        for indexes in groups.values():
            sections: set[tuple[str | None, int | None]] = set()
            for index in indexes if len(indexes) > 1 else ():
                ref = self.parent_refs[index]
                section = (ref.section_name, ref.port)
                if section == (None, None):
                    yield Fault(
                        ("parentRefs", index),
                        "sectionName or port must be specified when parentRefs includes 2 or more references to the "
                        "same parent",
                    )
                elif section in sections:
                    yield Fault(
                        ("parentRefs", index),
                        "sectionName or port must be unique when parentRefs includes 2 or more references to the same "
                        "parent",
                    )
                sections.add(section)


class HTTPRoute(Resource):
    spec: HTTPRouteSpec
