"""Tests of the filters of an HTTPRoute."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.resources.loading import Loaded
from mirrorgate.resources.route_filter import Fraction, HTTPRouteFilter, RequestMirrorFilter

Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]

BACKEND = "backendRef: {name: s, port: 80}"


def route(filters: str) -> str:
    return f"spec: {{rules: [{{filters: [{filters}]}}]}}"


@pytest.mark.parametrize(
    ("declared", "share"),
    [
        ("", 1.0),
        (", percent: 0", 0.0),
        (", percent: 25", 0.25),
        (", fraction: {numerator: 1, denominator: 1000}", 0.001),
    ],
)
def test_the_share_of_a_mirror(declare: Declare, declared: str, share: float) -> None:
    """Everything is copied unless percent or fraction says less; the denominator is 100 by default."""
    loaded = declare("HTTPRoute", route(f"{{type: RequestMirror, requestMirror: {{{BACKEND}{declared}}}}}"))
    assert loaded.problems == ()
    mirror = loaded.inventory.http_routes["default", "x"].spec.rules[0].filters[0].request_mirror
    assert isinstance(mirror, RequestMirrorFilter)
    assert mirror.share == share
    assert Fraction(numerator=1).share == 0.01


@pytest.mark.parametrize(
    "declared",
    [
        "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: b}], add: [], remove: [c]}}",
        "{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: A, value: b c}]}}",
        "{type: RequestMirror, requestMirror: {backendRef: {group: g, kind: InferencePool, name: p}}}",
        "{type: RequestRedirect, requestRedirect: {scheme: https, hostname: a.b, port: 8443, statusCode: 308}}",
        "{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /a}}}",
        "{type: URLRewrite, urlRewrite: {hostname: a, path: {type: ReplaceFullPath, replaceFullPath: ''}}}",
        "{type: ExtensionRef, extensionRef: {group: g, kind: K, name: n}}",
        "{type: CORS, cors: {allowOrigins: ['https://*.a.b', 'http://c:80'], allowMethods: [GET], maxAge: 5}}",
        "{type: CORS, cors: {allowOrigins: ['*'], allowHeaders: ['*'], exposeHeaders: [X], allowCredentials: true}}",
        f"{{type: ExternalAuth, externalAuth: {{protocol: HTTP, http: {{path: /a}}, {BACKEND}}}}}",
        f"{{type: ExternalAuth, externalAuth: {{protocol: GRPC, grpc: {{}}, {BACKEND}, forwardBody: {{maxSize: 3}}}}}}",
    ],
)
def test_every_filter_loads(declare: Declare, declared: str) -> None:
    """All filters are parsed; which of them work is for routing to say."""
    assert declare("HTTPRoute", route(declared)).problems == ()


@pytest.mark.parametrize(
    ("declared", "path", "words"),
    [
        ("{type: RequestMirror}", "", "filter.requestMirror must be specified for RequestMirror filter.type"),
        (
            "{type: URLRewrite, urlRewrite: {}, cors: {}}",
            ".cors",
            "filter.cors must be nil if the filter.type is not CORS",
        ),
        ("{type: Teleport}", ".type", "must be 'RequestHeaderModifier'"),
        (
            f"{{type: RequestMirror, requestMirror: {{{BACKEND}, percent: 1, fraction: {{numerator: 1}}}}}}",
            ".requestMirror",
            "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter",
        ),
        (
            f"{{type: RequestMirror, requestMirror: {{{BACKEND}, percent: 101}}}}",
            ".requestMirror.percent",
            "must be at most 100, not 101",
        ),
        (
            f"{{type: RequestMirror, requestMirror: {{{BACKEND}, fraction: {{numerator: 3, denominator: 2}}}}}}",
            ".requestMirror.fraction.numerator",
            "numerator must be less than or equal to denominator",
        ),
        (
            f"{{type: RequestMirror, requestMirror: {{{BACKEND}, fraction: {{numerator: 0, denominator: 0}}}}}}",
            ".requestMirror.fraction.denominator",
            "must be at least 1, not 0",
        ),
        (
            "{type: RequestMirror, requestMirror: {backendRef: {name: s}}}",
            ".requestMirror.backendRef",
            "must have a port",
        ),
        (
            "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}",
            ".urlRewrite.path",
            "replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
        ),
        (
            "{type: URLRewrite, urlRewrite: "
            "{path: {type: ReplaceFullPath, replaceFullPath: a, replacePrefixMatch: b}}}",
            ".urlRewrite.path.replacePrefixMatch",
            "type must be 'ReplacePrefixMatch' when replacePrefixMatch is set",
        ),
        (
            "{type: RequestRedirect, requestRedirect: {statusCode: 300}}",
            ".requestRedirect.statusCode",
            "must be 301, 302, 303, 307 or 308, not 300",
        ),
        (
            "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}, {name: a, value: c}]}}",
            ".requestHeaderModifier.set[1].name",
            "'a' is that of set[0] already",
        ),
        (
            "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a, a]}}",
            ".requestHeaderModifier.remove[1]",
            "'a' is that of remove[0] already",
        ),
        (
            '{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: "a b", value: c}]}}',
            ".requestHeaderModifier.add[0].name",
            "must be a header name",
        ),
        ("{type: CORS, cors: {allowOrigins: ['*', 'http://a']}}", ".cors.allowOrigins", "cannot contain '*'"),
        ("{type: CORS, cors: {allowOrigins: [a.b]}}", ".cors.allowOrigins[0]", "must be text that matches"),
        ("{type: CORS, cors: {maxAge: 0}}", ".cors.maxAge", "at least 1"),
        (
            f"{{type: ExternalAuth, externalAuth: {{protocol: HTTP, {BACKEND}}}}}",
            ".externalAuth",
            "http must be specified when protocol is set to 'HTTP'",
        ),
        (
            f"{{type: ExternalAuth, externalAuth: {{protocol: HTTP, http: {{}}, grpc: {{}}, {BACKEND}}}}}",
            ".externalAuth.protocol",
            "protocol must be 'GRPC' when grpc is set",
        ),
    ],
)
def test_what_a_filter_must_not_be(faults: Faults, declared: str, path: str, words: str) -> None:
    """Each rule of the CRD is checked, at its field and in its words."""
    found = faults("HTTPRoute", route(declared))
    assert list(found) == [f"spec.rules[0].filters[0]{path}"]
    assert words in found[f"spec.rules[0].filters[0]{path}"]


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("{type: URLRewrite, urlRewrite: {}}", "URLRewrite filter cannot be repeated"),
        ("{type: CORS, cors: {}}", "CORS filter cannot be repeated"),
        ("{type: RequestRedirect, requestRedirect: {}}", "RequestRedirect filter cannot be repeated"),
    ],
)
def test_most_filters_come_once(faults: Faults, declared: str, words: str) -> None:
    """The second of its kind is at fault."""
    assert faults("HTTPRoute", route(f"{declared}, {declared}")) == {"spec.rules[0].filters[1]": words}


def test_mirrors_and_extensions_may_be_repeated(declare: Declare) -> None:
    """Several mirrors of one request are what the API intends."""
    mirror = f"{{type: RequestMirror, requestMirror: {{{BACKEND}}}}}"
    extension = "{type: ExtensionRef, extensionRef: {group: g, kind: K, name: n}}"
    assert declare("HTTPRoute", route(", ".join([mirror, extension] * 3))).problems == ()


def test_a_redirect_and_a_rewrite_exclude_each_other(faults: Faults) -> None:
    """The later of the two is at fault."""
    found = faults(
        "HTTPRoute", route("{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}")
    )
    assert list(found) == ["spec.rules[0].filters[1]"]
    assert "but not both" in found["spec.rules[0].filters[1]"]


def test_the_field_of_each_type_exists() -> None:
    """The table of members and the shape agree."""
    from mirrorgate.resources.route_filter import MEMBERS

    aliases = {field.alias: name for name, field in HTTPRouteFilter.model_fields.items() if name != "type"}
    assert aliases == dict(MEMBERS.values())
