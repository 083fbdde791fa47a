"""What was gathered of one candidate, made into its part of the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..comparison.ledger import LEGS, Ledger
from ..comparison.ledger_book import verdict_of
from ..comparison.sketches import LatencySketch
from ..comparison.verdict_document import document_of
from .course import Course, evidence_points, mean_points
from .report import Curve, Earlier, Group, LegReport, ShadowReport
from .tallies import PairTally

__all__ = ["shadow_report"]

_MOST_GROUPS: Final = 40
_SHARES: Final = (
    *(0.0, 0.01, 0.02, 0.05),
    *(place / 20.0 for place in range(2, 19)),
    *(0.925, 0.95, 0.965, 0.98, 0.99, 0.995, 0.999, 1.0),
)
"""Where a distribution is looked at."""


def shadow_report(ledgers: Sequence[Ledger], tally: PairTally, course: Course, known: Iterable[Ledger]) -> ShadowReport:
    """Return the report of ledgers of one basis; `known` are all of their mirror, those of other bases too."""
    document = document_of(ledgers)
    points = course.points(ledgers)
    named = document.guardrail
    return ShadowReport(
        cluster=document.cluster,
        document=document,
        pairs=tally.pairs,
        first=tally.first,
        last=tally.last,
        worse=dict(tally.worse),
        better=dict(tally.better),
        exact=tally.exact,
        similarity=tally.similarity,
        noise_floor=tally.noise_floor,
        legs={leg: _leg(tally, ledgers, leg) for leg in LEGS},
        groups=_groups(tally),
        course=evidence_points(points),
        focus=() if named is None else mean_points(points, named, document.interval_alpha),
        earlier=_earlier([each for each in known if each.identity != document.identity]),
    )


def _earlier(others: Iterable[Ledger]) -> tuple[Earlier, ...]:
    """Sum up the ledgers of other bases, latest first."""
    by_identity: dict[str, list[Ledger]] = {}
    for ledger in others:
        by_identity.setdefault(ledger.identity, []).append(ledger)
    found: list[Earlier] = []
    for name, ledgers in by_identity.items():
        verdict = verdict_of(ledgers)
        since, until = min(each.since for each in ledgers), max(each.updated for each in ledgers)
        found.append(Earlier(name, verdict.decision, verdict.reason, verdict.pairs, since, until))
    return tuple(sorted(found, key=lambda each: -each.until))


def _leg(tally: PairTally, ledgers: Sequence[Ledger], leg: str) -> LegReport:
    counts = tally.legs[leg]
    return LegReport(
        answers=counts.answers,
        models=counts.models.sorted(),
        statuses=counts.statuses.sorted(),
        finish_reasons=counts.finish_reasons.sorted(),
        prompt_tokens=counts.prompt_tokens,
        completion_tokens=counts.completion_tokens,
        curves={
            name: _curve([ledger.latencies[leg][place] for ledger in ledgers])
            for place, name in enumerate(("ttft", "itl", "e2e"))
        },
    )


def _curve(sketches: Iterable[LatencySketch]) -> Curve:
    whole = LatencySketch()
    for sketch in sketches:
        whole.merge(sketch)
    found = [(whole.quantile(share), share) for share in _SHARES]
    return [(value, share) for value, share in found if value is not None]


def _groups(tally: PairTally) -> tuple[Group, ...]:
    ranked = sorted(tally.groups.items(), key=lambda item: (-item[1].pairs, item[0]))
    return tuple(
        Group(
            route=route,
            model=model,
            pairs=group.pairs,
            outcomes=group.outcomes.sorted(),
            similarity=group.similarity / group.similarities if group.similarities else None,
            ttft={leg: sketch.quantile(0.5) for leg, sketch in group.ttft.items()},
            e2e={leg: sketch.quantile(0.5) for leg, sketch in group.e2e.items()},
        )
        for (route, model), group in ranked[:_MOST_GROUPS]
    )
