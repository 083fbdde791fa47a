"""How often the verdict is wrong: thousands of simulated runs, each looked at after every pair."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from ...comparison.guardrails import DEFAULT_MARGINS, GuardrailName
from ...comparison.verdict import VerdictPolicy
from .bettors import Bettors, Floats

__all__ = ["AA_TRAFFIC", "AT_MARGIN", "Rates", "Traffic", "simulated", "upper_bound"]

type _Draw = Callable[[np.random.Generator, int, int], Floats]
"""From generator, runs and the pair's number to differences, an array of runs by guardrails."""

_POLICY = VerdictPolicy(())
_BLOCK = 5000
"""Wealths that are held at once: as many as the processor's cache takes."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """One kind of simulated traffic."""

    name: str
    margins: tuple[float, ...]
    draw: _Draw
    within: bool = True
    """Whether the candidate is within every margin, so that a REJECT is wrong."""
    beyond: bool = False
    """Whether it is at a margin or beyond, so that a PROMOTE is wrong."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How many of the runs ever came to a decision."""

    runs: int
    pairs: int
    """Of each run."""
    rejected: int
    promoted: int
    """Before any REJECT."""
    median_promoted: float | None
    """Pairs until PROMOTE; `None` where half of the runs never got there."""


def upper_bound(wrong: int, runs: int) -> float:
    """Return the upper end of the exact (Clopper-Pearson) one-sided 95 % interval of a rate."""
    found = binomtest(wrong, runs, alternative="less").proportion_ci(confidence_level=0.95)
    return float(found.high)


def simulated(traffic: Traffic, runs: int, pairs: int, seed: int, *, min_pairs: int = _POLICY.min_pairs) -> Rates:
    """Run simulations in which every guardrail decides, with the default error rates."""
    size = max(1, _BLOCK // len(traffic.margins))
    blocks: list[tuple[Floats, Floats]] = []
    for start in range(0, runs, size):
        rng = np.random.default_rng([seed, start, *traffic.name.encode()])
        blocks.append(_block(traffic, min(size, runs - start), pairs, min_pairs, rng))
    promoted, rejected = (np.concatenate(firsts) for firsts in zip(*blocks, strict=True))
    middle = float(np.median(promoted))
    return Rates(
        runs,
        pairs,
        int(np.isfinite(rejected).sum()),
        int(np.isfinite(promoted).sum()),
        None if math.isinf(middle) else middle,
    )


def _block(traffic: Traffic, runs: int, pairs: int, min_pairs: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the first pair of each run after which it is a PROMOTE and a REJECT, infinity for never."""
    bettors = Bettors(runs, np.array(traffic.margins))
    promote, reject = 1.0 / _POLICY.alpha_promote, len(traffic.margins) / _POLICY.alpha_reject
    promoted, rejected = np.full(runs, math.inf), np.full(runs, math.inf)
    for pair in range(1, pairs + 1):
        bettors.update(traffic.draw(rng, runs, pair))
        failing = (bettors.inferiority() >= reject).any(axis=1)
        rejected[failing & (rejected > pair)] = pair
        if pair >= min_pairs:
            passing = (bettors.non_inferiority() >= promote).all(axis=1) & (rejected > pair)
            promoted[passing & (promoted > pair)] = pair
    return promoted, rejected


def _losses(primary: Floats, candidate: Floats) -> _Draw:
    """Draw losses of 0 and 1 that occur independently with these chances, one for each guardrail."""

    def draw(rng: np.random.Generator, runs: int, pair: int) -> Floats:
        shape = (runs, len(primary))
        return (rng.random(shape) < candidate).astype(float) - (rng.random(shape) < primary)

    return draw


_BASE = {
    GuardrailName.ERRORS: 0.0025,
    GuardrailName.BROKEN_STREAMS: 0.001,
    GuardrailName.TRUNCATION: 0.05,
    GuardrailName.REFUSAL: 0.02,
    GuardrailName.EMPTINESS: 0.002,
    GuardrailName.REPETITION: 0.005,
    GuardrailName.TOOL_CALLS: 0.01,
    GuardrailName.JSON_SCHEMA: 0.01,
    GuardrailName.TTFT_SLO: 0.10,
    GuardrailName.ITL_SLO: 0.05,
    GuardrailName.E2E_SLO: 0.08,
}
"""How often production itself fails a guardrail, in the simulated traffic."""
_MARGINS = tuple(DEFAULT_MARGINS[name] for name in _BASE)
_RATES = np.array(list(_BASE.values()))


def _drifting(rng: np.random.Generator, runs: int, pair: int) -> Floats:
    """Draw from rates that swing between nothing and three times the usual, on both sides at once."""
    rates = _RATES * (1.5 + 1.5 * math.sin(pair / 150.0))
    return _losses(rates, rates)(rng, runs, pair)


def _shared(rng: np.random.Generator, runs: int, pair: int) -> Floats:
    """Draw losses of which two thirds are the prompt's fault, and so occur on both sides of a pair."""
    shape = (runs, len(_RATES))
    shared = rng.random(shape) < _RATES * (2.0 / 3.0)
    left, right = (shared | (rng.random(shape) < _RATES / 3.0) for _ in range(2))
    return right.astype(float) - left


def _regimes(rng: np.random.Generator, runs: int, pair: int) -> Floats:
    """Draw from a candidate that is at every margin for 500 pairs and as good as production for the next 500."""
    worse = np.array(_MARGINS) if (pair // 500) % 2 == 0 else np.zeros(len(_MARGINS))
    return _losses(_RATES, _RATES + worse)(rng, runs, pair)


def _outages(rng: np.random.Generator, runs: int, pair: int) -> Floats:
    """Draw from two sides that are each down for 20 pairs on end, one time in a hundred."""
    differences = _losses(_RATES, _RATES)(rng, runs, pair)
    sequence = rng.bit_generator.seed_seq
    assert isinstance(sequence, np.random.SeedSequence)
    # A generator of its own for each stretch of 20 pairs, so that all pairs of a stretch see the same outages.
    down = np.random.default_rng([pair // 20, *sequence.generate_state(4).tolist()]).random((2, runs)) < 0.01
    differences[:, list(_BASE).index(GuardrailName.ERRORS)] = down[1].astype(float) - down[0]
    return differences


AA_TRAFFIC = (
    Traffic("A/A: both arms alike", _MARGINS, _losses(_RATES, _RATES)),
    Traffic("A/A: rates drift together", _MARGINS, _drifting),
    Traffic("A/A: two thirds of the losses are the prompt's", _MARGINS, _shared),
    Traffic("outside the promise: outages of 20 pairs on either side", _MARGINS, _outages),
    Traffic("at every margin half of the time", _MARGINS, _regimes),
    Traffic("at every margin at once", _MARGINS, _losses(_RATES, _RATES + np.array(_MARGINS)), beyond=True),
)
"""Traffic of eleven guardrails, all of which decide; none of these candidates may be rejected, save for the fourth."""


def _at_margin(name: str, primary: float) -> Traffic:
    margin = DEFAULT_MARGINS[name]
    rates = np.array([primary])
    draw = _losses(rates, rates + margin)
    return Traffic(f"{name}: {primary:.2%} and {primary + margin:.2%}", (margin,), draw, beyond=True)


def _excess(name: str) -> Traffic:
    """Distances of texts, beta-distributed, whose means are a margin apart."""
    margin, mean, spread = DEFAULT_MARGINS[name], 0.15, 4.0

    def draw(rng: np.random.Generator, runs: int, pair: int) -> Floats:
        worse = mean + margin
        candidate = rng.beta(worse * spread, (1.0 - worse) * spread, (runs, 1))
        control: Floats = rng.beta(mean * spread, (1.0 - mean) * spread, (runs, 1))
        return candidate - control

    return Traffic(f"{name}: mean distances {mean:.2f} and {mean + margin:.2f}", (margin,), draw, beyond=True)


AT_MARGIN = (
    *(_at_margin(name.value, primary) for name, rate in _BASE.items() for primary in (0.0, rate)),
    _excess(GuardrailName.DIVERGENCE.value),
)
"""A candidate that is worse by exactly the margin of the only guardrail: the worst case of a false PROMOTE."""
