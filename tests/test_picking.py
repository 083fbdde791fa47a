"""Which profile picks for a destination, what the profile is told, and how a pick without an endpoint is answered."""

from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.director import Director, destinations_of, rules_of
from mirrorgate.errors import REPLIES, Refusal
from mirrorgate.picking import profile_of
from mirrorgate.plans import Plan, Refused
from mirrorgate.routing.table import TrafficPolicy
from mirrorgate.scheduling.endpoints import EndpointHealth, Load

Directing = Callable[..., Director]
Ask = Callable[..., Plan | Refused]

CHAT = "/v1/chat/completions"
HELLO = b'{"model": "llama", "messages": [{"role": "user", "content": "hello"}]}'
BUSY = {f"127.0.0.1:{port}": EndpointHealth(Load(waiting=9, at=4.0)) for port in (8001, 8002)}


def model(criticality: str) -> str:
    """Return an InferenceModel `llama` of the pool `p`."""
    return (
        "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceModel\nmetadata: {name: llama}\n"
        f"spec: {{modelName: llama, poolRef: {{name: p}}{criticality and f', criticality: {criticality}'}}}"
    )


def objective(name: str, priority: int) -> str:
    return (
        f"apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceObjective\nmetadata: {{name: {name}}}\n"
        f"spec: {{priority: {priority}, poolRef: {{name: p}}}}"
    )


@pytest.fixture(scope="module")
def on_pool(directing: Directing, manifests: Any) -> Directing:
    """Return a function to a director that leads everything to a pool of two."""

    def direct(*more: str, profile: str = "", **options: object) -> Director:
        pool = manifests.pool("p", 8001, 8002)
        if profile:
            named = f"metadata: {{name: p, annotations: {{mirrorgate.dev/scheduling-profile: {profile}}}}}"
            pool = pool.replace("metadata: {name: p}", named, 1)
        return directing(manifests.route(f"[{{backendRefs: [{manifests.to_pool('p')}]}}]"), pool, *more, **options)

    return direct


def profile(director: Director) -> str:
    [rule] = rules_of(director.snapshot)
    [destination] = destinations_of(rule)
    return profile_of(destination, rule.traffic).name


def test_the_profile_follows_the_destination(directing: Directing, manifests: Any) -> None:
    """A pool is picked by load whatever the policy says, others by the policy's balancer, or Envoy's default."""
    refs = f"{manifests.to_pool('p')}, {manifests.to_server('a')}"
    director = directing(
        manifests.route(f"[{{backendRefs: [{refs}]}}]"), manifests.pool("p", 8001), manifests.server("a", 7001)
    )
    [rule] = rules_of(director.snapshot)
    pool, server = destinations_of(rule)
    assert profile_of(pool, TrafficPolicy(load_balancer="RoundRobin")).name == "gaie-v1"
    assert profile_of(server, TrafficPolicy(load_balancer="RoundRobin")).name == "round-robin"
    assert profile_of(server, TrafficPolicy(load_balancer="Unheard")).name == "least-request"


def test_the_profile_follows_the_era(on_pool: Directing) -> None:
    """Models with a criticality bring the picker of their time, unless the pool names another."""
    assert profile(on_pool(model(""))) == "gaie-v1"
    assert profile(on_pool(model("Standard"))) == "gaie-v0.3"
    assert profile(on_pool(model("Critical"), profile="gaie-v1")) == "gaie-v1"
    assert profile(on_pool(profile="gaie-v0.3")) == "gaie-v0.3"
    assert profile(on_pool(profile="round-robin")) == "round-robin"


def test_an_unknown_profile_is_a_warning(on_pool: Directing) -> None:
    """The pool is picked for as if it had named none."""
    director = on_pool(profile="gaie-v9")
    assert profile(director) == "gaie-v1"
    [problem] = [str(problem) for problem in director.snapshot.problems if "'gaie-v9'" in str(problem)]
    assert "one of gaie-v1, gaie-v0.3, least-request" in problem


@pytest.mark.parametrize(
    ("criticality", "profile", "header", "shed"),
    [
        ("Critical", "", "", False),
        ("Standard", "", "", True),
        ("Sheddable", "", "", True),
        ("Sheddable", "gaie-v1", "", True),
        ("Standard", "gaie-v1", "", False),
        ("", "", "", False),
        ("", "", "batch", True),
        ("", "", "chat", False),
        ("", "", "unheard", False),
        ("Sheddable", "gaie-v1", "chat", False),
        ("Critical", "", "batch", True),
        ("Standard", "", "chat", False),
    ],
)
def test_who_is_shed_when_the_pool_is_saturated(
    on_pool: Directing, ask: Ask, criticality: str, profile: str, header: str, shed: bool
) -> None:
    """By the table of the eras; an InferenceObjective that the request names wins over its model's criticality."""
    more = [model(criticality), objective("batch", -1), objective("chat", 0)]
    director = on_pool(*more, profile=profile, loads=BUSY)
    headers = {"x-gateway-inference-objective": header} if header else {}
    answer = ask(director, CHAT, HELLO, headers=headers)
    if not shed:
        assert isinstance(answer, Plan)
        return
    assert isinstance(answer, Refused)
    assert (answer.refusal, answer.model, answer.code) == (Refusal.SATURATED, "llama", "system_saturated")
    assert answer.headers == ((b"x-llm-d-request-dropped-reason", b"rejected-saturated"), (b"retry-after", b"1"))
    assert REPLIES[answer.refusal].status == 429


def test_a_pool_without_endpoints_tells_the_reason(directing: Directing, manifests: Any, ask: Ask) -> None:
    """As an endpoint picker does; a Service's reply is Envoy's alone."""
    pool = directing(manifests.route(f"[{{backendRefs: [{manifests.to_pool('p')}]}}]"), manifests.pool("p"))
    gone = Refused(
        Refusal.NO_ENDPOINTS, headers=((b"x-llm-d-request-dropped-reason", b"rejected-no-endpoints"),), model="llama"
    )
    assert ask(pool, CHAT, HELLO) == gone


def test_a_header_names_the_target_model(on_pool: Directing, ask: Ask) -> None:
    """Over what the pool declares, and in the body that the server gets."""
    plan = ask(on_pool(model("")), CHAT, HELLO, headers={"x-llm-d-model-name-rewrite": "llama-7b"})
    assert isinstance(plan, Plan)
    assert (plan.model, plan.target_model) == ("llama", "llama-7b")
    assert plan.body is not None
    assert b'"llama-7b"' in plan.body
