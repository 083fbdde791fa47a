"""Explaining: each step of routing, in agreement with the router."""

from collections.abc import Callable

import pytest

from mirrorgate.routing.compiling import Compiled
from mirrorgate.routing.explaining import explain
from mirrorgate.routing.table import RouteTable

Compile = Callable[..., Compiled]

MANIFESTS = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  gatewayClassName: any
  listeners:
  - {name: any, port: 80, protocol: HTTP}
  - {name: wild, port: 80, protocol: HTTP, hostname: "*.example.com"}
  - {name: other, port: 8080, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route}
spec:
  parentRefs: [{name: gateway, sectionName: wild}]
  hostnames: [a.example.com]
  rules:
  - matches:
    - {path: {type: Exact, value: /v1/chat}}
    - {path: {type: RegularExpression, value: "/v[0-9]"}}
    - {path: {value: /v1}, method: DELETE}
    - {path: {value: /v1}, headers: [{name: x-tier, value: gold}, {name: x-tier-2, value: gold}]}
    - {path: {value: /v1}, headers: [{name: x-tier, value: gold}]}
    - {path: {value: /v1}, queryParams: [{name: debug, value: "1"}]}
    backendRefs: [{name: server, port: 80}]
  - matches: [{path: {value: /v1}}]
    backendRefs:
    - {group: inference.networking.k8s.io, kind: InferencePool, name: pool, weight: 3}
    - {name: nobody, port: 80, weight: 1}
    filters:
    - type: RequestMirror
      requestMirror: {backendRef: {name: server, port: 80}, percent: 25}
    - type: RequestMirror
      requestMirror: {backendRef: {group: inference.networking.k8s.io, kind: InferencePool, name: pool}}
    - type: URLRewrite
      urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /api}}
  - matches: [{path: {value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]
  - matches: [{path: {value: /broken}}]
  - matches: [{path: {value: /weightless}}]
    backendRefs: [{name: server, port: 80, weight: 0}]
  - matches: [{path: {value: /hostrewrite}}]
    backendRefs: [{name: server, port: 80}]
    filters: [{type: URLRewrite, urlRewrite: {hostname: b.example.com}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: b}
spec:
  parentRefs: [{name: gateway, sectionName: wild}]
  hostnames: [b.example.com]
  rules: [{backendRefs: [{name: server, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {ports: [{port: 80}]}
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: pool}
spec: {selector: {matchLabels: {app: pool}}, targetPorts: [{number: 8000}]}
---
apiVersion: v1
kind: Pod
metadata: {name: pod, labels: {app: pool}}
status: {podIP: 10.0.0.1}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {name: split}
spec:
  modelName: llama
  criticality: Critical
  poolRef: {name: pool}
  targetModels: [{name: llama-a, weight: 9}, {name: llama-b, weight: 1}]
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {name: even}
spec: {modelName: even, poolRef: {name: pool}, targetModels: [{name: one}, {name: two}]}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {name: plain}
spec: {modelName: plain, poolRef: {name: pool}}
"""


@pytest.fixture
def table(compiled: Compile) -> RouteTable:
    return compiled(MANIFESTS).table


def test_a_forwarded_request(table: RouteTable) -> None:
    """Listeners and matches are told in order with reasons, then rule, path, shares, models and mirrors."""
    found = explain(table, "POST", "a.example.com:80", "/v1/../v1/x?debug=0", [(b"x-tier", b"silver")], model="llama")
    assert found.path == "/v1/x?debug=0"
    assert [(entry.what, entry.reason) for entry in found.listeners] == [
        ("default/gateway listener any", "another listener's hostname is more specific, or its Gateway is older"),
        ("default/gateway listener wild", ""),
        ("default/gateway listener other", "is on port 8080"),
    ]
    assert [entry.reason for entry in found.matches] == [
        "path /v1/x is not Exact /v1/chat",
        "path /v1/x is not RegularExpression /v[0-9]",
        "path /v1/x is not PathPrefix /hostrewrite",
        "path /v1/x is not PathPrefix /weightless",
        "path /v1/x is not PathPrefix /broken",
        "path /v1/x is not PathPrefix /old",
        "method POST is not DELETE",
        "header x-tier is 'silver', not 'gold'",
        "header x-tier is 'silver', not 'gold'",
        "query parameter debug is '0', not '1'",
        "",
    ]
    assert found.outcome == "forwarded by default/route rule 1"
    assert found.forwarded_path == "/api/x?debug=0"
    pool, nobody = found.backends
    assert (pool.ref, pool.share, pool.answer, pool.endpoints) == (
        "InferencePool default/pool",
        0.75,
        "",
        ("10.0.0.1:8000",),
    )
    assert (pool.model, pool.criticality) == ("llama-a (90%), llama-b (10%)", "Critical")
    assert (nobody.share, nobody.answer) == (0.25, "500: BackendNotFound")
    assert found.mirrors == (
        "25 % of the requests to Service default/server:80 (no ready endpoint)",
        "100 % of the requests to InferencePool default/pool (1 ready)",
    )
    assert found.rule is not None
    assert found.rule["cluster"] == "httproute/default/route/rule/1"


@pytest.mark.parametrize(
    ("model", "target"), [("even", "one (50%), two (50%)"), ("plain", "plain"), (None, None), ("other", "other")]
)
def test_models(table: RouteTable, model: str | None, target: str | None) -> None:
    """Targets are told with their shares; a model that the pool does not have is a 404."""
    pool = explain(table, "GET", "a.example.com", "/v1/x", model=model).backends[0]
    assert pool.model == target
    assert pool.answer == ("404: the pool does not have the model 'other'" if model == "other" else "")


@pytest.mark.parametrize(
    ("host", "target", "port", "outcome"),
    [
        ("a.example.com", "/%zz", None, "400: the request target is malformed"),
        ("a.example.com", "/none", None, "404: no match of the listener applies"),
        ("a.example.com", "/old/x", None, "302: redirect to https://a.example.com/old/x"),
        ("a.example.com", "/broken", None, "500: NoBackends: the rule has neither backendRefs nor a redirect"),
        ("a.example.com", "/weightless", None, "500: every backendRef has weight 0"),
        ("a.example.com", "/", 81, "404: no listener on port 81 serves host 'a.example.com'"),
        ("b.example.com", "/x", 80, "forwarded by default/b rule 0"),
    ],
)
def test_outcomes(table: RouteTable, host: str, target: str, port: int | None, outcome: str) -> None:
    """Each way that a request can end is told in one line."""
    assert explain(table, "GET", host, target, port=port).outcome == outcome


def test_other_reasons(table: RouteTable) -> None:
    """A listener of another hostname and a match of another host say so; no endpoint is a 503."""
    other_listener = explain(table, "GET", "h", "/v1")
    assert other_listener.listeners[1].reason == "serves *.example.com"
    found = explain(table, "GET", "b.example.com", "/v1")
    assert {entry.reason for entry in found.matches} == {"host is not a.example.com", ""}
    assert found.backends[0].answer == "503: no endpoint is ready"
    assert found.forwarded_path == "/v1"
    assert explain(table, "GET", "a.example.com", "/hostrewrite").forwarded_path == "/hostrewrite"
    absent = explain(table, "DELETE", "a.example.com", "/v1/x")
    assert absent.outcome == "forwarded by default/route rule 0"


def test_an_empty_table() -> None:
    """Without listeners everything is a 404."""
    assert explain(RouteTable(), "GET", "h", "/").outcome.startswith("404")


def test_many_matches_are_cut(compiled: Compile) -> None:
    """Of a long search the last part is told, with the number of those left out."""
    routes = "".join(
        f"""---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r{n}}}
spec:
  parentRefs: [{{name: gateway, sectionName: any}}]
  rules: [{{matches: [{{path: {{value: /r{n}}}}}], backendRefs: [{{name: server, port: 80}}]}}]
"""
        for n in range(250)
    )
    found = explain(compiled(MANIFESTS + routes).table, "GET", "h", "/nowhere")
    assert (len(found.matches), found.omitted) == (200, 50)
