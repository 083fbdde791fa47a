"""What the report reads of a journal record; `docs/journal.md` documents the fields.

Fields that are missing have defaults, so that journals of older versions can be read; a field of another type makes
the record a damaged one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..shadow.journal_reading import Damaged, Record

__all__ = [
    "Call",
    "Choice",
    "Comparison",
    "Entry",
    "Error",
    "Leg",
    "Policy",
    "Request",
    "Side",
    "Usage",
    "entry_of",
]


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Call(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class Choice(msgspec.Struct, frozen=True):
    finish_reason: str | None = None
    text: str | None = None
    """`None` where the journal keeps no content, as all texts here."""
    reasoning: str | None = None
    refusal: str | None = None
    calls: list[Call] = []


class Error(msgspec.Struct, frozen=True):
    type: str | None = None
    message: str | None = None


class Leg(msgspec.Struct, frozen=True):
    """One answer. Times are seconds."""

    endpoint: str = ""
    ref: str = ""
    model: str | None = None
    status: int = 0
    outcome: str = ""
    broken: str = ""
    ttft: float | None = None
    itl_mean: float | None = None
    e2e: float | None = None
    usage: Usage | None = None
    choices: list[Choice] = []
    errors: list[Error] = []
    value: Any = None
    content: str | None = None
    detail: str | None = None


class Request(msgspec.Struct, frozen=True):
    method: str = ""
    path: str = ""
    model: str | None = None
    target_model: str | None = None
    api: str | None = None
    body: Any = None


class Side(msgspec.Struct, frozen=True):
    failed: bool = False
    broken: str = ""
    truncated: bool = False
    refused: bool = False
    empty: bool = False


class Comparison(msgspec.Struct, frozen=True):
    scored: bool = True
    similarity: float | None = None
    exact: bool | None = None
    primary: Side = Side()
    candidate: Side = Side()
    details: dict[str, Any] = {}


class Policy(msgspec.Struct, frozen=True):
    mode: str = "replacement"
    content: str = "none"
    hash: str = ""


class Entry(msgspec.Struct, frozen=True):
    """One exchange with one candidate."""

    run: str
    sequence: int
    id: str
    started: float
    """Unix time."""
    mirror: str
    outcome: str
    route: str = ""
    rule: int = 0
    similarity: float | None = None
    summary: str = ""
    policy: Policy = Policy()
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
