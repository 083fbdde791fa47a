"""How the evidence grew, in a bounded number of points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..comparison.evidence import Tally, interval, summed
from ..comparison.ledger import Ledger

__all__ = ["Course", "EvidencePoint", "MeanPoint", "evidence_points", "mean_points"]

_MOST: Final = 400

Tallies = Mapping[str, Tally]


@dataclass(frozen=True, slots=True)
class EvidencePoint:
    """The evidence of every guardrail after a number of observations."""

    pairs: int
    log_ni: dict[str, float]
    log_rej: dict[str, float]


@dataclass(frozen=True, slots=True)
class MeanPoint:
    """One guardrail's mean difference after a number of observations, with its interval."""

    pairs: int
    mean: float
    low: float
    high: float


class Course:
    """Is told of every step of the evidence and keeps evenly spaced ones: every one at first, then every second ..."""

    def __init__(self) -> None:
        self._steps = 0
        self._stride = 1
        self._points: list[tuple[int, Tallies]] = []

    def after_step(self, ledgers: Sequence[Ledger]) -> None:
        """Look at the evidence, which is that of the ledgers together."""
        self._steps += 1
        if self._steps % self._stride:
            return
        self._points.append((self._steps, _added(ledgers)))
        if len(self._points) >= _MOST:
            self._stride *= 2
            self._points = [point for point in self._points if point[0] % self._stride == 0]

    def points(self, ledgers: Sequence[Ledger]) -> list[Tallies]:
        """Return what was kept, ending with the evidence of now."""
        return [*(tallies for _, tallies in self._points), _added(ledgers)]


def _added(ledgers: Sequence[Ledger]) -> Tallies:
    parts = [ledger.tallies() for ledger in ledgers]
    if len(parts) == 1:
        return parts[0]
    names = {name: None for part in parts for name in part}
    return {name: summed(part[name] for part in parts if name in part) for name in names}


def _observations(tallies: Tallies) -> int:
    return max((tally.count for tally in tallies.values()), default=0)


def evidence_points(points: Sequence[Tallies]) -> tuple[EvidencePoint, ...]:
    """Return the evidence of every guardrail at each point; of points with as many observations the last counts."""
    found = {
        _observations(tallies): EvidencePoint(
            _observations(tallies),
            {name: tally.log_ni for name, tally in tallies.items()},
            {name: tally.log_rej for name, tally in tallies.items()},
        )
        for tallies in points
    }
    return tuple(found[pairs] for pairs in sorted(found))


def mean_points(points: Sequence[Tallies], guardrail: str, alpha: float, most: int = 120) -> tuple[MeanPoint, ...]:
    """Return one guardrail's mean and interval at some of the points, the last one among them."""
    step = max(1, -(-len(points) // most))
    chosen = points[::-1][::step][::-1]
    found: dict[int, MeanPoint] = {}
    for tallies in chosen:
        tally = tallies.get(guardrail, Tally())
        if tally.mean is not None:
            found[tally.count] = MeanPoint(tally.count, tally.mean, *interval(tally, alpha))
    return tuple(found[pairs] for pairs in sorted(found))
