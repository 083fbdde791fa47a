"""Standings find what the scorers find: the same picks, by the same draws, over every history."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import EndpointHealth, EndpointView, Load, endpoint_views
from mirrorgate.scheduling.in_flight import InFlight, Permit
from mirrorgate.scheduling.picks import Pick, PickRequest, PickState
from mirrorgate.scheduling.profiles import GAIE_V1, pick
from mirrorgate.scheduling.standings import Standings


def load_of(rng: random.Random, now: float, kinds: str) -> EndpointHealth:
    """Draw a health: `l`oaded, without `c`ache gauge, `a`dapters, un`k`nown, `u`nhealthy (`e`: some are ejected)."""
    kind = rng.choice(kinds.replace("e", ""))
    if kind in "ku":
        return EndpointHealth(healthy=kind == "k")
    return EndpointHealth(
        Load(
            waiting=rng.choice((0, 0, 1, 2, 7)),
            kv_usage=None if kind == "c" else rng.random(),
            max_lora=2 if kind == "a" else 0,
            active_adapters=frozenset(rng.sample("xyz", rng.randrange(3))) if kind == "a" else frozenset(),
            waiting_adapters=frozenset(rng.sample("xyz", rng.randrange(2))) if kind == "a" else frozenset(),
            models=frozenset("b"),
            block_size=rng.choice((16, 32)),
            at=now,
        )
    )


def history(seed: int, number: int, steps: int, kinds: str, same: Callable[[Pick, Pick], None]) -> int:
    """Live through scrapes and requests; every pick is made both ways. Returns how many used standings."""
    rng = random.Random(seed)
    addresses = tuple(Address(f"10.0.{n // 250}.{n % 250}", 80) for n in range(number))
    targets = {str(address): address for address in addresses}
    health = {key: load_of(rng, 0.0, kinds) for key in targets}
    in_flight, state = InFlight(), PickState()
    permits: list[Permit] = []
    ejected: dict[str, frozenset[str]] = {"one": frozenset(), "two": frozenset()}
    fast = 0
    for now in range(1, steps):
        for key in rng.choices(addresses, k=rng.randrange(3)):
            health[str(key)] = load_of(rng, float(now), kinds)
        while len(permits) > 2 * number or (permits and rng.random() < 0.5):
            permits.pop(rng.randrange(len(permits))).release()
        prompt = bytes(rng.choice("pqr"), "ascii") * rng.choice((0, 100, 400, 2000))
        request = PickRequest(
            rng.choice(("x", "y", "w", "b", None)), functools.partial(bytes, prompt), priority=rng.choice((0, -1))
        )
        ours, theirs = random.Random(now), random.Random(now)
        by = rng.choice(("one", "two"))
        if "e" in kinds and rng.random() < 0.4:
            ejected[by] = frozenset(rng.sample([*targets], min(number, rng.randrange(4))))
        out = ejected[by]
        views = endpoint_views(targets, health, in_flight, out)
        if not any(view.healthy for view in views):
            views = [view for view in views if view.key not in out]
        found = pick(GAIE_V1, state.views(addresses, health, in_flight, out, by), request, state, ours)
        plain = pick(GAIE_V1, views, request, state, theirs)
        assert ours.random() == theirs.random()
        if not isinstance(found, Pick):
            assert found == plain
            continue
        assert isinstance(plain, Pick)
        same(found, plain)
        fast += found.rate is not None
        state.sent(found)
        permits.append(in_flight.acquire(found.endpoint, now + 0.5))
    return fast


def alike(found: Pick, plain: Pick) -> None:
    assert (found.endpoint, found.note, found.reason) == (plain.endpoint, plain.note, plain.reason)
    assert list(found.prefixes) == list(plain.prefixes)
    assert found.scores == plain.scores


@given(
    st.integers(0, 2**32),
    st.integers(1, 9),
    st.sampled_from(["l", "lc", "c", "k", "la", "lk", "lcak", "lcaku", "a", "le", "lcakue"]),
)
def test_every_history_picks_alike(seed: int, number: int, kinds: str) -> None:
    """Servers with and without cache gauge, adapters, metrics and health, ejected by one of two rules and not by the
    other, changing from one to the other."""
    history(seed, number, 25, kinds, alike)


@pytest.mark.parametrize("kinds", ["l", "lcaku", "le", "lcakue"])
def test_a_large_pool_picks_alike(kinds: str) -> None:
    """A thousand endpoints and a seeded set of requests; each is picked by standings, not by chance the plain way."""
    assert history(7, 1000, 40, kinds, alike) > 30


def test_many_models_are_bounded() -> None:
    """Clients name what they like; what is kept for each name is not kept for ever."""
    view = EndpointView("a", Address("a", 1), Load(max_lora=1, active_adapters=frozenset({"m3"})))
    standings = Standings((2.0, 2.0, 3.0, 1.0), [view])
    assert [standings.best(f"m{n}", {}, 0) for n in range(5)] == [(2.0 + float(n == 3), [0]) for n in range(5)]
    for n in range(100):
        standings.best(f"n{n}", {}, 0)
    assert len(standings._by_model) <= 16
    assert standings.best("m3", {}, 0) == (3.0, [0])
