import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.policy import IGNORED_PATHS
from mirrorgate.comparison.structure import Change, Difference, IgnoredPaths, compare_structure

NONE = IgnoredPaths(())


@pytest.mark.parametrize(
    ("primary", "candidate", "differences"),
    [
        ({"a": 1, "b": [1, 2]}, {"b": [1, 2.0], "a": 1}, ()),
        ({"a": 1}, {"a": 2}, (Difference("$.a", Change.CHANGED, 1, 2),)),
        ({"a": 1}, {"a": "1"}, (Difference("$.a", Change.TYPE, 1, "1"),)),
        ({"a": 1}, {"a": True}, (Difference("$.a", Change.TYPE, 1, True),)),
        ({"a": 1}, {}, (Difference("$.a", Change.MISSING, 1, None),)),
        ([1], [1, {"x": 2}], (Difference("$[1]", Change.EXTRA, None, {"x": 2}),)),
        ({"a b": [0]}, {"a b": [None]}, (Difference("$['a b'][0]", Change.TYPE, 0, None),)),
        (math.nan, math.nan, ()),
        ({}, [], (Difference("$", Change.TYPE, {}, []),)),
    ],
)
def test_differences_have_paths(primary: Any, candidate: Any, differences: tuple[Difference, ...]) -> None:
    """Each difference is named by its place, what happened, and both values."""
    structure = compare_structure(primary, candidate, NONE)
    assert structure.differences == differences
    assert structure.same == (not differences)


def test_similarity_is_the_share_of_equal_leaves() -> None:
    """A missing object weighs as many leaves as it has."""
    structure = compare_structure({"a": 1, "b": {"c": 1, "d": 2}}, {"a": 1}, NONE)
    assert (structure.leaves, structure.differing) == (3, 2)
    assert compare_structure({}, {}, NONE).similarity == 1.0


@pytest.mark.parametrize(
    ("pattern", "ignored"),
    [
        ("c", True),
        ("$.a[*].c", True),
        ("$.a[0].c", True),
        ("$.a[1].c", False),
        ("$..c", True),
        ("$.a..c", True),
        ("$.*[*].c", True),
        ("$['a'][0]['c']", True),
        ("$.a[0]", True),
        ("$.c", False),
        ("a", True),
        ("$.a[", False),
    ],
)
def test_ignored_paths(pattern: str, ignored: bool) -> None:
    """Names at any depth, exact paths, wildcards and descents leave out what they name and all below it."""
    structure = compare_structure({"a": [{"c": 1}]}, {"a": [{"c": 2}]}, IgnoredPaths([pattern]))
    assert structure.same is ignored


def test_noisy_fields_are_ignored_by_default() -> None:
    """Two answers of the same server to the same request are the same."""
    first = {"id": "a", "created": 1, "system_fingerprint": "x", "model": "m"}
    second = {"id": "b", "created": 2, "system_fingerprint": None, "model": "m"}
    assert compare_structure(first, second, IgnoredPaths(IGNORED_PATHS)).same


def test_large_and_deep_values_are_bounded() -> None:
    """What is not compared is said, not guessed."""
    wide = compare_structure(list(range(50_000)), list(range(1, 50_001)), NONE)
    assert wide.bounded
    assert not wide.same
    assert len(wide.differences) == 100
    deep: Any = 0
    for _ in range(500):
        deep = [deep]
    assert compare_structure(deep, deep, NONE).bounded


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(_json, _json)
def test_comparison_is_symmetric_and_reflexive(first: Any, second: Any) -> None:
    """A value is the same as itself, and similarity does not know which side is which."""
    assert compare_structure(first, first, NONE).same
    there, back = compare_structure(first, second, NONE), compare_structure(second, first, NONE)
    assert there.same == back.same
    assert 0.0 <= there.similarity <= 1.0
