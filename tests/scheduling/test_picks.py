"""A pick's explanation and the memory of picks."""

from __future__ import annotations

from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import EndpointHealth, EndpointView, Load, endpoint_views
from mirrorgate.scheduling.in_flight import InFlight
from mirrorgate.scheduling.picks import Pick, PickState, Scored

ADDRESS = Address("127.0.0.1", 1)
A, B = EndpointView("a", ADDRESS), EndpointView("b", ADDRESS, Load(block_size=16, num_blocks=1))


def test_scores_come_best_first() -> None:
    """The tables become one entry a candidate, with every scorer's part."""
    pick = Pick(A, "p", (A, B), totals=[1.0, 2.5], columns=[("queue", 2.0, [0.5, 1.0]), ("kv", 0.5, [0.0, 1.0])])
    assert pick.scores == (
        Scored("b", 2.5, (("queue", 1.0, 2.0), ("kv", 1.0, 0.5))),
        Scored("a", 1.0, (("queue", 0.5, 2.0), ("kv", 0.0, 0.5))),
    )
    assert pick.endpoint == "a"


def test_scores_without_scorers_name_the_candidates() -> None:
    """A balancer's pick lists who was there."""
    assert Pick(A, "random", (A, B)).scores == (Scored("a", 0.0, ()), Scored("b", 0.0, ()))


def test_reason() -> None:
    """The reason says how it was chosen, and what was left out or could not be."""
    assert Pick(A, "p", (A,), note="drawn from 1", dropped=2).reason == "drawn from 1; 2 filtered out"
    assert Pick(A, "p", (A,), note="n", panic=True).reason == "n; every endpoint is unhealthy, so all were used"


def test_what_was_sent_is_remembered_where_it_went() -> None:
    """Only `sent` teaches the index, within the endpoint's cache, and departed endpoints are forgotten."""
    state = PickState()
    pick = Pick(B, "p", (A, B), prefixes=[1, 2])
    assert state.prefixes.match([1, 2]) == {}
    state.sent(pick)
    assert state.prefixes.match([1, 2]) == {"b": 1}
    state.retain(["a"])
    assert state.prefixes.match([1, 2]) == {}


def test_one_endpoint_is_seen_as_many_are() -> None:
    """Nothing is kept of it from one pick to the next, and what was seen stays as it was."""
    address, in_flight, state = Address("10.0.0.1", 80), InFlight(), PickState()
    health = {"10.0.0.1:80": EndpointHealth(Load(waiting=2, at=5.0))}
    targets = {str(address): address}
    before = state.views((address,), health, in_flight)
    permits = [in_flight.acquire("10.0.0.1:80", at) for at in (4.0, 6.0)]
    assert list(state.views((address,), health, in_flight)) == endpoint_views(targets, health, in_flight)
    assert state.views((address,), health, in_flight)[0].in_flight == len(permits)
    assert before[0].in_flight == 0
    health["10.0.0.1:80"] = EndpointHealth(healthy=False)
    assert list(state.views((address,), health, in_flight)) == endpoint_views(targets, health, in_flight)
