"""Routes: parents and status that the golden pairs `httproute-*` leave open."""

from collections.abc import Callable
from typing import Any

from mirrorgate.routing.compiling import Compiled, CompileOptions

Compile = Callable[..., Compiled]

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
"""
CLASS = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: any}
spec: {controllerName: mirrorgate.dev/gateway-controller}
---
"""


def route(spec: str) -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route, generation: 4}}
spec: {spec}
"""


def test_a_route_without_parents(compiled: Compile) -> None:
    """It is reached by nothing, has no status, and says so."""
    result = compiled(GATEWAY + route("{}"))
    assert ("HTTPRoute", "default", "route") not in result.statuses
    assert any("names no parent" in problem.message for problem in result.problems)


def test_default_gateways_are_not_honoured(compiled: Compile) -> None:
    """An experimental field that is set to no effect is a warning."""
    result = compiled(GATEWAY + route("{useDefaultGateways: All, parentRefs: [{name: gateway}]}"))
    assert any("useDefaultGateways" in problem.path for problem in result.problems)


def test_two_parent_refs_to_one_listener(compiled: Compile) -> None:
    """A listener that is selected twice has the route once."""
    parents = "[{name: gateway, sectionName: http}, {name: gateway, port: 80}]"
    result = compiled(GATEWAY + route(f"{{parentRefs: {parents}}}"))
    assert len(result.table.listeners[0].matches) == 1
    statuses: Any = result.statuses
    status = statuses["Gateway", "default", "gateway"]
    assert status["listeners"][0]["attachedRoutes"] == 1
    assert len(statuses["HTTPRoute", "default", "route"]["parents"]) == 2


def test_in_a_cluster_other_parents_are_others_business(compiled: Compile) -> None:
    """A Gateway that does not exist may be another controller's to report, outside of files."""
    text = CLASS + GATEWAY + route("{parentRefs: [{name: nobody}, {name: gateway}]}")
    names = []
    for options in (CompileOptions(serve_all_classes=False), CompileOptions()):
        parents: Any = compiled(text, options).statuses["HTTPRoute", "default", "route"]["parents"]
        names.append([parent["parentRef"]["name"] for parent in parents])
    assert names == [["gateway"], ["nobody", "gateway"]]


def test_references_are_resolved_for_a_route_that_is_not_accepted(compiled: Compile) -> None:
    """httproute-invalid-cross-namespace-parent-ref: Accepted False and ResolvedRefs True at once."""
    text = GATEWAY.replace("{name: gateway}", "{name: gateway, namespace: infra}")
    result = compiled(text + route("{parentRefs: [{name: gateway, namespace: infra}]}"))
    parents: Any = result.statuses["HTTPRoute", "default", "route"]["parents"]
    (parent,) = parents
    conditions = {c["type"]: (c["status"], c["reason"], c["observedGeneration"]) for c in parent["conditions"]}
    assert conditions == {
        "Accepted": ("False", "NotAllowedByListeners", 4),
        "ResolvedRefs": ("True", "ResolvedRefs", 4),
    }
