"""What is read of a record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mirrorgate.reporting.entries import Entry, entry_of
from mirrorgate.shadow.journal_reading import Damaged, Record

LEAST: dict[str, Any] = {"started": 1.5, "mirror": "m", "outcome": "same"}


def read(**fields: Any) -> Entry | Damaged:
    return entry_of(Record(LEAST | fields, Path("x.jsonl"), 7))


def test_a_record_of_an_older_version_is_read() -> None:
    """Fields that are missing have defaults, unknown ones are passed over."""
    entry = read(colour="red")
    assert isinstance(entry, Entry)
    assert (entry.identity, entry.similarity, entry.control) == ("", None, None)


@pytest.mark.parametrize(
    "fields",
    [{"started": "now"}, {"mirror": None}, {"primary": []}, {"control": 5}, {"primary": {"choices": {"a": 1}}}],
)
def test_a_field_of_another_type_is_damage(fields: dict[str, Any]) -> None:
    """The place is told, nothing raises."""
    damaged = read(**fields)
    assert isinstance(damaged, Damaged)
    assert damaged.line == 7
