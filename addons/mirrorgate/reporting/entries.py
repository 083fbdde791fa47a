"""What the report counts of a journal record; `docs/journal.md` documents the fields.

Fields that are missing have defaults, so that journals of older versions can be read; a field of another type makes
the record a damaged one.
"""

from __future__ import annotations

import msgspec

from ..shadow.journal_reading import Damaged, Record

__all__ = ["Choice", "Comparison", "Entry", "Leg", "Request", "Usage", "entry_of"]


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Choice(msgspec.Struct, frozen=True):
    finish_reason: str | None = None


class Leg(msgspec.Struct, frozen=True):
    """One answer. Times are seconds."""

    model: str | None = None
    status: int = 0
    outcome: str = ""
    ttft: float | None = None
    itl_mean: float | None = None
    e2e: float | None = None
    usage: Usage | None = None
    choices: list[Choice] = []


class Request(msgspec.Struct, frozen=True):
    model: str | None = None
    target_model: str | None = None


class Comparison(msgspec.Struct, frozen=True):
    similarity: float | None = None
    exact: bool | None = None


class Entry(msgspec.Struct, frozen=True):
    """One exchange with one candidate."""

    started: float
    """Unix time."""
    mirror: str
    outcome: str
    route: str = ""
    rule: int = 0
    identity: str = ""
    """Of what was compared."""
    similarity: float | None = None
    request: Request = Request()
    primary: Leg = Leg()
    candidate: Leg = Leg()
    control: Leg | None = None
    comparison: Comparison = Comparison()
    control_comparison: Comparison | None = None


def entry_of(record: Record) -> Entry | Damaged:
    """Read a record, or say why it cannot be."""
    try:
        return msgspec.convert(record.value, Entry)
    except (msgspec.ValidationError, RecursionError) as error:
        return Damaged(record.file, record.line, str(error) or type(error).__name__)
