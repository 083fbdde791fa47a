"""Maglev tables are even, stable, and lead away from endpoints that are out."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.scheduling.maglev import TABLE_SIZE, MaglevTable, hash_of, table_of

SMALL = 1009
KEYS = [hash_of([b"user-%d" % number]) for number in range(5000)]


def names(count: int) -> list[str]:
    return [f"10.0.0.{number}:8000" for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 100])
def test_every_endpoint_has_its_share(count: int) -> None:
    """The numbers of places differ by one at most, in a table of the default size."""
    shares = MaglevTable(names(count), TABLE_SIZE).shares().values()
    assert sum(shares) == TABLE_SIZE
    assert max(shares) - min(shares) <= 1


def test_keys_spread_evenly() -> None:
    """Five thousand keys over ten endpoints: each within a fifth of its share."""
    table, usable = MaglevTable(names(10), TABLE_SIZE), frozenset(names(10))
    counts = Counter(table.endpoint(key, usable) for key in KEYS)
    assert all(400 <= counts[name] <= 600 for name in names(10))


def test_an_endpoint_that_leaves_moves_little_else() -> None:
    """Its own keys must move; of the others fewer than one in twenty does, whether it left or joins."""
    before, after = MaglevTable(names(10), TABLE_SIZE), MaglevTable(names(9), TABLE_SIZE)
    many, few = frozenset(names(10)), frozenset(names(9))
    owners = [(before.endpoint(key, many), after.endpoint(key, few)) for key in KEYS]
    moved = sum(old != new for old, new in owners if old in few)
    assert moved < len(KEYS) / 20


def test_one_that_is_out_moves_only_its_own_keys_over_all_others() -> None:
    """And they are back when it is."""
    table = MaglevTable(names(10), TABLE_SIZE)
    well, left = frozenset(names(10)), frozenset(names(9))
    owners = {key: table.endpoint(key, well) for key in KEYS}
    assert all(table.endpoint(key, left) == owner for key, owner in owners.items() if owner in left)
    orphans = Counter(table.endpoint(key, left) for key, owner in owners.items() if owner not in left)
    assert orphans.keys() == left
    assert max(orphans.values()) < 2 * sum(orphans.values()) / len(left)


@given(st.sets(st.text(min_size=1), max_size=40), st.integers(2, SMALL), st.integers(0, 2**64 - 1), st.data())
def test_every_key_has_a_usable_endpoint_where_there_is_one(
    endpoints: set[str], size: int, key: int, data: st.DataObject
) -> None:
    """Whatever the order in which endpoints are listed, and however few of them are usable."""
    table = MaglevTable(sorted(endpoints), size)
    usable = data.draw(st.sets(st.sampled_from(sorted(endpoints)))) if endpoints else set[str]()
    found = table.endpoint(key, usable)
    assert (found in usable) if usable else found is None
    assert MaglevTable(sorted(endpoints, reverse=True), size).endpoint(key, usable) == found


def test_tables_are_made_once() -> None:
    """For the same endpoints and size."""
    assert table_of(("a", "b"), SMALL) is table_of(("a", "b"), SMALL)
    assert table_of(("a", "b"), SMALL) is not table_of(("a", "c"), SMALL)


def test_parts_of_a_key_do_not_run_together() -> None:
    """Two lists of parts that read alike hash apart."""
    assert hash_of([b"ab", b"c"]) != hash_of([b"a", b"bc"])
    assert hash_of([b"a"]) != hash_of([b"a", b""])
