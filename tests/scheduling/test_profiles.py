"""Whole picks: profiles put filters, scorers and pickers together."""

from __future__ import annotations

import random
import weakref
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.endpoints import Address
from mirrorgate.resources.inference_pool import SchedulingProfile
from mirrorgate.scheduling.endpoints import EndpointHealth, EndpointView, Load, endpoint_views
from mirrorgate.scheduling.in_flight import InFlight
from mirrorgate.scheduling.pickers import random_choice
from mirrorgate.scheduling.picks import NoEndpoint, NoEndpointReason, Pick, PickRequest, PickState
from mirrorgate.scheduling.profiles import BALANCERS, GAIE_V1, PROFILES, Profile, pick

ADDRESS = Address("127.0.0.1", 1)
PROMPT = b"You are a helpful assistant. " * 40


def run(
    candidates: Sequence[EndpointView],
    request: PickRequest | None = None,
    *,
    profile: Profile = GAIE_V1,
    state: PickState | None = None,
    rng: random.Random | None = None,
) -> Pick:
    found = pick(profile, candidates, request or PickRequest(), state or PickState(), rng or random.Random(1))
    assert isinstance(found, Pick), found
    return found


def view(key: str, load: Load | None = None, *, in_flight: int = 0, healthy: bool = True) -> EndpointView:
    return EndpointView(key, ADDRESS, load, in_flight, healthy, in_flight)


def test_every_profile_has_its_name_and_every_balancer_a_profile() -> None:
    """The registry is keyed by the profiles' own names."""
    assert {name: profile.name for name, profile in PROFILES.items()} == {name: name for name in PROFILES}
    assert set(PROFILES) == set(SchedulingProfile) == {"gaie-v1", "gaie-v0.3", "least-request", "round-robin", "random"}
    assert {kind: profile.name for kind, profile in BALANCERS.items()} == {
        "LeastRequest": "least-request",
        "RoundRobin": "round-robin",
        "Random": "random",
        "ConsistentHash": "consistent-hash",
    }


def test_gaie_v1_weighs_its_scorers() -> None:
    """The total is the sum of weight times score, and the parts say so."""
    found = run([view("a", Load(waiting=4, kv_usage=0.5)), view("b", Load(waiting=0, kv_usage=0.75))])
    assert found.endpoint == "b"
    assert [(one.endpoint, one.total) for one in found.scores] == [("b", 2.5), ("a", 1.0)]
    assert found.scores[0].parts == (("queue", 1.0, 2.0), ("kv-cache", 0.25, 2.0))


def test_a_warm_prefix_outweighs_a_queue() -> None:
    """A repeated prompt returns to its endpoint although that one has the longer queue."""
    state, request = PickState(), PickRequest("m", lambda: PROMPT)
    loads = {"a": Load(waiting=0, kv_usage=0.5), "b": Load(waiting=1, kv_usage=0.5)}
    first = run([view(key, load) for key, load in loads.items()], request, state=state)
    assert first.endpoint == "a"
    state.sent(first)
    again = run([view("a", Load(waiting=9, kv_usage=0.5)), view("b", loads["b"])], request, state=state)
    assert again.endpoint == "a"
    assert ("prefix-cache", 1.0, 3.0) in again.scores[0].parts
    other = run(
        [view("a", Load(waiting=9, kv_usage=0.5)), view("b", loads["b"])], PickRequest("n", lambda: PROMPT), state=state
    )
    assert other.endpoint == "b"


def test_a_pick_that_is_not_sent_leaves_no_trace() -> None:
    """Refused requests and mirrors do not teach the index."""
    state = PickState()
    run([view("a"), view("b")], PickRequest("m", lambda: PROMPT), state=state)
    assert len(state.prefixes) == 0


def test_an_adapter_draws_requests() -> None:
    """With all else equal, the endpoint with the active adapter is picked."""
    with_it = Load(max_lora=1, active_adapters=frozenset({"x"}))
    without = Load(max_lora=1, active_adapters=frozenset({"y"}))
    assert {run([view("a", without), view("b", with_it)], PickRequest("x")).endpoint for _ in range(20)} == {"b"}


def test_no_herd_between_scrapes() -> None:
    """A burst that arrives between two scrapes spreads although the reported loads stand still."""
    targets = {f"10.0.0.{n}:80": Address(f"10.0.0.{n}", 80) for n in range(4)}
    health = {key: EndpointHealth(Load(waiting=0, kv_usage=0.3, at=10.0)) for key in targets}
    in_flight, rng = InFlight(), random.Random(4)
    picked: Counter[str] = Counter()
    for _ in range(400):
        found = run(endpoint_views(targets, health, in_flight), PickRequest("m"), rng=rng)
        in_flight.acquire(found.endpoint, 10.1)
        picked[found.endpoint] += 1
    assert set(picked.values()) == {100}


def test_unhealthy_endpoints_are_left_out_until_there_is_no_other() -> None:
    """One healthy endpoint gets everything; without any, all are used and the pick says so."""
    some = run([view("a", healthy=False), view("b")])
    assert (some.endpoint, some.dropped, some.panic) == ("b", 1, False)
    none = run([view("a", healthy=False), view("b", healthy=False)])
    assert (none.dropped, none.panic) == (0, True)
    assert "unhealthy" in none.reason


def test_a_retry_avoids_where_it_failed() -> None:
    """What was tried is left out unless nothing else is healthy."""
    avoid = PickRequest(avoid=frozenset("a"))
    assert run([view("a"), view("b", Load(waiting=99, kv_usage=1.0))], avoid).endpoint == "b"
    assert run([view("a"), view("b", healthy=False)], avoid).endpoint == "a"


def test_no_candidates() -> None:
    """An empty destination is a value, not an error."""
    assert pick(GAIE_V1, [], PickRequest(), PickState(), random.Random(1)) == NoEndpoint(
        NoEndpointReason.EMPTY, "gaie-v1"
    )


def test_a_filter_that_turns_all_down_means_saturation() -> None:
    """A profile may shed, as upstream's v0.3 does for sheddable requests."""
    shedding = Profile("shed", picker=random_choice, filters=(lambda candidates, request, rng: (),))
    assert pick(shedding, [view("a")], PickRequest(), PickState(), random.Random(1)) == NoEndpoint(
        NoEndpointReason.SATURATED, "shed"
    )


class Prompt:
    """A prompt that can be watched."""

    def __call__(self) -> bytes:
        return PROMPT


def test_a_pick_that_is_kept_keeps_no_prompt() -> None:
    """A cluster's latest picks are kept, and prompts may be as large as memory allows."""
    prompt = Prompt()
    request, watched = PickRequest("m", prompt), weakref.ref(prompt)
    found = run([view("a"), view("b")], request)
    assert found.prefixes
    del request, prompt
    assert watched() is None
    assert len(found.scores) == 2


def _never() -> bytes:
    raise AssertionError("nobody has to look at the prompt")


def test_a_single_endpoint_is_not_worth_hashing_for() -> None:
    """With nothing to choose, a long prompt costs nothing: it is not even looked for."""
    assert run([view("a")], PickRequest("m", _never)).prefixes == ()


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@given(
    st.lists(st.tuples(st.none() | st.integers(0, 50), st.integers(0, 9), st.booleans()), min_size=1, max_size=10),
    st.none() | st.binary(max_size=300),
    st.integers(),
)
def test_the_pick_is_a_candidate(
    profile: Profile, pool: list[tuple[int | None, int, bool]], prompt: bytes | None, seed: int
) -> None:
    """Whatever is known of the endpoints, the picked one is among them, and healthy if any is."""
    candidates = [
        view(str(row), None if waiting is None else Load(waiting=waiting), in_flight=busy, healthy=well)
        for row, (waiting, busy, well) in enumerate(pool)
    ]
    asked = PickRequest("m", None if prompt is None else lambda: prompt, critical=True)
    found = run(candidates, asked, profile=profile, rng=random.Random(seed))
    assert found.view in candidates
    assert found.view.healthy or found.panic
    assert found.panic == (not any(view.healthy for view in candidates))
    assert len(found.scores) == len(candidates) - found.dropped
    assert found.reason


@given(st.integers())
def test_a_pick_is_a_function_of_its_arguments(seed: int) -> None:
    """The same view, request, memory and seed give the same pick."""
    candidates = [view(key) for key in "abcd"]
    for profile in PROFILES.values():
        one = run(candidates, profile=profile, rng=random.Random(seed))
        assert run(candidates, profile=profile, rng=random.Random(seed)) == one
