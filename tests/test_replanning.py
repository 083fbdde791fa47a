"""Where a request that is sent again goes, when its own backend has nothing left to offer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from mirrorgate.director import Director, rules_of
from mirrorgate.health import watched
from mirrorgate.plans import Plan, Refused
from mirrorgate.replanning import at_choice, at_next_choice

BODY = json.dumps({"model": "base", "messages": [{"role": "user", "content": "hi"}]}).encode()


def test_another_endpoint_then_another_backend_then_any(
    directing: Callable[..., Director], planned: Callable[..., Plan], manifests: Any
) -> None:
    """Its own endpoints first, then another backend with its own changes to headers, and in the end any."""
    change = "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x, value: y}]}}]"
    one, two = manifests.to_server("one", ", weight: 1000000"), manifests.to_server("two", f", {change}")
    director = directing(
        manifests.route(f"[{{backendRefs: [{one}, {two}]}}]"),
        manifests.server("one", 1, 2),
        manifests.server("two", 3),
        manifests.policy("BackendTrafficPolicy", "retry: {}"),
    )
    plan = planned(director)
    assert plan.retry is not None
    tried: set[str] = set()
    endpoints: list[str] = []
    for _ in range(4):
        endpoints.append(str(plan.address))
        tried.add(endpoints[-1])
        again = director.again(plan, frozenset(tried))
        assert isinstance(again, Plan)
        plan = again
    assert set(endpoints[:2]) == {"127.0.0.1:1", "127.0.0.1:2"}
    assert endpoints[2:] == ["127.0.0.1:3", "127.0.0.1:3"]
    assert plan.pool == "Backend default/two"
    assert [change.set for change in plan.request_changes] == [(("x", "y"),)]


def test_a_backend_of_weight_0_gets_no_retry(
    directing: Callable[..., Director], planned: Callable[..., Plan], manifests: Any
) -> None:
    """It was declared to get nothing; nor does one that does not exist."""
    refs = f"{manifests.to_server('one')}, {manifests.to_server('two', ', weight: 0')}"
    director = directing(
        manifests.route(f"[{{backendRefs: [{refs}]}}]"), manifests.server("one", 1), manifests.server("two", 2)
    )
    again = director.again(planned(director), frozenset({"127.0.0.1:1"}))
    assert isinstance(again, Plan)
    assert str(again.address) == "127.0.0.1:1"


def test_a_pool_names_its_own_model(
    directing: Callable[..., Director], planned: Callable[..., Plan], manifests: Any
) -> None:
    """The body that goes to another pool asks for that pool's model."""
    model = """
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {name: %s}
spec: {modelName: base, poolRef: {name: %s}, targetModels: [{name: %s-tuned, weight: 1}]}
"""
    refs = ", ".join(
        manifests.to_pool(name)[:-1] + f", weight: {weight}}}" for name, weight in (("a", 10**6), ("b", 1))
    )
    director = directing(
        manifests.route(f"[{{backendRefs: [{refs}]}}]"),
        manifests.pool("a", 1),
        manifests.pool("b", 2),
        model % ("a", "a", "a"),
        model % ("b", "b", "b"),
    )
    plan = planned(director, "/v1/chat/completions", BODY, headers={"content-type": "application/json"})
    assert (plan.target_model, json.loads(plan.body or b"")["model"]) == ("a-tuned", "a-tuned")
    again = director.again(plan, frozenset({"127.0.0.1:1"}))
    assert isinstance(again, Plan)
    assert (again.target_model, json.loads(again.body or b"")["model"]) == ("b-tuned", "b-tuned")
    assert (again.model, str(again.address)) == ("base", "127.0.0.1:2")
    assert again.request_id == plan.request_id


def test_endpoints_that_are_gone(
    directing: Callable[..., Director], planned: Callable[..., Plan], manifests: Any
) -> None:
    """The plan's own snapshot holds, so that a reload between two tries changes nothing."""
    texts = (manifests.route(f"[{{backendRefs: [{manifests.to_server('one')}]}}]"),)
    director = directing(*texts, manifests.server("one", 1))
    plan = planned(director)
    director.adopt(manifests.snapshot(*texts, manifests.server("one", 2)))
    again = director.again(plan, frozenset({"127.0.0.1:1"}))
    assert not isinstance(again, Refused)
    assert str(again.address) == "127.0.0.1:1"


def test_another_backend_has_its_own_path_and_no_redirect(
    directing: Callable[..., Director], planned: Callable[..., Plan], manifests: Any
) -> None:
    """What is sent again is rewritten as the other backend asks; one that would redirect is none to try."""
    own = "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /two}}}]"
    away = "filters: [{type: RequestRedirect, requestRedirect: {hostname: a.test}}]"
    one, two = manifests.to_server("one", ", weight: 1000000"), manifests.to_server("two", f", {own}")
    three = manifests.to_server("three", f", {away}")
    director = directing(
        manifests.route(f"[{{backendRefs: [{one}, {two}, {three}]}}]"),
        *(manifests.server(name, port) for port, name in enumerate(("one", "two", "three"), 1)),
        manifests.policy("BackendTrafficPolicy", "retry: {}"),
    )
    plan = planned(director, "/one")
    for _ in range(8):
        again = director.again(plan, frozenset({"127.0.0.1:1"}))
        assert isinstance(again, Plan)
        assert (again.pool, again.path) == ("Backend default/two", b"/two")


def test_a_pickers_list_is_walked(
    directing: Callable[..., Director], planned: Callable[..., Plan], manifests: Any
) -> None:
    """In its order, and at its end from its beginning; the pool's other endpoints are not for us to choose."""
    director = directing(
        manifests.route(f"[{{backendRefs: [{manifests.to_pool('pool')}]}}]"), manifests.pool("pool", 1, 2, 3)
    )
    plan = planned(director, "/v1/chat/completions", BODY)
    assert plan.destination is not None
    endpoints = {str(each): each for each in plan.destination.endpoints}
    choices = (endpoints["127.0.0.1:3"], endpoints["127.0.0.1:1"])
    plan = msgspec.structs.replace(at_choice(plan, choices[0], "chosen by epp"), choices=choices)
    tried: set[str] = set()
    for expected in ("127.0.0.1:3", "127.0.0.1:1", "127.0.0.1:3"):
        assert plan.pick is not None
        assert (str(plan.address), plan.pick.endpoint, plan.pick.reason) == (expected, expected, "chosen by epp")
        assert plan.pick.profile == "external"
        tried.add(expected)
        again = director.again(plan, frozenset(tried))
        assert isinstance(again, Plan)
        plan = again


def test_an_ejected_choice_of_a_picker_comes_last(
    directing: Callable[..., Director], planned: Callable[..., Plan], manifests: Any
) -> None:
    """The picker may not know yet that an endpoint is out; with nothing else on its list, it gets its way."""
    director = directing(
        manifests.route(f"[{{backendRefs: [{manifests.to_pool('pool')}]}}]"),
        manifests.pool("pool", 1, 2, 3),
        manifests.policy(
            "BackendTrafficPolicy",
            "retry: {}, healthCheck: {panicThreshold: 0, passive: {consecutive5XxErrors: 1, maxEjectionPercent: 100}}",
        ),
    )
    director.health.adopt(map(watched, rules_of(director.snapshot)))
    plan = planned(director, "/v1/chat/completions", BODY)
    assert plan.destination is not None
    assert plan.health is not None
    endpoints = {str(each): each for each in plan.destination.endpoints}
    choices = (endpoints["127.0.0.1:3"], endpoints["127.0.0.1:1"])
    plan = msgspec.structs.replace(plan, choices=choices)
    plan.health.answered("127.0.0.1:3", 500)
    assert str(at_next_choice(plan, ()).address) == "127.0.0.1:1"
    assert str(at_next_choice(plan, {"127.0.0.1:1"}).address) == "127.0.0.1:3"
    assert str(at_next_choice(plan, endpoints).address) == "127.0.0.1:1"
    plan.health.answered("127.0.0.1:1", 500)
    assert str(at_next_choice(plan, (), "chosen by epp").address) == "127.0.0.1:3"


def test_a_session_goes_along(directing: Callable[..., Director], planned: Callable[..., Plan], manifests: Any) -> None:
    """The cookie that begins one is given by another backend, too, where its key leads to an endpoint as well."""
    one, two = manifests.to_server("one", ", weight: 1000000"), manifests.to_server("two")
    director = directing(
        manifests.route(f"[{{backendRefs: [{one}, {two}]}}]"),
        manifests.server("one", 1),
        manifests.server("two", *range(2, 30)),
        manifests.policy(
            "BackendTrafficPolicy",
            "retry: {}, loadBalancer: {type: ConsistentHash, consistentHash: {type: Cookie, tableSize: 1009,"
            " cookie: {name: sid, ttl: 1h}}}",
        ),
    )
    plan = planned(director)
    assert plan.response_changes[-1].add[0][0] == "set-cookie"
    moved = [director.again(plan, frozenset({"127.0.0.1:1"})) for _ in range(9)]
    assert {each.pool for each in moved if isinstance(each, Plan)} == {"Backend default/two"}
    assert {each.response_changes for each in moved if isinstance(each, Plan)} == {plan.response_changes}
    assert len({each.address for each in moved if isinstance(each, Plan)}) == 1
