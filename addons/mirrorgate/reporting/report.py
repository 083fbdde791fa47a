"""The report as values: what `--json` prints (`mirrorgate.report/v1`) and what text and HTML are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..comparison.verdict import Decision
from ..comparison.verdict_document import VerdictDocument
from .course import EvidencePoint, MeanPoint

__all__ = ["SCHEMA", "Damage", "Earlier", "Group", "LegReport", "Reading", "Report", "ShadowReport", "overall"]

SCHEMA: Final = "mirrorgate.report/v1"

Curve = list[tuple[float, float]]
"""A distribution function: a latency in seconds, and the share of answers that are no slower."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A place in a journal that holds no record."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, and what was left out on purpose or could not be read."""

    journals: tuple[str, ...]
    files: int
    exchanges: int
    """Records of exchanges that could be read, chosen or not."""
    chosen: int
    """Those that the filters let through."""
    steps: int
    """Of the evidence."""
    damaged: int
    damages: tuple[Damage, ...]
    """The first of them."""
    unreadable: int
    """Steps that do not fit what was read before them."""
    missing: int
    """Steps that were taken live and are not in what was read."""
    carried: int
    """Steps that are not in what was read, but whose sum is."""
    filters: tuple[str, ...]
    """In words; empty when everything was taken."""
    changes: tuple[str, ...]
    """How the terms differ from those that were declared, in words."""


@dataclass(frozen=True, slots=True)
class LegReport:
    """The answers of one leg."""

    answers: int
    models: dict[str, int]
    statuses: dict[str, int]
    finish_reasons: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    curves: dict[str, Curve]
    """By `ttft`, `itl` and `e2e`, of the answers that a client could use."""


@dataclass(frozen=True, slots=True)
class Group:
    """The pairs of one route and model."""

    route: str
    model: str
    pairs: int
    outcomes: dict[str, int]
    similarity: float | None
    ttft: dict[str, float | None]
    """Medians by leg, in seconds."""
    e2e: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was compared before its identity changed, which is no evidence for what is compared now."""

    identity: str
    decision: Decision
    reason: str
    pairs: int
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """One candidate."""

    cluster: str
    document: VerdictDocument
    """What `/verdict` shows, made by the same code."""
    pairs: int
    """Exchanges whose records were read."""
    first: float | None
    """Unix time of the first request."""
    last: float | None
    worse: dict[str, int]
    """Pairs in which the candidate lost, by guardrail."""
    better: dict[str, int]
    exact: int
    similarity: list[int]
    """Pairs by similarity, in equal bins from 0 to 1."""
    noise_floor: list[int]
    """The same of the primary asked again."""
    legs: dict[str, LegReport]
    groups: tuple[Group, ...]
    course: tuple[EvidencePoint, ...]
    focus: tuple[MeanPoint, ...]
    """The mean difference of the guardrail that the verdict names, over the observations."""
    earlier: tuple[Earlier, ...]


@dataclass(frozen=True, slots=True)
class Report:
    schema: str
    version: str
    """Of Mirrorgate."""
    made: float
    """Unix time."""
    verdict: Decision
    reason: str
    reading: Reading
    shadows: tuple[ShadowReport, ...]


def overall(shadows: tuple[ShadowReport, ...]) -> tuple[Decision, str]:
    """Return the verdict over all candidates, and why: REJECT if any is rejected, PROMOTE if all are promoted."""
    if not shadows:
        return Decision.HOLD, "the journal holds no evidence"
    for decision in (Decision.REJECT, Decision.HOLD, Decision.PROMOTE):
        named = [shadow for shadow in shadows if shadow.document.verdict is decision]
        if named:
            break
    reason = named[0].document.reason
    if len(shadows) > 1:
        more = f" (and {len(named) - 1} more)" if len(named) > 1 else ""
        reason = f"{named[0].cluster}: {reason}{more}"
    return decision, reason
