"""Marks: what is not supported says what happens instead."""

from mirrorgate.resources.field_marks import MARKS, Support


def test_what_is_not_fully_supported_says_so() -> None:
    """Whatever is less than supported has a note; what is supported needs none."""
    for kind, marks in MARKS.items():
        for path, mark in marks.items():
            assert bool(mark.note) is (mark.support is not Support.YES), f"{kind} {path}"
