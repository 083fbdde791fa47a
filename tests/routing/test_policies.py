"""Policies: which one applies, from the most specific target to the least."""

from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.resources.backend_traffic_policy import BackendTrafficPolicy
from mirrorgate.resources.inventory import Inventory
from mirrorgate.routing.compiling import Compiled, CompileOptions
from mirrorgate.routing.policies import Policies, Scope
from mirrorgate.routing.policy_targets import targets_of
from mirrorgate.routing.references import References
from mirrorgate.routing.traffic import traffic_refs

BASE = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec: {gatewayClassName: any, listeners: [{name: l, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route}
spec: {parentRefs: [{name: gw}], rules: [{name: r}]}
"""
TARGETS = {
    "rule": "kind: HTTPRoute, name: route, sectionName: r",
    "route": "kind: HTTPRoute, name: route",
    "listener": "kind: Gateway, name: gw, sectionName: l",
    "gateway": "kind: Gateway, name: gw",
}


def policy(name: str, *targets: str) -> str:
    refs = ", ".join(f"{{group: gateway.networking.k8s.io, {target}}}" for target in targets)
    return f"""
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {{name: {name}}}
spec: {{targetRefs: [{refs}]}}
"""


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("rule route listener gateway", "rule"),
        ("gateway listener route", "route"),
        ("listener gateway", "listener"),
        ("gateway", "gateway"),
        ("", None),
    ],
)
def test_the_most_specific_applies(inventory: Callable[[str], Inventory], declared: str, expected: str | None) -> None:
    """Rule before route before listener before Gateway."""
    loaded = inventory(BASE + "".join(policy(name, TARGETS[name]) for name in declared.split()))
    policies: Policies[BackendTrafficPolicy] = Policies()
    kinds = frozenset({"Gateway", "HTTPRoute"})
    references = References(loaded)
    policies.attach(
        loaded,
        loaded.backend_traffic_policies.values(),
        lambda policy: targets_of(loaded, references, policy, traffic_refs(policy), ()),
        kinds,
    )
    assert policies.problems(Scope("c", {})) == []
    found = policies.for_rule(("default", "route"), "r", ("default", "gw"), "l")
    assert (found.policy.metadata.name if found else None) == expected
    assert policies.for_rule(("default", "other"), None, ("default", "other"), "l") is None


def test_a_policy_on_a_route_and_on_its_rule(compiled: Callable[..., Compiled]) -> None:
    """Each target has its entry, both by the Gateway: the route's says that its rule has a policy of its own."""
    status = compiled(BASE + policy("both", TARGETS["rule"], TARGETS["route"])).statuses
    ancestors: Any = status["BackendTrafficPolicy", "default", "both"]["ancestors"]
    names = [entry["ancestorRef"]["name"] for entry in ancestors]
    assert names == ["gw", "gw"]
    types = [[condition["type"] for condition in entry["conditions"]] for entry in ancestors]
    assert types == [["Accepted"], ["Accepted", "Overridden"]]


def test_the_same_target_twice_is_no_conflict(compiled: Callable[..., Compiled]) -> None:
    """A policy does not conflict with itself, and its ancestor is told once."""
    result = compiled(BASE + policy("twice", TARGETS["route"], TARGETS["route"]))
    ancestors: Any = result.statuses["BackendTrafficPolicy", "default", "twice"]["ancestors"]
    assert len(ancestors) == 1
    assert [problem for problem in result.problems if "twice" in problem.path] == []


def test_a_gateways_policy_tells_which_routes_have_their_own(compiled: Callable[..., Compiled]) -> None:
    """A policy on a Gateway is overridden for the routes and rules that have one."""
    manifests = BASE + policy("wide", TARGETS["gateway"]) + policy("narrow", TARGETS["route"])
    ancestors: Any = compiled(manifests).statuses["BackendTrafficPolicy", "default", "wide"]["ancestors"]
    overridden = ancestors[0]["conditions"][1]
    assert overridden["message"] == (
        "This policy is being overridden by other backendTrafficPolicies for these routes: [default/route]"
    )


def test_in_a_cluster_other_controllers_policies_are_left_alone(compiled: Callable[..., Compiled]) -> None:
    """A policy whose targets do not lead to a Gateway of ours gets neither a status nor a warning."""
    ours = """
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: any}
spec: {controllerName: mirrorgate.dev/gateway-controller}
"""
    manifests = BASE + policy("p", TARGETS["gateway"], "kind: HTTPRoute, name: nobody", "kind: TCPRoute, name: route")
    theirs = compiled(manifests, CompileOptions(serve_all_classes=False))
    assert (theirs.statuses, theirs.problems) == ({}, ())
    mine = compiled(manifests + ours, CompileOptions(serve_all_classes=False))
    ancestors: Any = mine.statuses["BackendTrafficPolicy", "default", "p"]["ancestors"]
    assert [entry["ancestorRef"]["name"] for entry in ancestors] == ["gw"]


def test_a_status_holds_sixteen_ancestors(compiled: Callable[..., Compiled]) -> None:
    """Those with bad news first; the last one says that there are more."""
    routes = "".join(
        f"""
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw-{n}}}
spec: {{gatewayClassName: any, listeners: [{{name: l, port: {1000 + n}, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route-{n}}}
spec: {{parentRefs: [{{name: gw-{n}}}], rules: [{{name: r}}]}}
"""
        for n in range(17)
    )
    targets = [f"kind: HTTPRoute, name: route-{n}" for n in range(17)]
    manifests = BASE + routes + policy("first", targets[16]) + policy("wide", *targets)
    ancestors: Any = compiled(manifests).statuses["BackendTrafficPolicy", "default", "wide"]["ancestors"]
    assert len(ancestors) == 16
    assert ancestors[0]["conditions"][0]["reason"] == "Conflicted"
    assert [condition["type"] for condition in ancestors[-1]["conditions"]] == ["Accepted", "Aggregated"]
