"""When a pool has no room, and whom that touches."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import EndpointView, Load
from mirrorgate.scheduling.picks import PickRequest
from mirrorgate.scheduling.saturation import has_room, room, saturated, shed_when_saturated

FULL, FREE = Load(waiting=6), Load(waiting=5, kv_usage=0.8)


def views(*loads: Load | None) -> list[EndpointView]:
    return [EndpointView(str(index), Address("127.0.0.1", 1), load) for index, load in enumerate(loads)]


@pytest.mark.parametrize(
    ("load", "room"),
    [
        (Load(), True),
        (FREE, True),
        (FULL, False),
        (Load(waiting=0, kv_usage=0.801), False),
        (Load(waiting=5, kv_usage=None), True),
    ],
)
def test_room(load: Load, room: bool) -> None:
    """Up to five waiting and four fifths of the cache; a server without the gauge goes by its queue."""
    assert has_room(load) is room


@pytest.mark.parametrize(
    ("loads", "full"),
    [
        ((), False),
        ((None,), False),
        ((FULL,), True),
        ((FULL, FREE), False),
        ((FULL, None), True),
        ((None, FREE), False),
    ],
)
def test_saturation(loads: Sequence[Load | None], full: bool) -> None:
    """One endpoint with room is enough; those that report nothing do not count, and alone never saturate."""
    assert saturated(views(*loads)) is full


@given(st.lists(st.sampled_from([FULL, FREE, None]), min_size=1), st.integers(-2, 2))
def test_only_negative_priorities_are_shed(loads: list[Load | None], priority: int) -> None:
    """All or none of the endpoints are left, and none only for a negative priority and a saturated pool."""
    candidates = views(*loads)
    left = shed_when_saturated(candidates, PickRequest(priority=priority), random.Random(1))
    assert list(left) == ([] if priority < 0 and saturated(candidates) else candidates)


@pytest.mark.parametrize(
    ("loads", "free"),
    [((), -1), ((None,), -1), ((FULL,), 0), ((FREE, FULL), 1), ((Load(), Load(waiting=4)), 8), ((None, FULL), 0)],
)
def test_room_for_more(loads: Sequence[Load | None], free: int) -> None:
    """Up to the threshold and one over it at each endpoint with room; nobody waits for what is not known."""
    assert room(views(*loads)) == free
