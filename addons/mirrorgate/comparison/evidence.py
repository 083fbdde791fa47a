"""Evidence that a candidate is not worse than a margin, or that it is: two e-processes for a bounded difference.

A difference D of losses, candidate minus primary, lies in [-1, 1]; its margin m in (0, 1). Two bettors start with a
wealth of 1:

- *non-inferiority* stakes on `m - D`. If the candidate is worse by m or more, this wealth is a supermartingale, and
  the chance that it ever reaches 1/alpha is at most alpha (Ville's inequality), however often one looks.
- *inferiority* stakes on `D - m`. The same holds for it if the candidate is within the margin.

Each wealth is a mixture of the wealths of several bets (`bets`), kept as logarithms. What is assumed is a bound on the
conditional mean of D at each step, not independence and no distribution.

An interval for the running mean of the conditional means comes with it. It is an empirical-Bernstein confidence
sequence (Howard et al., arXiv 1810.08240, theorem 4 with a mixture over its parameter) and stays valid when the
traffic drifts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .bets import (
    INFERIORITY_BETS,
    INFERIORITY_WEIGHTS,
    NON_INFERIORITY_WEIGHTS,
    highest_bet,
    non_inferiority_bets,
)

__all__ = ["Evidence", "EvidenceState", "Tally", "interval", "pairs_needed", "summed"]


@dataclass(frozen=True, slots=True)
class Tally:
    """What is known of one guardrail at a moment. Tallies of several replicas add up, field by field."""

    count: int = 0
    total: float = 0.0
    """Sum of the differences."""
    squares: float = 0.0
    spread_up: float = 0.0
    """Sum of squared distances from a predicted mean that is not below 0, for the interval's upper end."""
    spread_down: float = 0.0
    """The same of one that is not above 0, for its lower end."""
    log_ni: float = 0.0
    """Natural logarithm of the evidence for non-inferiority."""
    log_rej: float = 0.0
    """Natural logarithm of the evidence for inferiority."""

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None


def summed(tallies: Iterable[Tally]) -> Tally:
    """Add up the tallies of independent streams.

    The product of independent e-processes is one; the sums are exactly rounded, hence the same in any order.
    """
    parts = list(tallies)
    return Tally(
        sum(part.count for part in parts),
        math.fsum(part.total for part in parts),
        math.fsum(part.squares for part in parts),
        math.fsum(part.spread_up for part in parts),
        math.fsum(part.spread_down for part in parts),
        math.fsum(part.log_ni for part in parts),
        math.fsum(part.log_rej for part in parts),
    )


@dataclass(frozen=True, slots=True)
class EvidenceState:
    """Everything that `Evidence` has to remember. Its floats survive JSON to the last digit."""

    margin: float
    count: int
    total: float
    squares: float
    spread_up: float
    spread_down: float
    ni: tuple[float, ...]
    """Log wealth of each bettor on non-inferiority."""
    rej: tuple[float, ...]


class Evidence:
    """The evidence of one guardrail, one difference after the other."""

    __slots__ = ("_count", "_highest", "_ni", "_rej", "_spread_down", "_spread_up", "_squares", "_total", "margin")

    def __init__(self, margin: float) -> None:
        """Start without evidence; raises `ValueError` for a margin outside (0, 1)."""
        if not 0.0 < margin < 1.0:
            raise ValueError(f"a margin must be between 0 and 1, not {margin}")
        self.margin = margin
        self._highest = highest_bet(margin, inferiority=True)
        self._count = 0
        self._total = 0.0
        self._squares = 0.0
        self._spread_up = 0.0
        self._spread_down = 0.0
        self._ni = [0.0] * len(NON_INFERIORITY_WEIGHTS)
        self._rej = [0.0] * len(INFERIORITY_WEIGHTS)

    def update(self, difference: float) -> None:
        """Take the next difference; raises `ValueError` for one outside [-1, 1]."""
        if not -1.0 <= difference <= 1.0:
            raise ValueError(f"a difference of losses must be between -1 and 1, not {difference}")
        gain = self.margin - difference
        bets = non_inferiority_bets(self._count, self._total, self._squares, self.margin)
        for index, bet in enumerate(bets):
            self._ni[index] += math.log1p(bet * gain)
        for index, share in enumerate(INFERIORITY_BETS):
            self._rej[index] += math.log1p(-share / INFERIORITY_BETS[0] * self._highest * gain)
        mean = self._total / (self._count + 1)
        self._spread_up += (difference - max(0.0, mean)) ** 2
        self._spread_down += (difference - min(0.0, mean)) ** 2
        self._count += 1
        self._total += difference
        self._squares += difference * difference

    @property
    def log_ni(self) -> float:
        """The evidence that the candidate is not worse than the margin, as a natural logarithm."""
        return _log_mixture(self._ni, NON_INFERIORITY_WEIGHTS)

    @property
    def log_rej(self) -> float:
        """The evidence that the candidate is worse than the margin, as a natural logarithm."""
        return _log_mixture(self._rej, INFERIORITY_WEIGHTS)

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Return the interval that holds the mean difference at all times at once with probability 1 - alpha."""
        return interval(self.tally(), alpha)

    def pairs_needed(self, alpha: float, min_pairs: int = 0) -> int | None:
        """Estimate how many more pairs non-inferiority takes, `None` when it is not to be expected."""
        return pairs_needed(self.tally(), self.margin, alpha, min_pairs)

    def tally(self) -> Tally:
        """Return what is known now."""
        return Tally(
            self._count,
            self._total,
            self._squares,
            self._spread_up,
            self._spread_down,
            self.log_ni,
            self.log_rej,
        )

    def state(self) -> EvidenceState:
        """Return everything that is remembered, to go on later exactly as if nothing had happened."""
        return EvidenceState(
            self.margin,
            self._count,
            self._total,
            self._squares,
            self._spread_up,
            self._spread_down,
            tuple(self._ni),
            tuple(self._rej),
        )

    @classmethod
    def from_state(cls, state: EvidenceState) -> Evidence:
        """Go on from a state; raises `ValueError` for one of another version or with impossible numbers."""
        evidence = cls(state.margin)
        numbers = (state.total, state.squares, state.spread_up, state.spread_down, *state.ni, *state.rej)
        if (len(state.ni), len(state.rej)) != (len(evidence._ni), len(evidence._rej)) or state.count < 0:
            raise ValueError("the state is of another version")
        if not all(map(math.isfinite, numbers)) or not state.count + 1e-6 >= state.squares >= 0.0:
            raise ValueError("the state is damaged")
        evidence._count = state.count
        evidence._total = state.total
        evidence._squares = state.squares
        evidence._spread_up = state.spread_up
        evidence._spread_down = state.spread_down
        evidence._ni = list(state.ni)
        evidence._rej = list(state.rej)
        return evidence


def _log_mixture(logs: Sequence[float], weights: Sequence[float]) -> float:
    """Return the logarithm of the weighted mean of the exponentials, without overflow; exactly 0 at the start."""
    highest = max(logs)
    return highest + math.log(math.fsum(w * math.exp(x - highest) for x, w in zip(logs, weights, strict=True)))


_SLOPES = (0.95, 0.85, 0.7, 0.5, 0.35, 0.22, 0.14, 0.08, 0.045, 0.025, 0.012, 0.005)
_SLOPE_WEIGHTS = (0.22, 0.10, 0.10, 0.10, 0.10, 0.08, 0.08, 0.06, 0.06, 0.04, 0.04, 0.02)
_COSTS = tuple(-math.log1p(-slope) - slope for slope in _SLOPES)
"""psi_E(slope) of the sub-exponential bound (Howard et al., section 3)."""


def interval(tally: Tally, alpha: float = 0.05) -> tuple[float, float]:
    """Return the interval for the mean difference so far, valid at all times at once with probability 1 - alpha.

    Each end is a one-sided bound at alpha / 2. Before the first pair it is all of [-1, 1].
    """
    if not tally.count:
        return -1.0, 1.0
    target = math.log(2.0 / alpha)
    low = (tally.total - _deviation(tally.spread_down, target)) / tally.count
    high = (tally.total + _deviation(tally.spread_up, target)) / tally.count
    return max(-1.0, low), min(1.0, high)


def _deviation(spread: float, target: float) -> float:
    """Solve mixture(exp(slope * s - psi(slope) * spread)) = exp(target) for s, by bisection.

    The mixture grows with s. Its largest single term bounds the root from above.
    """
    high = min(
        (target - math.log(weight) + cost * spread) / slope
        for slope, weight, cost in zip(_SLOPES, _SLOPE_WEIGHTS, _COSTS, strict=True)
    )
    low = 0.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        logs = [slope * middle - cost * spread for slope, cost in zip(_SLOPES, _COSTS, strict=True)]
        if _log_mixture(logs, _SLOPE_WEIGHTS) < target:
            low = middle
        else:
            high = middle
    return high


def pairs_needed(tally: Tally, margin: float, alpha: float, min_pairs: int = 0) -> int | None:
    """Estimate how many more pairs it takes until non-inferiority is shown; 0 when it is.

    The estimate takes the rest of the traffic to be like the past, where half a difference in a hundred pairs is added
    to little of it, and the best constant bet. `None` when the mean is at the margin or beyond: no number will do.
    """
    missing = max(0, min_pairs - tally.count)
    if tally.log_ni >= math.log(1.0 / alpha):
        return missing
    share = max((tally.squares + 0.5) / (tally.count + 100.0), tally.squares / max(1, tally.count))
    mean = tally.total / (tally.count + 1.0)
    worse, better = max(0.0, (share + mean) / 2.0), max(0.0, (share - mean) / 2.0)
    none = max(0.0, 1.0 - worse - better)
    highest = highest_bet(margin, inferiority=False)
    growth = max(
        none * math.log1p(bet * margin)
        + worse * math.log1p(bet * (margin - 1.0))
        + better * math.log1p(bet * (margin + 1.0))
        for bet in (highest * step / 64.0 for step in range(1, 65))
    )
    if growth <= 1e-9:
        return None
    return max(missing, math.ceil((math.log(1.0 / alpha) - tally.log_ni) / growth))
