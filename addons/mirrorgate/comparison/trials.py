"""Simulated traffic for the evidence: how many pairs a verdict takes, and how often it is wrong.

`scripts` and tests run these; nothing of a live verdict depends on them. Every number comes from the `rng` that is
handed in, so that a seed reproduces a table.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from .evidence import Evidence

__all__ = ["SCENARIOS", "Draw", "FixedGrid", "Scenario", "Trial", "between", "independent", "run_trials"]

Draw = Callable[[random.Random], float]
"""One difference of losses."""


def independent(primary: float, candidate: float) -> Draw:
    """Draw losses of 0 and 1 that occur independently with these chances."""

    def draw(rng: random.Random) -> float:
        return float(rng.random() < candidate) - float(rng.random() < primary)

    return draw


def between(primary: float, candidate: float, concentration: float) -> Draw:
    """Draw two beta-distributed losses with these means, as distances of texts are."""

    def draw(rng: random.Random) -> float:
        worse = rng.betavariate(candidate * concentration, (1.0 - candidate) * concentration)
        return worse - rng.betavariate(primary * concentration, (1.0 - primary) * concentration)

    return draw


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of traffic for one guardrail."""

    name: str
    draw: Draw
    margin: float
    inferior: bool
    """Whether the question is how soon it is rejected; how soon it is promoted otherwise."""
    grid_pairs: int
    """The published median of the fixed grid of 20 bets, to compare with."""


SCENARIOS = (
    Scenario("no errors, margin 0.5 pt", independent(0.0, 0.0), 0.005, False, 1498),
    Scenario("no errors, margin 1 pt", independent(0.0, 0.0), 0.01, False, 747),
    Scenario("5 % truncation each, margin 2 pt", independent(0.05, 0.05), 0.02, False, 2920),
    Scenario("10 % SLO misses each, margin 3 pt", independent(0.10, 0.10), 0.03, False, 2504),
    Scenario("0.25 % errors each, margin 0.5 pt", independent(0.0025, 0.0025), 0.005, False, 3663),
    Scenario("errors +5 pt", independent(0.0, 0.05), 0.005, True, 271),
    Scenario("errors +2 pt", independent(0.0, 0.02), 0.005, True, 904),
    Scenario("tool calls broken in 10 %", independent(0.0, 0.10), 0.01, True, 142),
    Scenario("truncation +20 pt", independent(0.05, 0.25), 0.02, True, 93),
    Scenario("excess divergence 0.1 against 0.03", between(0.15, 0.25, 4.0), 0.03, True, 186),
)


class FixedGrid:
    """What to beat: the uniform mixture of 20 fixed bets, geometric up to the highest, on the same differences."""

    __slots__ = ("_bets", "_logs", "_sign", "margin")

    def __init__(self, margin: float, inferior: bool) -> None:
        self.margin = margin
        self._sign = -1.0 if inferior else 1.0
        highest = 0.99 / (1.0 + margin if inferior else 1.0 - margin)
        self._bets = [highest * (0.002 ** (step / 19.0)) for step in range(20)]
        self._logs = [0.0] * 20

    def update(self, difference: float) -> None:
        gain = self._sign * (self.margin - difference)
        for index, bet in enumerate(self._bets):
            self._logs[index] += math.log1p(bet * gain)

    @property
    def log_evidence(self) -> float:
        highest = max(self._logs)
        return highest + math.log(math.fsum(math.exp(log - highest) for log in self._logs) / 20.0)


@dataclass(frozen=True, slots=True)
class Trial:
    """One simulated run, looked at after every pair."""

    promoted: int | None
    """The pair at which non-inferiority was shown, `None` when it never was."""
    rejected: int | None


def run_trials(
    rng: random.Random,
    draw: Draw,
    margin: float,
    *,
    runs: int,
    pairs: int,
    alpha_promote: float = 0.01,
    alpha_reject: float = 0.05,
    guardrails: int = 8,
    stop: bool = True,
) -> list[Trial]:
    """Run simulations of one guardrail out of `guardrails`, each of at most `pairs` pairs.

    A run ends with its first decision if `stop`, so that a table of many runs stays quick; error rates are counted
    with `stop=False`, where one run may show both.
    """
    promote, reject = math.log(1.0 / alpha_promote), math.log(guardrails / alpha_reject)
    trials: list[Trial] = []
    for _ in range(runs):
        evidence = Evidence(margin)
        promoted: int | None = None
        rejected: int | None = None
        for pair in range(1, pairs + 1):
            evidence.update(draw(rng))
            if promoted is None and evidence.log_ni >= promote:
                promoted = pair
            if rejected is None and evidence.log_rej >= reject:
                rejected = pair
            if (stop and (promoted or rejected)) or (promoted and rejected):
                break
        trials.append(Trial(promoted, rejected))
    return trials
