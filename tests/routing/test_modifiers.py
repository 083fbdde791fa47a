"""Modifiers: header names and rewrites as the table holds them."""

from collections.abc import Callable

from mirrorgate.resources.route_filter import HeaderFilter, HTTPHeader
from mirrorgate.routing.compiling import Compiled
from mirrorgate.routing.modifiers import header_changes
from mirrorgate.routing.table import HeaderChanges, PathRewrite

ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route}
spec:
  parentRefs: [{name: gateway}]
  rules:
"""
"""Up to its rules."""


def test_header_changes() -> None:
    """Names become lower case; their order stays."""
    declared = HeaderFilter(
        set=(HTTPHeader(name="X-B", value="1"), HTTPHeader(name="X-A", value="2")),
        add=(HTTPHeader(name="X-C", value="3"),),
        remove=("X-D", "X-E"),
    )
    assert header_changes(declared) == HeaderChanges(
        set=(("x-b", "1"), ("x-a", "2")), add=(("x-c", "3"),), remove=("x-d", "x-e")
    )


def test_a_replaced_prefix_is_in_normal_form(compiled: Callable[..., Compiled]) -> None:
    """The prefix that is cut off is the one that requests' normal form has."""
    table = compiled(
        ROUTE
        + """  - matches: [{path: {value: /%76%31}}]
    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: ""}}}]
"""
    ).table
    (match,) = table.listeners[0].matches
    assert match.rule.redirect is not None
    assert match.rule.redirect.path == PathRewrite("/", "/v1")


def test_a_mirror_may_speak_http2(compiled: Callable[..., Compiled]) -> None:
    """As the primary does."""
    found = compiled(
        ROUTE
        + """  - backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: server}]
    filters:
    - type: RequestMirror
      requestMirror: {backendRef: {group: gateway.envoyproxy.io, kind: Backend, name: server}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: server}
spec: {appProtocols: [gateway.envoyproxy.io/h2c], endpoints: [{ip: {address: 127.0.0.1, port: 1}}]}
"""
    )
    (match,) = found.table.listeners[0].matches
    [mirror] = match.rule.mirrors
    assert mirror.destination.http2
    assert match.rule.backends[0].destination is not None
    assert match.rule.backends[0].destination.http2
