"""The counts of requests under way, and of those that a scrape has not seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.scheduling.in_flight import InFlight, Permit


def test_a_permit_counts_until_it_is_released() -> None:
    """Each release counts once, however often it is called."""
    counts = InFlight()
    one, two = counts.acquire("a", 1.0), counts.acquire("a", 2.0)
    assert (counts.count("a"), counts.count("b")) == (2, 0)
    one.release()
    one.release()
    assert counts.count("a") == 1
    assert one.released
    assert not two.released
    two.release()
    assert counts.counts() == {}
    assert repr(counts) == "<InFlight 0 at 0 endpoints>"
    assert repr(one) == "<Permit a released>"


def test_unseen_are_those_sent_after_the_scrape() -> None:
    """A request that was sent before the scrape began, or has ended, is in the load or gone."""
    counts = InFlight()
    permits = [counts.acquire("a", at) for at in (1.0, 2.0, 3.0, 4.0)]
    assert counts.unseen("a", 0.0) == 4
    permits[3].release()
    assert counts.unseen("a", 2.0) == 1
    assert counts.unseen("a", 3.5) == 0
    assert counts.count("a") == 3
    assert counts.unseen("other", 0.0) == 0


def test_a_clock_that_went_back_hides_requests_but_counts_none_twice() -> None:
    """After a step back, unseen may be too small; it comes right with the next scrape."""
    counts = InFlight()
    counts.acquire("a", 100.0)
    assert counts.unseen("a", 100.0) == 0
    counts.acquire("a", 50.0)
    assert counts.unseen("a", 100.0) == 0
    assert counts.unseen("a", 40.0) == 0
    counts.acquire("a", 60.0)
    assert counts.unseen("a", 55.0) == 1


@given(st.lists(st.tuples(st.sampled_from("ard"), st.sampled_from("xyz"), st.integers(0, 20)), max_size=80))
def test_counts_are_the_permits_that_are_held(steps: list[tuple[str, str, int]]) -> None:
    """Whatever is acquired, released and released again, the counts are exact and unseen lies between 0 and them."""
    counts = InFlight()
    permits: list[Permit] = []
    for now, (action, key, number) in enumerate(steps):
        if action == "a":
            permits.append(counts.acquire(key, float(now)))
        elif action == "r" and permits:
            permits[number % len(permits)].release()
        else:
            assert 0 <= counts.unseen(key, float(now - number)) <= counts.count(key)
        for endpoint in "xyz":
            held = sum(1 for permit in permits if permit.endpoint == endpoint and not permit.released)
            assert counts.count(endpoint) == held
        assert set(counts.counts()) == {permit.endpoint for permit in permits if not permit.released}


def test_what_changed_is_told_for_a_while() -> None:
    """Requests that begin and end are changes; a version from before the log begins has no answer."""
    in_flight = InFlight()
    start = in_flight.version
    permit = in_flight.acquire("a", 1.0)
    middle = in_flight.version
    in_flight.acquire("b", 1.0)
    permit.release()
    permit.release()
    assert in_flight.changed_since(start) == {"a", "b"}
    assert in_flight.changed_since(middle) == {"a", "b"}
    assert in_flight.changed_since(in_flight.version) == set()
    for _ in range(2_000):
        in_flight.acquire("c", 1.0)
    assert in_flight.changed_since(start) is None
