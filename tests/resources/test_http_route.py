"""Tests of HTTPRoute."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.resources.loading import Loaded

Declare = Callable[..., Loaded]
Faults = Callable[..., dict[str, str]]


def rule(body: str) -> str:
    return f"spec: {{rules: [{{{body}}}]}}"


def test_defaults_are_those_of_the_api_server(declare: Declare) -> None:
    """One rule for every path, weight 1, PathPrefix of `/`, exact header matches."""
    route = declare("HTTPRoute", "spec: {}").inventory.http_routes["default", "x"]
    (only,) = route.spec.rules
    (match,) = only.matches
    assert (match.path.type, match.path.value, match.method) == ("PathPrefix", "/", None)
    assert (route.spec.hostnames, only.backend_refs, only.filters) == ((), (), ())
    body = rule("matches: [], backendRefs: [{name: s, port: 80}]")
    (only,) = declare("HTTPRoute", body).inventory.http_routes["default", "x"].spec.rules
    assert only.matches == (match,)
    assert only.backend_refs[0].weight == 1


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_everything_that_a_route_can_have(declare: Declare, version: str) -> None:
    """Every field of the CRD is known, experimental ones too."""
    body = """\
        spec:
          useDefaultGateways: All
          parentRefs:
            - {name: g, sectionName: a}
            - {name: g, sectionName: b}
            - {name: g, port: 80, namespace: n}
          hostnames: [example.com, "*.example.com"]
          rules:
            - name: first
              matches:
                - path: {type: RegularExpression, value: "/v[12]/.*"}
                  method: POST
                  headers: [{name: X, value: a}, {type: RegularExpression, name: Y, value: b.*}]
                  queryParams: [{name: q, value: "ü"}]
                - path: {type: Exact, value: "/a%20b/c=d"}
              backendRefs:
                - {name: s, port: 80, weight: 0, filters: [{type: URLRewrite, urlRewrite: {hostname: h}}]}
                - {group: inference.networking.k8s.io, kind: InferencePool, name: p, namespace: other}
              timeouts: {request: 10s, backendRequest: 10s}
              retry: {codes: [500, 503], attempts: 3, backoff: 100ms}
              sessionPersistence:
                {type: Cookie, absoluteTimeout: 1h, cookie: {name: c, lifetimeType: Permanent, path: /a}}
            - timeouts: {request: 0s, backendRequest: 5s}
              sessionPersistence: {sessionName: old, type: Header, header: {name: X-S}, idleTimeout: 1m}
    """
    loaded = declare("HTTPRoute", body, f"gateway.networking.k8s.io/{version}")
    assert loaded.problems == ()
    route = loaded.inventory.http_routes["default", "x"]
    assert route.spec.parent_refs[2].namespace == "n"
    assert route.spec.rules[0].timeouts is not None
    assert route.spec.rules[0].timeouts.request == 10.0
    assert route.spec.rules[0].backend_refs[1].namespace == "other"
    assert route.spec.rules[0].matches[0].query_params[0].value == "ü"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("{value: v1}", "must be an absolute path and start with '/'"),
        ("{type: Exact, value: ''}", "must be an absolute path"),
        ("{value: /a//b}", "must not contain '//'"),
        ("{value: /a/./b}", "must not contain '/./'"),
        ("{value: /a/../b}", "must not contain '/../'"),
        ("{value: /a%2fb}", "must not contain '%2f'"),
        ("{value: /a%2Fb}", "must not contain '%2F'"),
        ("{value: '/a#b'}", "must not contain '#'"),
        ("{value: /a/..}", "must not end with '/..'"),
        ("{value: /a/.}", "must not end with '/.'"),
        ("{value: '/a b'}", "must only contain the characters of a path"),
        ("{value: '/a%zz'}", "must only contain the characters of a path"),
        ("{value: '/ü'}", "must only contain the characters of a path"),
        ('{value: "/a\\n"}', "must only contain the characters of a path"),
    ],
)
def test_paths_that_the_api_server_refuses(faults: Faults, path: str, words: str) -> None:
    """A path to compare with is absolute, normal and made of a path's characters."""
    found = faults("HTTPRoute", rule(f"matches: [{{path: {path}}}]"))
    assert list(found) == ["spec.rules[0].matches[0].path.value"]
    assert words in found["spec.rules[0].matches[0].path.value"]


REWRITE = "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}"
REDIRECT = "{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}"
TWO = "matches: [{path: {value: /a}}, {path: {value: /b}}]"
EXACT = "matches: [{path: {type: Exact, value: /a}}]"


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        (rule(f"{TWO}, filters: [{REWRITE}]"), "spec.rules[0].filters[0].urlRewrite.path", "exactly one PathPrefix"),
        (
            rule(f"{EXACT}, filters: [{REDIRECT}]"),
            "spec.rules[0].filters[0].requestRedirect.path",
            "When using RequestRedirect filter with path.replacePrefixMatch",
        ),
        (
            rule(f"{EXACT}, backendRefs: [{{name: s, port: 1, filters: [{REWRITE}]}}]"),
            "spec.rules[0].backendRefs[0].filters[0].urlRewrite.path",
            "exactly one PathPrefix match must be specified",
        ),
        (
            rule("filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: s, port: 1}]"),
            "spec.rules[0].filters[0]",
            "RequestRedirect filter must not be used together with backendRefs",
        ),
        (
            rule("backendRefs: [{name: s, port: 1, filters: [{type: CORS, cors: {}}, {type: CORS, cors: {}}]}]"),
            "spec.rules[0].backendRefs[0].filters[1]",
            "CORS filter cannot be repeated",
        ),
        (rule("backendRefs: [{name: s}]"), "spec.rules[0].backendRefs[0]", "must have a port"),
        (rule("backendRefs: [{name: s, port: 1, weight: 1000001}]"), "spec.rules[0].backendRefs[0].weight", "1000000"),
        (rule("matches: [{headers: [{name: a, value: b}, {name: a, value: c}]}]"), None, "headers are a map by name"),
        (rule("matches: [{queryParams: [{name: a, value: b}, {name: a, value: c}]}]"), None, "are a map by name"),
        (rule("matches: [{method: post}]"), "spec.rules[0].matches[0].method", "'POST'"),
        (
            rule("timeouts: {request: 1s, backendRequest: 1001ms}"),
            "spec.rules[0].timeouts.backendRequest",
            "backendRequest timeout cannot be longer than request timeout",
        ),
        (rule("retry: {codes: [200]}"), "spec.rules[0].retry.codes[0]", "at least 400"),
        (
            rule("sessionPersistence: {type: Header, cookie: {}}"),
            "spec.rules[0].sessionPersistence.cookie",
            "cookie must be nil if type is not Cookie",
        ),
        (
            rule("sessionPersistence: {header: {name: a}}"),
            "spec.rules[0].sessionPersistence.header",
            "header must be nil if type is not Header",
        ),
        (
            rule("sessionPersistence: {cookie: {lifetimeType: Permanent}}"),
            "spec.rules[0].sessionPersistence",
            "AbsoluteTimeout must be specified when cookie lifetimeType is Permanent",
        ),
        ("spec: {rules: []}", "spec.rules", "must have at least 1 entry, not 0"),
        (f"spec: {{rules: [{'{}, ' * 17}]}}", "spec.rules", "must have at most 16 entries, not 17"),
        (
            f"spec: {{rules: [{('{matches: [' + '{}, ' * 43 + ']}, ') * 3}]}}",
            "spec.rules",
            "the total number of matches across all rules in a route must be at most 128, not 129",
        ),
        ("spec: {rules: [{name: a}, {name: a}]}", "spec.rules[1].name", "Rule name must be unique within the route"),
        ("spec: {parentRefs: [{name: g}, {name: g, port: 1}]}", "spec.parentRefs[0]", "must be specified when"),
        (
            "spec: {parentRefs: [{name: g, port: 1}, {name: g, port: 1}]}",
            "spec.parentRefs[1]",
            "sectionName or port must be unique",
        ),
        ("spec: {hostnames: ['*']}", "spec.hostnames[0]", "must be a host name"),
    ],
)
def test_what_a_route_must_not_have(faults: Faults, body: str, path: str | None, words: str) -> None:
    """Each rule of the CRD is checked, at its field and in its words."""
    ((found, message),) = faults("HTTPRoute", body).items()
    assert path is None or found == path
    assert words in message


def test_a_prefix_is_replaced_where_there_is_one(declare: Declare) -> None:
    """One PathPrefix match, also the default one, has a prefix to replace."""
    assert declare("HTTPRoute", rule(f"filters: [{REWRITE}]")).problems == ()
    assert declare("HTTPRoute", rule(f"matches: [{{path: {{value: /a}}}}], filters: [{REWRITE}]")).problems == ()


def test_a_rule_may_have_no_backends(declare: Declare) -> None:
    """It answers 500 then, which is for routing to say."""
    assert declare("HTTPRoute", "spec: {rules: [{}]}").problems == ()
