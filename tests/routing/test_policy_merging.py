"""Merging policies: as RFC 7396 has it, and as Kubernetes merges lists by a key."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.routing.policy_merging import merged

values = st.recursive(
    st.one_of(st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@pytest.mark.parametrize(
    ("parent", "patch", "json", "strategic"),
    [
        ({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}, {"a": 1, "b": {"c": 2, "d": 3}}, None),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}, None),
        ({"rules": [1, 2]}, {"rules": [3]}, {"rules": [3]}, None),
        (
            {"httpUpgrade": [{"type": "websocket"}, {"type": "CONNECT", "connect": {"a": 1}}]},
            {"httpUpgrade": [{"type": "CONNECT", "connect": {"b": 2}}, {"type": "spdy"}]},
            {"httpUpgrade": [{"type": "CONNECT", "connect": {"b": 2}}, {"type": "spdy"}]},
            {
                "httpUpgrade": [
                    {"type": "websocket"},
                    {"type": "CONNECT", "connect": {"a": 1, "b": 2}},
                    {"type": "spdy"},
                ]
            },
        ),
    ],
)
def test_merging(parent: dict[str, Any], patch: dict[str, Any], json: dict[str, Any], strategic: object) -> None:
    """Mappings are merged, all else replaced; lists with a merge key are merged by it where that is asked for."""
    assert merged(parent, patch, strategic=False) == json
    assert merged(parent, patch, strategic=True) == (strategic or json)


@given(documents, documents)
def test_what_is_set_wins_and_the_rest_stays(parent: dict[str, Any], patch: dict[str, Any]) -> None:
    """Every field of the patch is in the result, every other of the parent too; a second time changes nothing."""
    result = merged(parent, patch, strategic=True)
    assert set(result) == set(parent) | set(patch)
    for name, value in patch.items():
        if not isinstance(value, dict):
            assert result[name] == value
    for name in set(parent) - set(patch):
        assert result[name] == parent[name]
    assert merged(result, patch, strategic=True) == result
