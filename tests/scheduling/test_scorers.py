"""Each scorer against its formula."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import EndpointView, Load
from mirrorgate.scheduling.picks import PickState, Scoring
from mirrorgate.scheduling.scorers import kv_cache, lora_affinity, prefix_cache, queue

ADDRESS = Address("127.0.0.1", 1)


def scoring(model: str | None = None, prefixes: Sequence[int] = (), state: PickState | None = None) -> Scoring:
    return Scoring(model, len(prefixes), (state or PickState()).prefixes.match(prefixes))


def views(*loads: Load | None) -> list[EndpointView]:
    return [EndpointView(str(row), ADDRESS, load) for row, load in enumerate(loads)]


@pytest.mark.parametrize(
    ("waiting", "scores"),
    [
        ([0, 5, 10], [1.0, 0.5, 0.0]),
        ([7, 7], [1.0, 1.0]),
        ([3], [1.0]),
        ([0, None, 10], [1.0, 0.5, 0.0]),
        ([0, None, 1, 2], [1.0, 0.5, 0.5, 0.0]),
        ([4, None], [1.0, 1.0]),
    ],
)
def test_queue(waiting: list[int | None], scores: list[float]) -> None:
    """`(max - q) / (max - min)`, 1 when all are equal, the mean of the known ones where unknown."""
    assert queue(views(*(None if q is None else Load(waiting=q) for q in waiting)), scoring()) == scores


def test_queue_counts_what_the_scrape_has_not_seen() -> None:
    """Of two servers that reported empty queues, the one that was sent nothing since is better."""
    pair = [EndpointView("a", ADDRESS, Load(waiting=0), unseen=4), EndpointView("b", ADDRESS, Load(waiting=2))]
    assert queue(pair, scoring()) == [0.0, 1.0]


def test_queue_without_any_load_goes_by_requests_in_flight() -> None:
    """Servers without metrics are balanced by what the gateway itself knows."""
    trio = [EndpointView(str(n), ADDRESS, None, in_flight=n) for n in (4, 2, 0)]
    assert queue(trio, scoring()) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("usages", "scores"),
    [
        ([0.25, 1.0, 0.0], [0.75, 0.0, 1.0]),
        ([0.5, None], [0.5, 0.5]),
        ([0.0, 1.0, None], [1.0, 0.0, 0.5]),
        ([None, None], None),
    ],
)
def test_kv_cache(usages: list[float | None], scores: list[float] | None) -> None:
    """`1 - usage`; the mean where a server has no gauge; nothing when none has."""
    assert kv_cache(views(*(Load(kv_usage=usage) for usage in usages)), scoring()) == scores


def test_kv_cache_without_a_load() -> None:
    """An endpoint that was never scraped gets the mean too."""
    assert kv_cache(views(Load(kv_usage=0.5), None), scoring()) == [0.5, 0.5]


def test_prefix_cache() -> None:
    """`matched / total`, and nothing where no endpoint holds a block."""
    state = PickState()
    state.prefixes.observe("0", [1, 2, 3, 4])
    state.prefixes.observe("1", [1, 2])
    trio = views(None, None, None)
    assert prefix_cache(trio, scoring(prefixes=[1, 2, 3, 9], state=state)) == [0.75, 0.5, 0.0]
    assert prefix_cache(trio, scoring(prefixes=[9], state=state)) is None
    assert prefix_cache(trio, scoring(prefixes=[], state=state)) is None


@pytest.mark.parametrize(
    ("load", "score"),
    [
        (Load(max_lora=2, active_adapters=frozenset({"x"})), 1.0),
        (Load(max_lora=2, active_adapters=frozenset({"a"})), 0.8),
        (Load(max_lora=2), 0.8),
        (Load(max_lora=2, active_adapters=frozenset({"a"}), waiting_adapters=frozenset({"a"})), 0.8),
        (Load(max_lora=2, active_adapters=frozenset({"a", "b"}), waiting_adapters=frozenset({"x"})), 0.6),
        (Load(max_lora=2, active_adapters=frozenset({"a", "b"})), 0.0),
        (Load(max_lora=2, active_adapters=frozenset({"a", "b"}), models=frozenset({"x"})), 1.0),
        (Load(), 0.5),
        (None, 0.5),
    ],
)
def test_lora_affinity(load: Load | None, score: float) -> None:
    """Active, room, waited for, full; unknown lies between; a base model needs no adapter."""
    full = Load(max_lora=1, active_adapters=frozenset({"other"}))
    assert lora_affinity(views(load, full), scoring("x")) == [score, 0.0]


def test_lora_affinity_abstains() -> None:
    """Without a model, or where no server reports adapters, there is nothing to say."""
    assert lora_affinity(views(Load(max_lora=2)), scoring(None)) is None
    assert lora_affinity(views(Load(), None), scoring("x")) is None


names = st.frozensets(st.sampled_from("abcx"))
loads = st.none() | st.builds(
    Load,
    waiting=st.integers(0, 10**9),
    kv_usage=st.none() | st.floats(0, 1),
    max_lora=st.integers(0, 4),
    active_adapters=names,
    waiting_adapters=names,
    models=names,
)
candidates = st.lists(
    st.builds(
        EndpointView,
        key=st.sampled_from("0123"),
        address=st.just(ADDRESS),
        load=loads,
        in_flight=st.integers(0, 10**6),
        unseen=st.integers(0, 10**6),
    ),
    min_size=1,
    max_size=12,
)


@given(candidates, st.lists(st.integers(0, 5), max_size=6, unique=True))
def test_scores_lie_between_0_and_1(pool: list[EndpointView], prefixes: list[int]) -> None:
    """Every scorer rates every candidate, within bounds, or abstains."""
    state = PickState()
    state.prefixes.observe("0", [0, 1, 2])
    for scorer in (queue, kv_cache, prefix_cache, lora_affinity):
        scores = scorer(pool, scoring("x", prefixes, state))
        if scores is not None:
            assert len(scores) == len(pool)
            assert all(0.0 <= score <= 1.0 for score in scores)
