import json
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorgate.comparison.schemas import SchemaCheck, schema_check

CITY = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1, "pattern": "^[A-Z]"},
        "unit": {"enum": ["C", "F"]},
        "days": {"type": "array", "items": {"$ref": "#/$defs/day"}, "uniqueItems": True},
    },
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"day": {"type": "integer", "minimum": 1, "maximum": 7}},
}


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ({"city": "Oslo"}, True),
        ({"city": "Oslo", "unit": "C", "days": [1, 2]}, True),
        ({"city": "oslo"}, False),
        ({}, False),
        ({"city": "Oslo", "unit": "K"}, False),
        ({"city": "Oslo", "days": [8]}, False),
        ({"city": "Oslo", "days": [1, 1]}, False),
        ({"city": "Oslo", "other": 1}, False),
        ("Oslo", False),
    ],
)
def test_values_are_judged(value: Any, valid: bool) -> None:
    """A schema as clients write it decides."""
    assert SchemaCheck(CITY).valid(value) is valid


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/x"},
        {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        {"pattern": "^(a+)+$"},
        {"patternProperties": {"^(a+)+$": {}}},
        {"$defs": {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}, "$ref": "#/$defs/d0"},
        {"required": 5},
        {"pattern": "("},
        {"properties": {"a": 7}, "additionalProperties": "x", "type": "nothing"},
    ],
)
def test_hostile_schemas_judge_nothing(schema: Any) -> None:
    """Other hosts, endless recursion, doubling references and explosive patterns have no answer, and soon."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert SchemaCheck(schema).valid("a" * 40 + "!" if "pattern" in schema else {"a" * 30: 1}) is None


def test_deep_and_large_schemas_are_refused() -> None:
    """The size of a schema is bounded before anything of it is used."""
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"not": deep}
    assert SchemaCheck(deep).reason == "too large"
    assert SchemaCheck({"enum": list(range(10_000))}).reason == "too large"
    assert schema_check(b" " * 100_000) is None
    assert schema_check(b"{") is None
    assert schema_check(b"7") is None


def test_large_values_exceed_the_budget() -> None:
    """Work is counted, so that a large answer cannot stop the comparison."""
    check = SchemaCheck({"items": {"allOf": [{"type": "integer"}] * 100}})
    assert check.valid([1] * 10) is True
    assert check.valid([1] * 10_000) is None
    assert SchemaCheck({"uniqueItems": True}).valid([{"a": index} for index in range(2_000)]) is None


def test_compiled_schemas_are_kept() -> None:
    """The same schema, which every request of a client repeats, is compiled once."""
    raw = json.dumps(CITY).encode()
    assert schema_check(raw) is schema_check(raw)


_schema = st.recursive(
    st.booleans()
    | st.dictionaries(st.sampled_from(["type", "enum", "minimum", "pattern"]), st.text(max_size=3) | st.none()),
    lambda inner: st.dictionaries(
        st.sampled_from(
            ["properties", "items", "allOf", "not", "$ref", "$id", "$schema", "prefixItems", "if", "contains"]
        ),
        inner
        | st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=2), inner, max_size=2)
        | st.text(max_size=4),
        max_size=3,
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(_schema, st.recursive(st.integers() | st.text(max_size=2), lambda x: st.lists(x, max_size=2), max_leaves=4))
def test_no_schema_raises(schema: Any, value: Any) -> None:
    """Nonsense judges nothing or something, and ends."""
    assert SchemaCheck(schema).valid(value) in (True, False, None)
