"""Routing as the Gateway API's conformance suite asks for it, request by request.

The tables are those of `conformance/tests/httproute-*` and `gateway-http-listener-isolation`, with the
manifests reduced to what decides.
"""

from collections.abc import Callable

import pytest

from mirrorgate.routing.compiling import Compiled

Compile = Callable[..., Compiled]
Asking = Callable[[Compiled], Callable[..., str]]

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  gatewayClassName: any
  listeners:
"""
HTTP = "  - {name: http, port: 80, protocol: HTTP}\n"
SERVICES = "".join(
    f"""---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  ports: [{{port: 8080}}]
"""
    for name in ("v1", "v2", "v3", "v4")
)


def route(name: str, *rules: str, hostnames: str = "[]", section: str | None = None) -> str:
    """Write a route; a rule is `backend: matches` in YAML's flow style."""
    parent = "{name: gateway}" if section is None else f"{{name: gateway, sectionName: {section}}}"
    text = f"""---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{parent}]
  hostnames: {hostnames}
  rules:
"""
    for rule in rules:
        backend, _, matches = rule.partition(": ")
        text += f"  - backendRefs: [{{name: {backend}, port: 8080}}]\n"
        text += f"    matches: {matches}\n" if matches else ""
    return text


def exact(path: str) -> str:
    return f"{{path: {{type: Exact, value: {path}}}}}"


MATCHING = route(
    "matching",
    "v1: [{path: {value: /}}, {headers: [{name: version, value: one}]}]",
    "v2: [{path: {value: /v2}}, {headers: [{name: version, value: two}]}]",
)


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/", {}, "v1"),
        ("/example", {}, "v1"),
        ("/", {"Version": "one"}, "v1"),
        ("/v2", {}, "v2"),
        ("/v2example", {}, "v1"),
        ("/foo/v2/example", {}, "v1"),
        ("/", {"Version": "two"}, "v2"),
        ("/v2/", {}, "v2"),
        ("/v2/example", {}, "v2"),
        ("/v2", {"Version": "one"}, "v2"),
    ],
)
def test_matching(compiled: Compile, asking: Asking, path: str, headers: dict[str, str], expected: str) -> None:
    """httproute-matching: prefixes, headers, and the longer prefix before the header."""
    ask = asking(compiled(GATEWAY + HTTP + MATCHING + SERVICES))
    assert ask(path, headers=headers) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/one", "v1"),
        ("/two", "v2"),
        ("/", "404"),
        ("/one/example", "404"),
        ("/two/", "404"),
        ("/Two", "404"),
    ],
)
def test_exact_path_matching(compiled: Compile, asking: Asking, path: str, expected: str) -> None:
    """httproute-exact-path-matching: byte for byte."""
    rules = (f"v1: [{exact('/one')}]", f"v2: [{exact('/two')}]")
    assert asking(compiled(GATEWAY + HTTP + route("exact", *rules) + SERVICES))(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/match/exact/one", "v3"),
        ("/match/exact", "v2"),
        ("/match", "v1"),
        ("/match/prefix/one/any", "v2"),
        ("/match/prefix/any", "v1"),
        ("/match/any", "v3"),
    ],
)
def test_path_match_order(compiled: Compile, asking: Asking, path: str, expected: str) -> None:
    """httproute-path-match-order: exact before prefix, the longest prefix first, whatever the rules' order."""
    rules = (
        f"v3: [{exact('/match/exact/one')}]",
        f"v2: [{exact('/match/exact')}]",
        f"v1: [{exact('/match')}]",
        "v2: [{path: {value: /match/prefix/one}}]",
        "v1: [{path: {value: /match/prefix}}]",
        "v3: [{path: {value: /match}}]",
    )
    for order in (rules, rules[::-1]):
        assert asking(compiled(GATEWAY + HTTP + route("order", *order) + SERVICES))(path) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Version": "one"}, "v1"),
        ({"Version": "two"}, "v2"),
        ({"Version": "two", "Color": "orange"}, "v1"),
        ({"Color": "blue"}, "v1"),
        ({"Color": "green"}, "v1"),
        ({"Color": "red"}, "v2"),
        ({"Color": "yellow"}, "v2"),
        ({"Color": "orange"}, "404"),
        ({"Color": "purple"}, "404"),
        ({"Some-Other-Header": "one"}, "404"),
        ({}, "404"),
    ],
)
def test_header_matching(compiled: Compile, asking: Asking, headers: dict[str, str], expected: str) -> None:
    """httproute-header-matching: AND within a match, OR between matches, more headers first."""
    rules = (
        "v1: [{headers: [{name: version, value: one}]}]",
        "v2: [{headers: [{name: version, value: two}]}]",
        "v1: [{headers: [{name: version, value: two}, {name: color, value: orange}]}]",
        "v1: [{headers: [{name: color, value: blue}]}, {headers: [{name: color, value: green}]}]",
        "v2: [{headers: [{name: color, value: red}]}, {headers: [{name: color, value: yellow}]}]",
    )
    assert asking(compiled(GATEWAY + HTTP + route("headers", *rules) + SERVICES))("/", headers=headers) == expected


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("POST", "/", {}, "v1"),
        ("GET", "/", {}, "v2"),
        ("HEAD", "/", {}, "404"),
        ("GET", "/path1", {}, "v1"),
        ("PUT", "/", {"Version": "one"}, "v2"),
        ("POST", "/", {"Version": "two"}, "v1"),
        ("PATCH", "/path2", {"Version": "two"}, "v3"),
        ("PUT", "/path3", {}, "v1"),
        ("DELETE", "/path4", {"Version": "three"}, "v2"),
        ("PATCH", "/path5", {}, "v1"),
        ("PATCH", "/", {"Version": "four"}, "v2"),
    ],
)
def test_method_matching(
    compiled: Compile, asking: Asking, method: str, path: str, headers: dict[str, str], expected: str
) -> None:
    """httproute-method-matching: path before method before headers."""
    rules = (
        "v1: [{method: POST}]",
        "v2: [{method: GET}]",
        "v1: [{path: {value: /path1}, method: GET}]",
        "v2: [{method: PUT, headers: [{name: version, value: one}]}]",
        "v3: [{path: {value: /path2}, method: PATCH, headers: [{name: version, value: two}]}]",
        "v1: [{path: {value: /path3}, method: PUT}]",
        "v2: [{path: {value: /path4}, method: DELETE, headers: [{name: version, value: three}]}]",
        "v1: [{path: {value: /path5}}]",
        "v1: [{method: PATCH, path: {value: /path5}}]",
        "v2: [{headers: [{name: version, value: four}]}]",
    )
    ask = asking(compiled(GATEWAY + HTTP + route("methods", *rules) + SERVICES))
    assert ask(path, method=method, headers=headers) == expected


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/?animal=whale", {}, "v1"),
        ("/?animal=dolphin", {}, "v2"),
        ("/?animal=dolphin&color=blue", {}, "v3"),
        ("/?ANIMAL=Whale", {}, "v3"),
        ("/?animal=whale&otherparam=irrelevant", {}, "v1"),
        ("/?animal=dolphin&color=yellow", {}, "v2"),
        ("/?color=blue", {}, "404"),
        ("/?animal=dog", {}, "404"),
        ("/?animal=whaledolphin", {}, "404"),
        ("/", {}, "404"),
        ("/?animal=whale&animal=dolphin", {}, "v1"),
        ("/path1?animal=whale", {}, "v1"),
        ("/?animal=whale", {"version": "one"}, "v2"),
        ("/path2?animal=whale", {"version": "two"}, "v3"),
        ("/path3?animal=shark", {}, "v1"),
        ("/path4?animal=kraken", {"version": "three"}, "v1"),
        ("/?animal=hydra", {"version": "four"}, "v3"),
    ],
)
def test_query_matching(compiled: Compile, asking: Asking, path: str, headers: dict[str, str], expected: str) -> None:
    """httproute-query-param-matching: exact, case-sensitive, the first value, and last in precedence."""
    rules = (
        "v1: [{queryParams: [{name: animal, value: whale}]}]",
        "v2: [{queryParams: [{name: animal, value: dolphin}]}]",
        "v3: [{queryParams: [{name: animal, value: dolphin}, {name: color, value: blue}]}, "
        "{queryParams: [{name: ANIMAL, value: Whale}]}]",
        "v1: [{path: {value: /path1}, queryParams: [{name: animal, value: whale}]}]",
        "v2: [{headers: [{name: version, value: one}], queryParams: [{name: animal, value: whale}]}]",
        "v3: [{path: {value: /path2}, headers: [{name: version, value: two}], "
        "queryParams: [{name: animal, value: whale}]}]",
        "v1: [{path: {value: /path3}, queryParams: [{name: animal, value: shark}]}, "
        "{path: {value: /path4}, queryParams: [{name: animal, value: kraken}]}]",
        "v2: [{queryParams: [{name: animal, value: kraken}], headers: [{name: version, value: three}]}]",
        "v3: [{headers: [{name: version, value: four}]}]",
        "v1: [{queryParams: [{name: animal, value: hydra}]}]",
    )
    ask = asking(compiled(GATEWAY + HTTP + route("query", *rules) + SERVICES))
    assert ask(path, headers=headers) == expected


@pytest.mark.parametrize(
    ("host", "path", "headers", "expected"),
    [
        ("example.com", "/", {}, "v1"),
        ("example.com", "/example", {}, "v1"),
        ("example.net", "/example", {}, "v1"),
        ("example.com", "/example", {"Version": "one"}, "v1"),
        ("example.com", "/v2", {}, "v2"),
        ("example.com", "/v2example", {}, "v1"),
        ("example.com", "/", {"Version": "two"}, "v2"),
        ("example.com", "/v2/example", {"Version": "two"}, "v2"),
        ("example.net", "/v2", {}, "v1"),
        ("example.net", "/", {"Version": "two"}, "v1"),
    ],
)
def test_matching_across_routes(
    compiled: Compile, asking: Asking, host: str, path: str, headers: dict[str, str], expected: str
) -> None:
    """httproute-matching-across-routes: rules of all routes compete, each under its own hostnames."""
    first = route(
        "part1",
        "v1: [{path: {value: /}}, {headers: [{name: version, value: one}]}]",
        hostnames="[example.com, example.net]",
    )
    second = route(
        "part2",
        "v2: [{path: {value: /v2}}, {headers: [{name: version, value: two}]}]",
        hostnames="[example.com]",
    )
    for routes in (first + second, second + first):
        assert asking(compiled(GATEWAY + HTTP + routes + SERVICES))(path, host, headers=headers) == expected


LISTENERS = """  - {name: bar, port: 80, protocol: HTTP, hostname: bar.com}
  - {name: foo-bar, port: 80, protocol: HTTP, hostname: foo.bar.com}
  - {name: wild-bar, port: 80, protocol: HTTP, hostname: "*.bar.com"}
  - {name: wild-foo, port: 80, protocol: HTTP, hostname: "*.foo.com"}
"""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("bar.com", "v1"),
        ("foo.bar.com", "v2"),
        ("baz.bar.com", "v3"),
        ("boo.bar.com:80", "v3"),
        ("multiple.prefixes.bar.com", "v3"),
        ("multiple.prefixes.foo.com", "v3"),
        ("foo.com", "404"),
        ("no.matching.host", "404"),
    ],
)
def test_listener_hostname_matching(compiled: Compile, asking: Asking, host: str, expected: str) -> None:
    """httproute-listener-hostname-matching: routes inherit the hostname of the listener that they name."""
    routes = (
        route("first", "v1", section="bar")
        + route("second", "v2", section="foo-bar")
        + route("third", "v3", section="wild-bar")
        + route("fourth", "v3", section="wild-foo")
    )
    assert asking(compiled(GATEWAY + LISTENERS + routes + SERVICES))("/", host) == expected


ISOLATED = """  - {name: empty-hostname, port: 80, protocol: HTTP}
  - {name: wildcard-example-com, port: 80, protocol: HTTP, hostname: "*.example.com"}
  - {name: wildcard-foo-example-com, port: 80, protocol: HTTP, hostname: "*.foo.example.com"}
  - {name: abc-foo-example-com, port: 80, protocol: HTTP, hostname: abc.foo.example.com}
"""
SECTIONS = {
    "empty-hostname": ("bar.com", "v1"),
    "wildcard-example-com": ("bar.example.com", "v2"),
    "wildcard-foo-example-com": ("bar.foo.example.com", "v3"),
    "abc-foo-example-com": ("abc.foo.example.com", "v4"),
}


def test_listener_isolation(compiled: Compile, asking: Asking) -> None:
    """gateway-http-listener-isolation: a host is served by its own listener's routes and by no other's."""
    routes = "".join(
        route(f"to-{section}", f"{backend}: [{{path: {{value: /{section}}}}}]", section=section)
        for section, (_, backend) in SECTIONS.items()
    )
    ask = asking(compiled(GATEWAY + ISOLATED + routes + SERVICES))
    for section, (host, backend) in SECTIONS.items():
        for other in SECTIONS:
            assert ask(f"/{other}", host) == (backend if other == section else "404")


PORTS = """  - {name: one, port: 80, protocol: HTTP}
  - {name: two, port: 8080, protocol: HTTP}
"""


def test_listener_port_matching(compiled: Compile, asking: Asking) -> None:
    """httproute-listener-port-matching: a route on one listener is not reached through another's port."""
    routes = route("first", "v1", section="one") + route("second", "v2", section="two")
    ask = asking(compiled(GATEWAY + PORTS + routes + SERVICES))
    assert [ask("/", port=port) for port in (80, 8080, 8090)] == ["v1", "v2", "404"]


def test_hostname_intersection(compiled: Compile, asking: Asking) -> None:
    """httproute-hostname-intersection: only hosts of both the listener and the route are served."""
    listeners = """  - {name: exact, port: 80, protocol: HTTP, hostname: very.specific.com}
  - {name: wild, port: 80, protocol: HTTP, hostname: "*.wildcard.io"}
  - {name: other, port: 80, protocol: HTTP, hostname: "*.anotherwildcard.io"}
"""
    routes = (
        route(
            "specific",
            "v1: [{path: {value: /s1}}]",
            hostnames='[non.matching.com, "*.nonmatchingwildcard.io", very.specific.com]',
        )
        + route(
            "wildcard",
            "v2: [{path: {value: /s2}}]",
            hostnames="[non.matching.com, wildcard.io, foo.wildcard.io, bar.wildcard.io, foo.bar.wildcard.io]",
        )
        + route("wild", "v3: [{path: {value: /s3}}]", hostnames='["*.anotherwildcard.io"]')
    )
    ask = asking(compiled(GATEWAY + listeners + routes + SERVICES))
    assert ask("/s1", "very.specific.com") == "v1"
    assert ask("/s1", "VERY.specific.com:1234") == "v1"
    for host in ("non.matching.com", "foo.nonmatchingwildcard.io", "foo.wildcard.io", "specific.com"):
        assert ask("/s1", host) == "404"
    for host in ("foo.wildcard.io", "bar.wildcard.io", "foo.bar.wildcard.io"):
        assert ask("/s2", host) == "v2"
    for host in ("non.matching.com", "wildcard.io", "very.specific.com", "x.wildcard.io"):
        assert ask("/s2", host) == "404"
    assert ask("/s3", "one.two.anotherwildcard.io") == "v3"
    assert ask("/s3", "anotherwildcard.io") == "404"


def test_broken_references(compiled: Compile, asking: Asking) -> None:
    """httproute-invalid-nonexistent-backendref and httproute-omitted-backendrefs: 500, and siblings go on."""
    routes = route("broken", "nobody: [{path: {value: /broken}}]", "v1: [{path: {value: /fine}}]")
    omitted = route("omitted", "v1").replace("  - backendRefs: [{name: v1, port: 8080}]\n", "  - name: nothing\n")
    ask = asking(compiled(GATEWAY + HTTP + routes + omitted + SERVICES))
    assert [ask(path) for path in ("/broken", "/fine", "/")] == ["500", "v1", "500"]
