"""Values that fit a schema."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.testing.model_server.structured import example

SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]},
    {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 3},
    {"type": "integer", "minimum": 3, "maximum": 5},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "number", "minimum": 0.5, "maximum": 0.75},
    {"type": "string", "minLength": 12, "maxLength": 13},
    {"anyOf": [{"type": "null"}, {"type": "string"}]},
    {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 4}}},
    {"type": ["boolean", "null"]},
]


@pytest.mark.parametrize("schema", SCHEMAS)
@given(seed=st.integers(0, 2**64 - 1))
def test_every_example_fits_its_schema(schema: dict[str, Any], seed: int) -> None:
    """Whatever the seed, the schema's own validator agrees; the same seed gives the same value."""
    value = example(schema, seed, "What about the weather in Paris?")
    jsonschema.validate(value, schema)
    assert value == example(schema, seed, "What about the weather in Paris?")


def test_a_schema_that_refers_to_itself_ends() -> None:
    """The depth is bounded."""
    schema = {
        "$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}},
        "$ref": "#/$defs/n",
    }
    assert example(schema, 1)


def test_strings_are_names_of_the_question() -> None:
    """What a user names is what a tool is asked for."""
    assert example({"type": "string"}, 7, "What about the weather in Paris?") == "Paris"
