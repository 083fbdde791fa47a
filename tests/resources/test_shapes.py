"""Tests of the ground that shapes stand on."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from pydantic import ValidationError

from mirrorgate.resources.shapes import CheckedShape, Fault, Items, LooseShape, Shape, repeated


class Leaf(CheckedShape):
    a_number: int = 0

    def faults(self) -> Iterable[Fault]:
        if self.a_number < 0:
            yield Fault(("aNumber",), "must not be negative", "take the sign off")
            yield Fault((), "is wrong as a whole")


class Tree(Shape):
    leaves: Items[Leaf] = ()


class Loose(LooseShape):
    known: int = 0


def validate(raw: object) -> Tree:
    return Tree.model_validate(raw, by_alias=True, by_name=False)


def test_every_fault_is_found_at_its_place() -> None:
    """The faults of all entries are reported together, each below its own entry."""
    with pytest.raises(ValidationError) as caught:
        validate({"leaves": [{"aNumber": -1}, {}, {"aNumber": -2}]})
    found = [(error["loc"], error["msg"]) for error in caught.value.errors() if error["type"] == "rule"]
    assert found == [
        (("leaves", 0, "aNumber"), "must not be negative"),
        (("leaves", 0), "is wrong as a whole"),
        (("leaves", 2, "aNumber"), "must not be negative"),
        (("leaves", 2), "is wrong as a whole"),
    ]


@pytest.mark.parametrize(
    "raw",
    [{"leaves": [{"a_number": 1}]}, {"leaves": [{"aNumber": "1"}]}, {"leaves": [{"aNumber": True}]}, {"leafs": []}],
)
def test_names_and_types_are_exact(raw: object) -> None:
    """Python's names, other types and unknown fields are refused in a manifest."""
    with pytest.raises(ValidationError):
        validate(raw)


def test_shapes_are_built_by_python_names() -> None:
    """Code uses snake_case, and shapes are frozen values."""
    leaf = Leaf(a_number=3)
    assert leaf == Leaf.model_validate({"aNumber": 3})
    with pytest.raises(ValidationError):
        leaf.a_number = 4  # type: ignore[misc]


def test_loose_shapes_ignore_what_they_do_not_know() -> None:
    """Users' objects are full of fields that a gateway does not read."""
    assert Loose.model_validate({"known": 1, "unknown": 2}) == Loose(known=1)


def test_a_checked_shape_must_have_rules() -> None:
    """Forgetting the rules is a bug that shows at once."""
    with pytest.raises(NotImplementedError):
        CheckedShape()


def test_repeated_names_each_later_entry() -> None:
    """Every entry but the first of its name is at fault."""
    assert [fault.loc for fault in repeated("field", ["a", "b", "a", "a"], "twice")] == [
        ("field", 2, "name"),
        ("field", 3, "name"),
    ]
    assert [fault.loc for fault in repeated("field", ["a", "a"], "twice", key="")] == [("field", 1)]
