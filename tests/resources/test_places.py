"""Tests of field paths and the lines they lead to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.places import Lines, Place, format_path, parse_path

LINES: Lines = (1, {"spec": (3, {"rules": (4, [(5, {"name": 5}), 9])}), "a.b/c": 12})


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", 1),
        ("spec", 3),
        ("spec.rules", 4),
        ("spec.rules[0]", 5),
        ("spec.rules[0].name", 5),
        ("spec.rules[1]", 9),
        ('["a.b/c"]', 12),
    ],
)
def test_place_of_a_field_that_was_written(path: str, line: int) -> None:
    """A field's place is its own line."""
    assert Place("f", 1, LINES).at(path) == Place("f", line)


@pytest.mark.parametrize(
    ("path", "line"), [("spec.rules[7].name", 4), ("spec.rules.name", 4), ("spec[0]", 3), ("spec.rules[1].x", 9)]
)
def test_place_of_a_field_that_was_not_written_is_that_around_it(path: str, line: int) -> None:
    """A path that leads nowhere ends at the nearest field that exists."""
    assert Place("f", 1, LINES).at(path).line == line


def test_place_without_lines_is_the_same_everywhere() -> None:
    """An object of the API has no lines at all."""
    assert Place().at("spec.rules") == Place("", None)


@given(st.lists(st.one_of(st.integers(0, 99), st.text(min_size=1))).filter(lambda steps: steps[:1] != [""]))
def test_paths_are_read_as_they_are_written(steps: list[int | str]) -> None:
    """`parse_path` undoes `format_path` for every key, however odd."""
    assert parse_path(format_path(tuple(steps))) == tuple(steps)
