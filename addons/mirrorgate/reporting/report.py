"""The report as values: what `--json` prints (`mirrorgate.report/v1`) and what text and HTML are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..comparison.verdict import Decision, Verdict, VerdictPolicy
from .course import EvidencePoint, MeanPoint
from .sketch import Quantiles
from .worst import WorstPair

__all__ = [
    "SCHEMA",
    "Damage",
    "Earlier",
    "Group",
    "LegReport",
    "Reading",
    "Report",
    "ShadowReport",
    "overall",
]

SCHEMA: Final = "mirrorgate.report/v1"


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
    records: int
    """All that could be read, chosen or not."""
    chosen: int
    """Those that the filters let through."""
    damaged: int
    damages: tuple[Damage, ...]
    """The first of them."""
    filters: tuple[str, ...]
    """In words; empty when everything was taken."""
    changes: tuple[str, ...]
    """How the policy differs from the one that was declared, in words."""


@dataclass(frozen=True, slots=True)
class LegReport:
    """The answers of one leg; latencies in seconds."""

    answers: int
    models: dict[str, int]
    statuses: dict[str, int]
    finish_reasons: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    latency: dict[str, Quantiles]
    """By `ttft`, `itl_mean` and `e2e`."""
    curves: dict[str, list[tuple[float, float]]]
    """The distribution functions: a latency, and the share of answers that are no slower."""


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
    """What was compared before the identity changed, which is no evidence for what is compared now."""

    identity: str
    decision: Decision
    reason: str
    pairs: int
    first: float | None
    last: float | None


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """One candidate."""

    cluster: str
    identity: str
    """What is compared: models, targets and policy."""
    mode: str
    policy: VerdictPolicy
    verdict: Verdict
    replicas: int
    """Independent streams of evidence that were added up."""
    pairs: int
    first: float | None
    """Unix time of the first request."""
    last: float | None
    worse: dict[str, int]
    """Pairs in which the candidate lost, by guardrail."""
    better: dict[str, int]
    outcomes: dict[str, int]
    exact: int
    similarity: list[int]
    """Pairs by similarity, in equal bins from 0 to 1."""
    noise_floor: list[int]
    """The same of the primary asked again."""
    drops: dict[str, int]
    """Mirrored exchanges that were not compared, by reason."""
    legs: dict[str, LegReport]
    groups: tuple[Group, ...]
    course: tuple[EvidencePoint, ...]
    focus: tuple[MeanPoint, ...]
    """The mean difference of the guardrail that the verdict names, over the pairs."""
    worst: tuple[WorstPair, ...]
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
        return Decision.HOLD, "the journal holds no pairs"
    for decision in (Decision.REJECT, Decision.HOLD):
        named = [shadow for shadow in shadows if shadow.verdict.decision is decision]
        if named:
            return decision, _reason(named, len(shadows))
    return Decision.PROMOTE, _reason(list(shadows), len(shadows))


def _reason(named: list[ShadowReport], all_shadows: int) -> str:
    first = named[0]
    if all_shadows == 1:
        return first.verdict.reason
    return f"{first.cluster}: {first.verdict.reason}" + (f" (and {len(named) - 1} more)" if len(named) > 1 else "")
