"""Counts over pairs, in bounded memory."""

from __future__ import annotations

from typing import Any

import msgspec

from mirrorgate.reporting.entries import Entry
from mirrorgate.reporting.tallies import Counts, PairTally


def entry(**fields: Any) -> Entry:
    return msgspec.convert({"started": 1.0, "mirror": "m", "outcome": "same"} | fields, Entry)


def test_too_many_words_are_one() -> None:
    """A server that invents a new finish reason for every answer costs no memory."""
    counts = Counts()
    for number in range(1000):
        counts.add(f"reason {number}" * 20)
    counts.add("reason 3" * 20)
    found = counts.sorted()
    assert len(found) == 41
    assert next(iter(found.items())) == ("other", 960)
    assert sum(found.values()) == 1001
    assert max(map(len, found)) <= 80


def test_groups_are_bounded() -> None:
    """Beyond a number of routes and models the rest is one group."""
    tally = PairTally()
    for number in range(500):
        tally.add(entry(route=f"route-{number}", request={"model": "m"}))
    assert len(tally.groups) == 201
    assert tally.groups["other", "other"].pairs == 300


def test_similarities_outside_are_counted_at_the_ends() -> None:
    """1 belongs to the last bin, and what no similarity can be breaks nothing."""
    tally = PairTally()
    for similarity in (0.0, 0.049, 0.05, 0.999, 1.0, -3.0, 7.5):
        tally.add(entry(similarity=similarity))
    assert tally.similarity[:2] == [3, 1]
    assert tally.similarity[-1] == 3


def test_sides_of_a_difference() -> None:
    """Above 0 the candidate is worse, below it is better, 0 is neither."""
    tally = PairTally()
    tally.judge({"errors": 1.0, "refusal": -1.0, "emptiness": 0.0})
    tally.judge({"errors": 0.5})
    assert (dict(tally.worse), dict(tally.better)) == ({"errors": 2}, {"refusal": 1})


def test_tokens_that_no_server_can_have_used_are_none() -> None:
    """A negative number is left out of the sum."""
    tally = PairTally()
    tally.add(entry(candidate={"usage": {"prompt_tokens": -5, "completion_tokens": 7}}))
    assert (tally.legs["candidate"].prompt_tokens, tally.legs["candidate"].completion_tokens) == (0, 7)
