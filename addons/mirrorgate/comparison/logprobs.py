"""Log probabilities against log probabilities: the most sensitive sign that two servers are not the same model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..inference.completions import Token

__all__ = ["LogprobDivergence", "compare_tokens", "first_token_divergence"]

_LEAST = 1e-9
"""Mass that is left for tokens outside the reported ones, where they sum up to one."""


@dataclass(frozen=True, slots=True)
class LogprobDivergence:
    """How far two servers' distributions are apart, over the tokens that were sampled after the same beginning."""

    tokens: int
    """Positions compared."""
    mean_gap: float | None
    """Mean absolute difference of the log probabilities of equal tokens; `None` when not one token is equal."""
    mean_kl: float | None
    """Mean Kullback-Leibler divergence in nats, primary against candidate, over the reported alternatives with the
    rest as one outcome; `None` where no position has alternatives on both sides."""


def first_token_divergence(primary: Sequence[Token], candidate: Sequence[Token]) -> int | None:
    """Return the index of the first token that differs, `None` when all do agree or one side has none."""
    if not primary or not candidate:
        return None
    for index, (left, right) in enumerate(zip(primary, candidate, strict=False)):
        if left.text != right.text:
            return index
    return None if len(primary) == len(candidate) else min(len(primary), len(candidate))


def compare_tokens(primary: Sequence[Token], candidate: Sequence[Token]) -> LogprobDivergence | None:
    """Compare two sequences of tokens up to and including the first that differs; `None` when one is empty.

    Behind it the contexts differ, so that the distributions are not of the same question any more.
    """
    if not primary or not candidate:
        return None
    gaps: list[float] = []
    divergences: list[float] = []
    positions = 0
    for left, right in zip(primary, candidate, strict=False):
        positions += 1
        if left.top and right.top:
            divergences.append(_divergence(left, right))
        if left.text != right.text:
            break
        gaps.append(abs(left.logprob - right.logprob))
    return LogprobDivergence(positions, _mean(gaps), _mean(divergences))


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _divergence(left: Token, right: Token) -> float:
    """Compare the alternatives that both sides report; every other token is in one common rest."""
    ours, theirs = _masses(left), _masses(right)
    shared = ours.keys() & theirs.keys()
    pairs = [(ours[name], theirs[name]) for name in shared]
    pairs.append(
        (
            max(_LEAST, 1.0 - math.fsum(mass for mass, _ in pairs)),
            max(_LEAST, 1.0 - math.fsum(mass for _, mass in pairs)),
        )
    )
    total_left, total_right = math.fsum(a for a, _ in pairs), math.fsum(b for _, b in pairs)
    return max(
        0.0, math.fsum(a / total_left * math.log((a / total_left) / (b / total_right)) for a, b in pairs if a > 0)
    )


def _masses(token: Token) -> dict[str, float]:
    return {name: max(_LEAST, math.exp(min(0.0, logprob))) for name, logprob in token.top}
