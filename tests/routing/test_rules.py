"""Rules: matches and backends as the table holds them."""

from collections.abc import Callable

import pytest

from mirrorgate.routing.compiling import Compiled
from mirrorgate.routing.regexes import Regex
from mirrorgate.routing.table import HeaderChanges, HeaderMatch, PathKind, PathMatch, Rule

Compile = Callable[..., Compiled]

BASE = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route}
spec:
  parentRefs: [{name: gateway}]
  rules: [%s]
"""


def only_rule(compiled: Compiled) -> Rule:
    (match,) = compiled.table.listeners[0].matches
    return match.rule


def test_a_match_is_compiled(compiled: Compile) -> None:
    """Regular expressions are compiled, header names are lower case, the first of equal headers counts."""
    rule = (
        "{matches: [{path: {type: RegularExpression, value: /v.}, method: GET, "
        "headers: [{name: X-A, value: '1'}, {name: x-a, value: '2'}], "
        "queryParams: [{name: Q, type: RegularExpression, value: a+}]}]}"
    )
    (match,) = compiled(BASE % rule).table.listeners[0].matches
    assert match.path == PathMatch(PathKind.REGEX, "/v.", Regex("/v."))
    assert match.headers == (HeaderMatch("x-a", "1"),)
    assert match.query == (HeaderMatch("Q", "a+", Regex("a+")),)


@pytest.mark.parametrize("pattern", ["/(?=a)", "/(", r"/(a)\1", "/(?P<a", "/a{9999}"])
def test_a_pattern_that_is_none_of_re2_is_invalid(compiled: Compile, pattern: str) -> None:
    """What would need to backtrack, or is no pattern, breaks its rule; the rule's other matches answer 500."""
    rule = f"{{matches: [{{path: {{type: RegularExpression, value: '{pattern}'}}}}, {{path: {{value: /x}}}}]}}"
    assert only_rule(compiled(BASE % rule)).broken.startswith("UnsupportedValue")


def test_an_empty_list_of_matches_is_every_request(compiled: Compile) -> None:
    """`matches: []` is as good as none."""
    (match,) = compiled(BASE % "{matches: []}").table.listeners[0].matches
    assert match.path == PathMatch(PathKind.PREFIX, "/")


def test_the_cluster_is_named_as_by_envoy_gateway(compiled: Compile) -> None:
    """Namespace, name and index of the rule; a mirror adds the index of its filter."""
    mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: server, port: 80}}}"
    header = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}"
    rule = only_rule(compiled(BASE % f"{{backendRefs: [{{name: server, port: 80}}], filters: [{header}, {mirror}]}}"))
    assert rule.cluster == "httproute/default/route/rule/0"
    assert [entry.cluster for entry in rule.mirrors] == ["httproute/default/route/rule/0-mirror-1"]


def test_filters_of_a_backend(compiled: Compile) -> None:
    """A backend's header changes are its own; the rule's are the rule's."""
    change = "{type: %s, %s: {set: [{name: X-A, value: '1'}]}}"
    filters = ", ".join(
        change % (f"{kind}HeaderModifier", f"{kind.lower()}HeaderModifier") for kind in ("Request", "Response")
    )
    rule = only_rule(compiled(BASE % f"{{backendRefs: [{{name: server, port: 80, filters: [{filters}]}}]}}"))
    changes = HeaderChanges(set=(("x-a", "1"),))
    assert (rule.backends[0].request_headers, rule.backends[0].response_headers) == (changes, changes)
    assert not rule.request_headers


def test_no_way_to_answer_is_told(compiled: Compile) -> None:
    """A rule without backends, and one whose weights are all 0, are warnings."""
    for rule in ("{}", "{backendRefs: [{name: server, port: 80, weight: 0}]}"):
        (problem,) = (found for found in compiled(BASE % rule).problems if found.path.startswith("HTTPRoute"))
        assert "answered 500" in problem.message
