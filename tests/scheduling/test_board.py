"""A board shows what `endpoint_views` would make anew, whatever happened since it was last looked at."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.board import Board, largest_block
from mirrorgate.scheduling.endpoints import EndpointHealth, Load, endpoint_views
from mirrorgate.scheduling.in_flight import InFlight, Permit

ADDRESSES = tuple(Address(f"10.0.0.{n}", 80) for n in range(5))
TARGETS = {str(address): address for address in ADDRESSES}


@given(st.integers(0, 2**32))
def test_a_board_is_always_up_to_date(seed: int) -> None:
    """Scrapes, failures, ejections, requests and their ends, at endpoints of this destination and of others, in any
    order."""
    rng, in_flight, board = random.Random(seed), InFlight(), Board(ADDRESSES)
    health: dict[str, EndpointHealth] = {}
    permits: list[Permit] = []
    ejected: frozenset[str] = frozenset()
    for now in range(40):
        key = rng.choice([*TARGETS, "elsewhere:1"])
        match rng.randrange(6):
            case 0:
                load = Load(block_size=rng.choice((None, 16, 32)), at=now - rng.randrange(4))
                health[key] = EndpointHealth(load)
            case 1:
                health[key] = EndpointHealth(healthy=rng.random() < 0.5)
            case 2:
                health.pop(key, None)
            case 3:
                permits.append(in_flight.acquire(key, now))
            case 4 if permits:
                permits.pop(rng.randrange(len(permits))).release()
            case 5:
                ejected ^= {key}
        if rng.random() < 0.7:
            board.refresh(health, in_flight, ejected)
            assert board.views == endpoint_views(TARGETS, health, in_flight, ejected)
            assert board.block_size == largest_block(board.views)
            assert board.unhealthy == sum(not view.healthy for view in board.views)


def test_what_was_shown_stays_as_it_was() -> None:
    """A pick keeps its candidates after later requests have changed the counts."""
    in_flight, board = InFlight(), Board(ADDRESSES)
    board.refresh({}, in_flight)
    shown = board.shown()
    in_flight.acquire("10.0.0.1:80", 1.0)
    assert board.refresh({}, in_flight) == {1}
    assert [view.in_flight for view in shown] == [0] * 5
    assert [view.in_flight for view in board.shown()] == [0, 1, 0, 0, 0]


def test_who_missed_too_much_looks_at_everything() -> None:
    """The log of changes is bounded, and what it no longer tells is not needed."""
    in_flight, board = InFlight(), Board(ADDRESSES)
    board.refresh({}, in_flight)
    assert board.refresh({}, in_flight) == set()
    for _ in range(2_000):
        in_flight.acquire("elsewhere:1", 0.0)
    in_flight.acquire("10.0.0.4:80", 0.0)
    assert board.refresh({}, in_flight) is None
    assert board.views[4].in_flight == 1


def test_the_largest_block_counts() -> None:
    """Endpoints that report none, or nothing, have no say."""
    loads = {"10.0.0.0:80": EndpointHealth(Load(block_size=16)), "10.0.0.2:80": EndpointHealth(Load(block_size=32))}
    assert largest_block(endpoint_views(TARGETS, loads, InFlight())) == 32
    assert largest_block(endpoint_views(TARGETS, {}, InFlight())) == largest_block([]) == 0
