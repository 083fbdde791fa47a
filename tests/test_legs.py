"""What a shadow's leg is sent: neither credentials nor framing, the policy's changes, an end to it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.limits import Limits
from mirrorgate.credentials import without_credentials
from mirrorgate.legs import (
    LEG_HEADER,
    candidate_target,
    control_target,
    policy_bytes,
    subject_bytes,
)
from mirrorgate.plans import Effective, MirrorPlan, Plan
from mirrorgate.records import Leg, Target
from mirrorgate.resources.endpoints import Address
from mirrorgate.resources.shadow_policy import ShadowPolicySpec
from mirrorgate.routing.table import Destination, DestinationKind, Mirror
from mirrorgate.snapshot import Snapshot

CANDIDATE = Destination(DestinationKind.SERVICE, "default", "candidate", 8000, ())
HERE = Address("127.0.0.1", 8003)
MARKS = [(LEG_HEADER, b"candidate"), (b"x-envoy-internal", b"true")]

CREDENTIALS = [
    b"authorization",
    b"proxy-authorization",
    b"cookie",
    b"set-cookie",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"x-auth-token",
    b"x-access-token",
    b"x-amz-security-token",
    b"x-amzn-oidc-data",
    b"x-forwarded-access-token",
    b"x-forwarded-client-cert",
    b"x-goog-iap-jwt-assertion",
    b"ocp-apim-subscription-key",
]
FRAMING = [b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect"]


def mirror(**candidate: object) -> Mirror:
    policy = ShadowPolicySpec.model_validate({"candidate": candidate})
    return Mirror(0, "c-mirror-0", CANDIDATE, 1.0, policy)


def plan(**changes: object) -> Plan:
    values: dict[str, object] = {
        "address": Address("127.0.0.1", 8001),
        "cluster": "c",
        "pool": "InferencePool default/p",
        "path": b"/v1/completions?q=%20",
        "host": None,
        "body": b"{}",
        "request_id": "r",
        "limits": Limits(),
        "timeouts": Effective(),
    }
    return Plan(**(values | changes))  # type: ignore[arg-type]


def candidate(sent: list[tuple[bytes, bytes]], to: Plan | None = None, **policy: object) -> Target:
    return candidate_target(MirrorPlan(mirror(**policy), HERE), HERE, to or plan(), sent, b"policy")


def control(sent: list[tuple[bytes, bytes]], to: Plan | None = None, **policy: object) -> Target:
    return control_target(HERE, to or plan(), mirror(**policy), sent, b"policy")


def in_any_case(names: list[bytes]) -> st.SearchStrategy[bytes]:
    """Draw one of the names, each letter in either case."""

    def cased(name: bytes) -> st.SearchStrategy[bytes]:
        letters = [st.sampled_from([bytes([c]).lower(), bytes([c]).upper()]) for c in name]
        return st.tuples(*letters).map(b"".join)

    return st.sampled_from(names).flatmap(cased)


# Credentials


@given(in_any_case(CREDENTIALS), st.binary())
def test_credentials_never_reach_a_candidate(name: bytes, value: bytes) -> None:
    """Whatever their spelling; the other fields keep their order and their bytes."""
    sent = [(b"Host", b"h"), (name, value), (b"X-Author", b"a"), (b"Accept", b"*/*")]
    assert candidate(sent).head == [sent[0], *sent[2:], *MARKS]
    assert without_credentials(sent) == [sent[0], *sent[2:]]


@given(in_any_case(CREDENTIALS))
def test_credentials_are_kept_on_purpose(name: bytes) -> None:
    """With `keepCredentials` the candidate gets what the primary gets."""
    sent = [(b"Host", b"h"), (name, b"secret")]
    assert candidate(sent, keepCredentials=True).head == [*sent, *MARKS]


@given(in_any_case(CREDENTIALS))
def test_the_control_has_the_primarys_credentials(name: bytes) -> None:
    """It goes to the same servers."""
    sent = [(b"Host", b"h"), (name, b"secret")]
    assert control(sent).head == [*sent, (LEG_HEADER, b"control")]


def test_a_candidate_may_have_credentials_of_its_own() -> None:
    """What the policy sets is no client's."""
    own = {"set": [{"name": "Authorization", "value": "Bearer own"}], "add": [{"name": "X-Api-Key", "value": "k"}]}
    sent = [(b"authorization", b"Bearer client"), (b"a", b"b")]
    assert candidate(sent, headers=own).head == [
        (b"a", b"b"),
        (b"authorization", b"Bearer own"),
        (b"x-api-key", b"k"),
        *MARKS,
    ]


QUERIES = [
    ("?key=secret", ""),
    ("?a=1&API_KEY=secret&b=", "?a=1&b="),
    ("?api%2Dkey=secret&&a", "?&a"),
    ("?access_token=1&token=2&apikey=3&auth_token=4&api-key=5", ""),
    ("?tokens=1&keys=2&", "?tokens=1&keys=2&"),
    ("?", "?"),
    ("", ""),
]


@pytest.mark.parametrize(("query", "kept"), QUERIES)
def test_credentials_in_the_query_stay_behind_too(query: str, kept: str) -> None:
    """Some clients put their key there; nothing else of the target changes."""
    to = plan(path=b"/v1/completions" + query.encode())
    assert candidate([], to).path == f"/v1/completions{kept}"
    assert candidate([], to, keepCredentials=True).path == f"/v1/completions{query}"
    assert control([], to).path == f"/v1/completions{query}"


# Fields


@given(in_any_case(FRAMING))
def test_a_leg_has_framing_of_its_own(name: bytes) -> None:
    """The primary's is left out, and no policy can declare another: two lengths are two requests."""
    sent = [(name, b"5"), (b"Host", b"h")]
    declared = {"set": [{"name": name.decode(), "value": "7"}], "add": [{"name": name.decode(), "value": "9"}]}
    assert candidate(sent, headers=declared).head == [(b"Host", b"h"), *MARKS]
    assert control(sent).head == [(b"Host", b"h"), (LEG_HEADER, b"control")]


def test_the_policys_header_changes_are_made() -> None:
    """Set, add and remove, names in any case."""
    changes = {
        "set": [{"name": "HOST", "value": "candidate"}],
        "add": [{"name": "X-New", "value": "1"}],
        "remove": ["x-oLd"],
    }
    sent = [(b"Host", b"h"), (b"X-Old", b"1"), (b"X-New", b"0")]
    assert candidate(sent, headers=changes).head == [
        (b"Host", b"candidate"),
        (b"X-New", b"0"),
        (b"x-new", b"1"),
        *MARKS,
    ]
    assert control(sent, headers=changes).head == [*sent, (LEG_HEADER, b"control")]


def test_a_leg_is_marked_once() -> None:
    """Neither a client nor a policy can take the mark away or give another."""
    sent = [(b"X-Mirrorgate-Leg", b"control"), (b"X-Envoy-Internal", b"false")]
    changes = {"set": [{"name": "x-mirrorgate-leg", "value": "none"}], "remove": ["x-envoy-internal"]}
    assert candidate(sent, headers=changes).head == MARKS
    assert control(sent).head == [(LEG_HEADER, b"control")]


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.binary(max_size=9)), max_size=5), st.booleans())
def test_the_primarys_fields_are_not_touched(sent: list[tuple[bytes, bytes]], keep: bool) -> None:
    """They are on their way to production."""
    before = list(sent)
    candidate(sent, keepCredentials=keep)
    control(sent)
    assert sent == before


# Targets


def test_a_candidates_target() -> None:
    """Mirror, endpoint and policy, with the path that the primary gets."""
    target = candidate([], modelName="new", maxParallelRequests=3, connectTimeout=1.0, idleTimeout=2.0)
    assert target == Target(
        leg=Leg.CANDIDATE,
        cluster="c-mirror-0",
        ref="Service default/candidate:8000",
        host="127.0.0.1",
        port=8003,
        head=MARKS,
        path="/v1/completions?q=%20",
        model="new",
        timeout=300.0,
        connect_timeout=1.0,
        idle_timeout=2.0,
        max_parallel=3,
        policy=b"policy",
    )
    assert candidate([]).model is None


@pytest.mark.parametrize(
    ("model", "target_model", "written"),
    [(None, None, None), ("m", "m", None), ("m", "m-2", "m-2")],
)
def test_a_controls_target(model: str | None, target_model: str | None, written: str | None) -> None:
    """The primary's cluster and pool, and the model that the primary was asked for; not the candidate's."""
    target = control([], plan(model=model, target_model=target_model), modelName="new", maxParallelRequests=3)
    assert (target.leg, target.cluster, target.ref) == (Leg.CONTROL, "c", "InferencePool default/p")
    assert (target.host, target.port, target.path) == ("127.0.0.1", 8003, "/v1/completions?q=%20")
    assert (target.model, target.max_parallel, target.policy) == (written, 3, b"policy")


@pytest.mark.parametrize(("route", "expected"), [(0.0, 60.0), (15.0, 15.0), (90.0, 60.0)])
@pytest.mark.parametrize("leg", [candidate, control])
def test_a_leg_lasts_no_longer_than_route_and_policy_allow(
    leg: Callable[..., Target], route: float, expected: float
) -> None:
    """A route without a limit leaves the policy's: a leg is never endless."""
    assert leg([], plan(timeouts=Effective(request=route)), timeout=60.0).timeout == expected


# The policy


FULL = """
  mode: equivalence,
  candidate: {modelName: new, keepCredentials: true, timeout: 1m30s, connectTimeout: 500ms, idleTimeout: 7ms,
    headers: {set: [{name: A, value: b}], remove: [c]}, tokenBudget: {tokens: 10, interval: 1h}},
  control: {percent: 3}, sampling: {by: Header, header: X-User},
  guardrails: [{name: errors, margin: 0.01}, {name: mine, enabled: false, scorer: {url: "http://127.0.0.1:1/"}}],
  alphaPromote: 0.02, alphaReject: 0.03, minPairs: 20, slo: {ttft: 250ms, e2e: 10s},
  ignore: {jsonPaths: [$.id], headers: [Date]}, journal: {content: redacted, redactPatterns: ["a+"]}
"""


@pytest.mark.parametrize("spec", ["mode: replacement", FULL])
def test_a_policy_comes_back_as_it_was_declared(manifests: Any, spec: str) -> None:
    """The shadow process reads it with the same model."""
    ref = f"{{type: RequestMirror, requestMirror: {{backendRef: {manifests.to_server('b')}}}}}"
    snapshot: Snapshot = manifests.snapshot(
        manifests.route(f"[{{backendRefs: [{manifests.to_server('a')}], filters: [{ref}]}}]"),
        manifests.server("a", 7001),
        manifests.server("b", 7002),
        manifests.policy("ShadowPolicy", spec),
    )
    [mirrored] = snapshot.table.listeners[0].matches[0].rule.mirrors
    assert mirrored.policy_source == "default/policy"
    copy = ShadowPolicySpec.model_validate_json(policy_bytes(mirrored.policy))
    assert copy.model_dump() == mirrored.policy.model_dump()
    assert policy_bytes(copy) == policy_bytes(mirrored.policy)


def test_the_default_policy_comes_back() -> None:
    """A mirror without a ShadowPolicy has one all the same."""
    assert ShadowPolicySpec.model_validate_json(policy_bytes(ShadowPolicySpec())) == ShadowPolicySpec()


# What is compared


def subject(manifests: Any, rules: str, *more: str) -> dict[str, Any]:
    snapshot: Snapshot = manifests.snapshot(
        manifests.route(rules),
        *(manifests.server(name, port) for name, port in (("a", 7001), ("b", 7002), ("c", 7003))),
        *more,
    )
    rule = snapshot.table.listeners[0].matches[0].rule
    found: dict[str, Any] = json.loads(subject_bytes(rule, rule.mirrors[0]))
    return found


def test_a_subject_is_what_is_declared(manifests: Any) -> None:
    """Destinations of both sides and the candidate's model; neither endpoints nor shares."""
    ref = f"{{type: RequestMirror, requestMirror: {{backendRef: {manifests.to_server('b')}, percent: %d}}}}"
    rules = f"[{{backendRefs: [{manifests.to_server('a', ', weight: %d')}, {manifests.to_server('c', ', weight: %d')}]"
    rules += f", filters: [{ref}]}}]"
    found = subject(manifests, rules % (9, 1, 100))
    assert found == {
        "route": "default/route",
        "rule": 0,
        "primary": [{"ref": "Backend default/a"}, {"ref": "Backend default/c"}],
        "candidate": {"ref": "Backend default/b"},
    }
    assert subject(manifests, rules % (1, 5, 10)) == found
    assert subject(manifests, rules % (1, 0, 10))["primary"] == [{"ref": "Backend default/a"}]
    policy = manifests.policy("ShadowPolicy", "candidate: {modelName: next}")
    assert subject(manifests, rules % (9, 1, 100), policy)["candidate"]["model"] == "next"


def test_a_subject_names_the_models_of_a_pool(manifests: Any) -> None:
    """Another target model is another comparison."""
    ref = f"{{type: RequestMirror, requestMirror: {{backendRef: {manifests.to_server('b')}}}}}"
    rules = f"[{{backendRefs: [{manifests.to_pool('p')}], filters: [{ref}]}}]"
    model = (
        "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceModel\nmetadata: {name: m}\n"
        "spec: {modelName: food, criticality: Standard, poolRef: {name: p}, targetModels: [{name: food-v2, weight: 1}]}"
    )
    (primary,) = subject(manifests, rules, manifests.pool("p", 7004), model)["primary"]
    assert primary == {"ref": "InferencePool default/p", "models": {"food": ["food-v2"]}}


def test_a_subject_travels_with_the_candidates_target() -> None:
    """The shadow process starts the evidence anew when it changes."""
    target = candidate_target(MirrorPlan(mirror(), HERE), HERE, plan(), [], b"policy", b"subject")
    assert (target.policy, target.subject) == (b"policy", b"subject")
