"""How the evidence grew, in a bounded number of points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ..comparison.evidence import Tally, interval

__all__ = ["Course", "EvidencePoint", "MeanPoint", "evidence_points", "mean_points"]

_MOST: Final = 400


@dataclass(frozen=True, slots=True)
class EvidencePoint:
    """The evidence of every guardrail after a number of pairs."""

    pairs: int
    log_ni: dict[str, float]
    log_rej: dict[str, float]


@dataclass(frozen=True, slots=True)
class MeanPoint:
    """One guardrail's mean difference after a number of pairs, with its interval."""

    pairs: int
    mean: float
    low: float
    high: float


class Course:
    """Takes the tallies after every pair and keeps evenly spaced ones: every one at first, then every second ..."""

    def __init__(self) -> None:
        self._stride = 1
        self._points: list[tuple[int, Mapping[str, Tally]]] = []

    def after(self, pairs: int, tallies: Callable[[], Mapping[str, Tally]]) -> None:
        """Take the tallies after so many pairs; they are only asked for when they are kept."""
        if pairs % self._stride:
            return
        self._points.append((pairs, tallies()))
        if len(self._points) >= _MOST:
            self._stride *= 2
            self._points = [point for point in self._points if point[0] % self._stride == 0]

    def points(self, pairs: int, last: Mapping[str, Tally]) -> list[tuple[int, Mapping[str, Tally]]]:
        """Return what was kept, ending with the tallies of now."""
        kept = [point for point in self._points if point[0] < pairs]
        return [*kept, (pairs, last)] if pairs else kept


def evidence_points(points: list[tuple[int, Mapping[str, Tally]]]) -> tuple[EvidencePoint, ...]:
    """Return the evidence of every guardrail at each point."""
    return tuple(
        EvidencePoint(
            pairs,
            {name: tally.log_ni for name, tally in tallies.items()},
            {name: tally.log_rej for name, tally in tallies.items()},
        )
        for pairs, tallies in points
    )


def mean_points(
    points: list[tuple[int, Mapping[str, Tally]]], guardrail: str, alpha: float, most: int = 120
) -> tuple[MeanPoint, ...]:
    """Return one guardrail's mean and interval at some of the points, the last one among them."""
    step = max(1, -(-len(points) // most))
    chosen = points[::-1][::step][::-1]
    found: list[MeanPoint] = []
    for pairs, tallies in chosen:
        tally = tallies.get(guardrail, Tally())
        if tally.mean is not None:
            found.append(MeanPoint(pairs, tally.mean, *interval(tally, alpha)))
    return tuple(found)
