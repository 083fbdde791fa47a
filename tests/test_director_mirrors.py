"""Which requests are copied, where to, and when the primary is asked again."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.director import Director
from mirrorgate.errors import Refusal
from mirrorgate.plans import Plan, Refused
from mirrorgate.scheduling.endpoints import EndpointHealth, Load

Directing = Callable[..., Director]
Planned = Callable[..., Plan]
Mirrored = Callable[..., Director]

CHAT = "/v1/chat/completions"


def chat(text: str, user: str = "") -> bytes:
    return b'{"model": "m", "user": "%b", "messages": [{"role": "user", "content": "%b"}]}' % (
        user.encode(),
        text.encode(),
    )


@pytest.fixture(scope="module")
def mirrored(directing: Directing, manifests: Any) -> Mirrored:
    """Return a function to a director of a pool of two (8001, 8002), mirrored to these shares of copies.

    `to` has a backendRef for each share, the pool `candidate` (8003, 8004) by default; `policy` is a ShadowPolicy's.
    """

    def direct(
        *shares: str, to: tuple[str, ...] = (), policy: str = "", more: tuple[str, ...] = (), **options: object
    ) -> Director:
        refs = to or (manifests.to_pool("candidate"),) * len(shares)
        filters = ", ".join(
            f"{{type: RequestMirror, requestMirror: {{backendRef: {ref}, {share}}}}}"
            for ref, share in zip(refs, shares, strict=True)
        )
        texts = [manifests.policy("ShadowPolicy", policy)] if policy else []
        return directing(
            manifests.route(f"[{{backendRefs: [{manifests.to_pool('p')}], filters: [{filters}]}}]"),
            manifests.pool("p", 8001, 8002),
            manifests.pool("candidate", 8003, 8004),
            manifests.server("other", 7001),
            *more,
            *texts,
            **options,
        )

    return direct


def ports(plan: Plan) -> list[int | None]:
    return [None if mirror.address is None else mirror.address.port for mirror in plan.mirrors]


# Sampling


@pytest.mark.parametrize("seed", range(3))
def test_samples_are_nested_and_have_their_shares(mirrored: Mirrored, planned: Planned, seed: int) -> None:
    """One draw decides all mirrors of a request, as Envoy's does: whoever is in 20 % is in 80 %, too (measured)."""
    director = mirrored("percent: 20", "percent: 80", seed=seed)
    counts = [0, 0]
    for _ in range(1000):
        plan = planned(director, CHAT, chat("x"))
        chosen = [mirror.mirror.index for mirror in plan.mirrors]
        left_out = [mirror.index for mirror in plan.sampled_out]
        assert chosen in ([], [1], [0, 1])
        assert sorted(chosen + left_out) == [0, 1]
        for index in chosen:
            counts[index] += 1
    # Four standard deviations.
    assert abs(counts[0] - 200) < 51
    assert abs(counts[1] - 800) < 51


def test_all_is_all(mirrored: Mirrored, planned: Planned) -> None:
    """Without a share every request is copied, with 0 none; that mirror is not even there."""
    director = mirrored("percent: 100", "fraction: {numerator: 0}")
    for _ in range(50):
        plan = planned(director, CHAT, chat("x"))
        assert [mirror.mirror.index for mirror in plan.mirrors] == [0]
        assert plan.sampled_out == ()


def test_a_header_makes_the_sample_stick(mirrored: Mirrored, planned: Planned) -> None:
    """All requests of a user are in or out, whichever process decides; those without the header are drawn each."""
    directors = [mirrored("percent: 50", policy="sampling: {by: Header, header: X-User}", seed=seed) for seed in (1, 2)]
    decided = {}
    for user in map(str, range(100)):
        plans = [planned(director, CHAT, chat("x"), headers={"x-uSER": user}) for director in directors for _ in "ab"]
        assert len({bool(plan.mirrors) for plan in plans}) == 1
        decided[user] = bool(plans[0].mirrors)
    assert 25 < sum(decided.values()) < 75
    assert len({bool(planned(directors[0], CHAT, chat("x")).mirrors) for _ in range(40)}) == 2


def test_a_conversation_makes_the_sample_stick(mirrored: Mirrored, planned: Planned) -> None:
    """Every turn is in or out with the first; what belongs to no conversation is drawn each time."""
    director = mirrored("percent: 50", policy="sampling: {by: Conversation}")
    turns = b'{"model": "m", "messages": [{"role": "user", "content": "%d"}%b]}'
    more = b', {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}'
    decided = []
    for number in range(100):
        plans = [planned(director, CHAT, turns % (number, rest)) for rest in (b"", more, more + more)]
        assert len({bool(plan.mirrors) for plan in plans}) == 1
        decided.append(bool(plans[0].mirrors))
    assert 25 < sum(decided) < 75
    assert len({bool(planned(director, "/v1/models", method="GET").mirrors) for _ in range(40)}) == 2


@given(st.sampled_from(["percent: 1", "percent: 50", "percent: 99"]), st.text(max_size=20))
def test_a_sticky_draw_is_the_keys_alone(mirrored: Mirrored, planned: Planned, share: str, user: str) -> None:
    """Neither the seed nor what went before matters."""
    policy = "sampling: {by: Header, header: X-User}"
    one, other = (mirrored(share, policy=policy, seed=seed) for seed in (1, 2))
    planned(other, CHAT, chat("before"))
    chosen = [planned(director, CHAT, chat("x"), headers={"X-User": user}).mirrors for director in (one, other)]
    assert bool(chosen[0]) is bool(chosen[1])


# Where copies go


def test_a_copy_to_a_pool_goes_where_the_load_is_low(mirrored: Mirrored, planned: Planned) -> None:
    """The candidate's endpoints are picked as the primary's are."""
    loads = {
        "127.0.0.1:8003": EndpointHealth(Load(waiting=9, at=1.0)),
        "127.0.0.1:8004": EndpointHealth(Load(waiting=0, at=1.0)),
    }
    director = mirrored("percent: 100", loads=loads)
    assert all(ports(planned(director, CHAT, chat(f"{n}"))) == [8004] for n in range(20))
    assert planned(director, CHAT, chat("x")).address.port in (8001, 8002)


def test_a_copy_to_a_server_goes_there(mirrored: Mirrored, planned: Planned, manifests: Any) -> None:
    """Pools and servers may be mixed."""
    refs = (manifests.to_server("other"), manifests.to_pool("candidate"))
    first, second = ports(planned(mirrored("percent: 100", "percent: 100", to=refs), CHAT, chat("x")))
    assert (first, second in (8003, 8004)) == (7001, True)


def test_a_candidate_without_endpoints_is_told(mirrored: Mirrored, planned: Planned, manifests: Any) -> None:
    """The mirror is planned and has no address, so that it can be counted; the primary goes on."""
    director = mirrored("percent: 100", to=(manifests.to_pool("empty"),), more=(manifests.pool("empty"),))
    plan = planned(director, CHAT, chat("x"))
    assert ports(plan) == [None]
    assert plan.address.port in (8001, 8002)


@pytest.mark.parametrize(("policy", "asked"), [("", "target"), ("candidate: {modelName: new}", "new")])
def test_a_copy_is_picked_by_the_model_that_it_asks_for(
    mirrored: Mirrored, planned: Planned, policy: str, asked: str
) -> None:
    """The policy's, else the primary's after its rewrite: the endpoint that has that adapter gets it."""
    model = (
        "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceModel\nmetadata: {name: m}\n"
        "spec: {modelName: m, poolRef: {name: p}, targetModels: [{name: target, weight: 1}]}"
    )
    adapters = {8003: frozenset({"m", "x"}), 8004: frozenset({asked, "x"})}
    loads = {
        f"127.0.0.1:{port}": EndpointHealth(Load(max_lora=2, active_adapters=active, at=1.0))
        for port, active in adapters.items()
    }
    director = mirrored("percent: 100", policy=policy, more=(model,), loads=loads)
    plans = [planned(director, CHAT, chat("x")) for _ in range(20)]
    assert {plan.target_model for plan in plans} == {"target"}
    assert {port for plan in plans for port in ports(plan)} == {8004}


def test_a_copy_warms_no_cache_in_the_books(mirrored: Mirrored, planned: Planned) -> None:
    """Only the primary's prefixes are remembered: candidates are picked as if they had never been asked."""
    director = mirrored("percent: 100")
    for _ in range(20):
        director.started(planned(director, CHAT, chat("long " * 2000))).release()
    assert {port for _ in range(40) for port in ports(planned(director, CHAT, chat("long " * 2000)))} == {8003, 8004}


def test_a_request_that_is_refused_has_no_copies(
    directing: Directing, manifests: Any, ask: Callable[..., Plan | Refused]
) -> None:
    """A primary without endpoints is not mirrored either (measured)."""
    mirror = f"{{type: RequestMirror, requestMirror: {{backendRef: {manifests.to_server('other')}}}}}"
    director = directing(
        manifests.route(f"[{{backendRefs: [{manifests.to_pool('p')}], filters: [{mirror}]}}]"),
        manifests.pool("p"),
        manifests.server("other", 7001),
    )
    answer = ask(director, CHAT, chat("x"))
    assert isinstance(answer, Refused)
    assert answer.refusal is Refusal.NO_ENDPOINTS


# The control


def test_there_is_no_control_unless_it_is_asked_for(mirrored: Mirrored, planned: Planned) -> None:
    """It is load on production."""
    for policy in ("", "control: {percent: 0}"):
        director = mirrored("percent: 100", policy=policy, calm=lambda cluster: True)
        assert {planned(director, CHAT, chat("x")).control for _ in range(20)} == {None}


def test_the_control_is_only_sent_in_calm(mirrored: Mirrored, planned: Planned) -> None:
    """The rule's cluster decides, for each request."""
    asked: list[str] = []

    def calm(cluster: str) -> bool:
        asked.append(cluster)
        return len(asked) % 2 == 0

    director = mirrored("percent: 100", policy="control: {percent: 100}", calm=calm)
    controls = [planned(director, CHAT, chat("x")).control is not None for _ in range(10)]
    assert controls == [False, True] * 5
    assert set(asked) == {"httproute/default/route/rule/0"}


def test_the_control_asks_another_endpoint_of_the_primarys(mirrored: Mirrored, planned: Planned) -> None:
    """The first one's caches would answer for it."""
    director = mirrored("percent: 100", policy="control: {percent: 100}", calm=lambda cluster: True)
    for _ in range(20):
        plan = planned(director, CHAT, chat("x"))
        assert plan.control is not None
        assert {plan.address.port, plan.control.port} == {8001, 8002}


def test_the_control_belongs_to_a_copy(mirrored: Mirrored, planned: Planned) -> None:
    """Its share is one of the mirrored requests; what is not mirrored has nothing to be compared with."""
    policy = "control: {percent: 50}"
    director = mirrored("percent: 50", policy=policy, calm=lambda cluster: True)
    plans = [planned(director, CHAT, chat("x")) for _ in range(1000)]
    assert all(plan.mirrors for plan in plans if plan.control is not None)
    copies = sum(bool(plan.mirrors) for plan in plans)
    controls = sum(plan.control is not None for plan in plans)
    assert abs(copies - 500) < 64
    assert abs(controls - copies / 2) < 64
