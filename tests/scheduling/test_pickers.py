"""The pickers' choices."""

from __future__ import annotations

import random
from collections import Counter

from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import EndpointView
from mirrorgate.scheduling.pickers import least_request, max_score, random_choice, round_robin
from mirrorgate.scheduling.picks import PickState

ADDRESS = Address("127.0.0.1", 1)


def views(*in_flight: int) -> list[EndpointView]:
    return [EndpointView(str(row), ADDRESS, in_flight=count) for row, count in enumerate(in_flight)]


def test_max_score_takes_the_highest() -> None:
    """The highest total wins whatever the draw."""
    assert max_score(views(0, 0, 0), [1.0, 3.0, 2.0], PickState(), random.Random(1)) == (1, "highest total, 3.000")


def test_max_score_breaks_ties_by_lot() -> None:
    """Equal totals share evenly, others get nothing."""
    rng, state, pool = random.Random(7), PickState(), views(0, 0, 0, 0)
    picked = Counter(max_score(pool, [2.0, 1.0, 2.0, 2.0], state, rng)[0] for _ in range(3000))
    assert set(picked) == {0, 2, 3}
    assert all(850 < number < 1150 for number in picked.values())


def test_max_score_without_totals_draws() -> None:
    """A profile without scorers has no totals."""
    assert {max_score(views(0, 0), [], PickState(), random.Random(seed))[0] for seed in range(20)} == {0, 1}


def test_least_request_never_takes_the_busier_of_two() -> None:
    """With two candidates both are always drawn, so the idle one always wins."""
    rng = random.Random(3)
    assert {least_request(views(5, 0), (), PickState(), rng)[0] for _ in range(100)} == {1}
    assert {least_request(views(0, 5), (), PickState(), rng)[0] for _ in range(100)} == {0}


def test_least_request_has_the_shares_of_two_choices() -> None:
    """Of three with different loads: the idlest wins 2 of 3 pairs, the middle 1 of 3, the busiest none."""
    rng = random.Random(5)
    picked = Counter(least_request(views(0, 1, 2), (), PickState(), rng)[0] for _ in range(3000))
    assert set(picked) == {0, 1}
    assert 1900 < picked[0] < 2100


def test_least_request_draws_evenly_when_all_are_equal() -> None:
    """Equal counts share evenly."""
    rng = random.Random(5)
    picked = Counter(least_request(views(1, 1, 1), (), PickState(), rng)[0] for _ in range(3000))
    assert all(850 < picked[row] < 1150 for row in range(3))


def test_least_request_of_one() -> None:
    """A single candidate needs no draw."""
    assert least_request(views(9), (), PickState(), random.Random(1)) == (0, "the only candidate")


def test_round_robin_takes_turns_through_changes() -> None:
    """Turns go on when the number of candidates changes."""
    state, rng = PickState(), random.Random(1)
    assert [round_robin(views(0, 0, 0), (), state, rng)[0] for _ in range(4)] == [0, 1, 2, 0]
    assert round_robin(views(0), (), state, rng)[0] == 0


def test_random_choice_reaches_everyone() -> None:
    """Every candidate comes up."""
    rng = random.Random(2)
    assert {random_choice(views(0, 0, 0), (), PickState(), rng)[0] for _ in range(100)} == {0, 1, 2}
