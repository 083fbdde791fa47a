"""The tree of the Inference Extension's v0.3, walked as its documentation says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import EndpointView, Load
from mirrorgate.scheduling.filter_tree import criticality_tree
from mirrorgate.scheduling.picks import NoEndpoint, NoEndpointReason, Pick, PickRequest, PickState
from mirrorgate.scheduling.profiles import GAIE_V03, pick

ADDRESS = Address("127.0.0.1", 1)


def pod(key: str, waiting: int = 0, kv: float = 0.0, adapters: str = "", slots: int = 0, sent: int = 0) -> EndpointView:
    """Return an endpoint; `adapters` are its active ones, one letter each."""
    load = Load(waiting=waiting, kv_usage=kv, max_lora=slots, active_adapters=frozenset(adapters))
    return EndpointView(key, ADDRESS, load, sent, True, sent)


def kept(pods: Sequence[EndpointView], *, critical: bool, model: str = "m", seed: int = 1) -> str:
    views = criticality_tree(pods, PickRequest(model, critical=critical), random.Random(seed))
    return "".join(view.key for view in views)


WALKS = {
    "all alike": ([pod("a"), pod("b"), pod("c")], "abc", "abc"),
    "a shorter queue": ([pod("a", 3), pod("b", 0), pod("c", 9)], "ab", "b"),
    "the span is divided and rounded down": ([pod("a", 0), pod("b", 2), pod("c", 5)], "a", "a"),
    "the part of the span": ([pod("a", 0), pod("b", 1), pod("c", 3)], "ab", "ab"),
    "then the emptier cache": ([pod("a", 0, 0.7), pod("b", 0, 0.1), pod("c", 0, 0.3)], "bc", "bc"),
    "the cache's part of the span": ([pod("a", 0, 0.0), pod("b", 0, 0.3), pod("c", 0, 0.6)], "a", "a"),
    "a full cache sheds": ([pod("a", 0, 0.81), pod("b", 0, 0.9)], "a", ""),
    "a long queue sheds": ([pod("a", 6), pod("b", 7)], "a", ""),
    "at the thresholds there is room": ([pod("a", 5, 0.8), pod("b", 9)], "a", "a"),
    "one with room is the only one": ([pod("a", 6, 0.1), pod("b", 5, 0.8)], "b", "b"),
    "affinity before the queue": ([pod("a", 40, 0, "m", 2), pod("b", 41, 0, "m", 2), pod("c", 0)], "a", "c"),
    "for others the queue before affinity": ([pod("a", 5, 0, "m", 1), pod("b", 0, 0, "x", 1)], "a", "b"),
    "affinity among short queues": ([pod("a", 0, 0, "m", 1), pod("b", 0, 0, "x", 1)], "a", "a"),
    "room for an adapter": ([pod("a", 0, 0, "x", 1), pod("b", 9, 0, "x", 2)], "b", "a"),
    "neither active nor room": ([pod("a", 0, 0, "x", 1), pod("b", 0, 0, "y", 1)], "ab", "ab"),
    "long queues everywhere": ([pod("a", 128, 0, "x", 1), pod("b", 300, 0, "m", 2)], "a", ""),
    "127 waiting is still short": ([pod("a", 127, 0, "m", 1), pod("b", 128, 0)], "a", ""),
    "what was sent since counts in comparisons": ([pod("a", 0, sent=4), pod("b", 1)], "b", "b"),
    "but not at thresholds": ([pod("a", 5, sent=90), pod("b", 6)], "b", "a"),
}
"""What a critical request and another are left with. Each seed of 1 draws below the affinity threshold."""


@pytest.mark.parametrize("name", WALKS)
def test_walks(name: str) -> None:
    """Each node decides as documented; a request of Standard or no criticality goes the sheddable way."""
    pods, critical, other = WALKS[name]
    assert kept(pods, critical=True) == critical
    assert kept(pods, critical=False) == other


def test_an_endpoint_without_a_load_is_idle() -> None:
    """Servers without metrics never shed, and take turns by what is under way."""
    unknown = [EndpointView("a", ADDRESS, None, 3, True, 3), EndpointView("b", ADDRESS, None, 1, True, 1)]
    assert kept(unknown, critical=False) == "b"
    assert kept([*unknown[1:], pod("c", 6, 0.9)], critical=False) == "b"


def test_affinity_is_left_one_time_in_a_thousand() -> None:
    """Otherwise an adapter would never come to a second endpoint."""
    pods, rng = [pod("a", 0, 0, "m", 2), pod("b", 0, 0, "", 2)], random.Random(5)
    request = PickRequest("m", critical=True)
    drawn = Counter(criticality_tree(pods, request, rng)[0].key for _ in range(20_000))
    assert 5 <= drawn["b"] <= 45


def test_the_profile_draws_evenly_and_says_why_it_sheds() -> None:
    """Survivors are all alike; a request that is shed finds its reason."""
    state, rng = PickState(), random.Random(3)
    found = [pick(GAIE_V03, [pod("a"), pod("b")], PickRequest("m"), state, rng) for _ in range(400)]
    assert {150 < number < 250 for number in Counter(p.endpoint for p in found if isinstance(p, Pick)).values()} == {
        True
    }
    shed = pick(GAIE_V03, [pod("a", 6)], PickRequest("m"), state, rng)
    assert shed == NoEndpoint(NoEndpointReason.SATURATED, "gaie-v0.3")


# The same tree written down as upstream has it: nodes with a branch for success and one for failure.


@dataclass(frozen=True)
class Node:
    keep: Callable[[list[EndpointView]], list[EndpointView]]
    success: Node | None = None
    failure: Node | None = None

    def walk(self, pods: list[EndpointView]) -> list[EndpointView]:
        left = self.keep(pods)
        if left:
            return self.success.walk(left) if self.success else left
        return self.failure.walk(pods) if self.failure else []


def upstream(pods: list[EndpointView], model: str, critical: bool, rng: random.Random) -> list[EndpointView]:
    def load(view: EndpointView) -> Load:
        assert view.load is not None
        return view.load

    def queue(views: list[EndpointView]) -> list[EndpointView]:
        low, high = min(load(v).waiting for v in views), max(load(v).waiting for v in views)
        return [v for v in views if low <= load(v).waiting <= low + (high - low) // len(views)]

    def cache(views: list[EndpointView]) -> list[EndpointView]:
        usage = [load(v).kv_usage or 0.0 for v in views]
        low, high = min(usage), max(usage)
        return [v for v, u in zip(views, usage, strict=True) if low <= u <= low + (high - low) / len(views)]

    def affinity(views: list[EndpointView]) -> list[EndpointView]:
        active = [v for v in views if model in load(v).active_adapters]
        room = [v for v in views if v not in active and len(load(v).active_adapters) < load(v).max_lora]
        if active and room:
            return active if rng.random() < 0.999 else room
        return active or room

    least_cache = Node(cache)
    queue_cache = Node(queue, least_cache, least_cache)
    affinity_cache = Node(affinity, least_cache, least_cache)
    queue_affinity_cache = Node(queue, affinity_cache, affinity_cache)
    low_latency = Node(
        lambda views: [v for v in views if load(v).waiting < 128],
        Node(affinity, queue_cache, queue_cache),
        queue_affinity_cache,
    )
    sheddable = Node(
        lambda views: [v for v in views if load(v).waiting <= 5 and (load(v).kv_usage or 0) <= 0.8],
        queue_affinity_cache,
        Node(lambda views: []),
    )
    return (low_latency if critical else sheddable).walk(pods)


loads = st.builds(
    Load,
    waiting=st.integers(0, 8) | st.integers(120, 135),
    kv_usage=st.sampled_from([0.0, 0.25, 0.5, 0.79, 0.8, 0.81, 1.0]),
    max_lora=st.integers(0, 3),
    active_adapters=st.frozensets(st.sampled_from("mxyz"), max_size=3),
).filter(lambda load: len(load.active_adapters) <= load.max_lora)


@given(st.lists(loads, min_size=1, max_size=8), st.booleans(), st.integers(0, 2**32))
def test_the_tree_is_upstreams(found: list[Load], critical: bool, seed: int) -> None:
    """For any loads the two keep the same endpoints, in the same order, by the same draws."""
    pods = [EndpointView(str(index), ADDRESS, load) for index, load in enumerate(found)]
    ours = criticality_tree(pods, PickRequest("m", critical=critical), random.Random(seed))
    assert list(ours) == upstream(pods, "m", critical, random.Random(seed))


@given(st.lists(loads, min_size=1, max_size=8))
def test_critical_requests_are_never_shed(found: list[Load]) -> None:
    """However busy the pool is."""
    pods = [EndpointView(str(index), ADDRESS, load) for index, load in enumerate(found)]
    assert criticality_tree(pods, PickRequest("m", critical=True), random.Random(1))
