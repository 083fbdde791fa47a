"""The document of fields: complete, up to date, and about fields that exist."""

from pathlib import Path

import pytest

from mirrorgate.resources.field_marks import MARKS
from mirrorgate.resources.fields import document, fields_of, shown_kinds

DOCUMENT = Path(__file__).parents[2] / "docs" / "fields.md"
KINDS = shown_kinds()


def test_the_document_is_up_to_date() -> None:
    """`python -m mirrorgate.resources.fields > docs/fields.md` changes nothing."""
    assert DOCUMENT.read_text("utf-8") == document()


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_marked(kind: str) -> None:
    """A new field of a model needs a word on what is done with it."""
    assert [field.path for field in fields_of(kind, KINDS[kind][0]) if field.mark is None] == []


@pytest.mark.parametrize("kind", MARKS)
def test_every_mark_is_a_fields(kind: str) -> None:
    """A mark of a field that does not exist marks nothing."""
    paths = {field.path for field in fields_of(kind, KINDS[kind][0])}
    for marked in MARKS[kind]:
        assert any(path == marked or path.startswith(f"{marked}.") for path in paths), marked
