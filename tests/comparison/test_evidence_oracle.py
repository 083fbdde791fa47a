"""The evidence against numpy and scipy, wherever there is a closed form or an exact count."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, special, stats

from mirrorgate.comparison.bets import INFERIORITY_BETS, INFERIORITY_WEIGHTS, highest_bet, non_inferiority_bets
from mirrorgate.comparison.evidence import Evidence, _deviation, interval
from mirrorgate.comparison.texts import similarity
from mirrorgate.comparison.trials import independent
from mirrorgate.comparison.vectors import cosine
from mirrorgate.inference.assembling import percentile
from mirrorgate.testing.verdict_bench.error_rates import Traffic, simulated

MARGINS = (0.005, 0.02, 0.3)
SEED = 20261122


def after(values: list[float], margin: float) -> Evidence:
    evidence = Evidence(margin)
    for value in values:
        evidence.update(value)
    return evidence


def log_inferiority(margin: float, worse: int, same: int, better: int) -> float:
    """Return the closed form: fixed bets depend on how often each difference occurred, not on their order."""
    bets = np.array(INFERIORITY_BETS) / INFERIORITY_BETS[0] * highest_bet(margin, inferiority=True)
    logs = sum(
        count * np.log1p(bets * (value - margin)) for count, value in ((worse, 1.0), (same, 0.0), (better, -1.0))
    )
    return float(special.logsumexp(logs, b=np.array(INFERIORITY_WEIGHTS)))


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=200), st.sampled_from(MARGINS))
def test_inferiority_is_the_closed_form_of_counts(values: list[float], margin: float) -> None:
    """The evidence against a candidate is scipy's log-sum-exp of six powers."""
    expected = log_inferiority(margin, values.count(1.0), values.count(0.0), values.count(-1.0))
    assert after(values, margin).log_rej == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("primary", [0.0, 0.25])
def test_expected_wealth_is_one_at_the_margin(margin: float, primary: float) -> None:
    """Summed over every sequence of seven pairs with its chance, both wealths are exactly fair."""
    candidate = primary + margin
    if candidate > 1.0:
        return
    chances = {
        1.0: candidate * (1.0 - primary),
        -1.0: primary * (1.0 - candidate),
        0.0: primary * candidate + (1.0 - primary) * (1.0 - candidate),
    }
    wealths = [0.0, 0.0]
    for values in itertools.product(chances, repeat=7):
        chance = math.prod(chances[value] for value in values)
        evidence = after(list(values), margin)
        wealths[0] += chance * math.exp(evidence.log_ni)
        wealths[1] += chance * math.exp(evidence.log_rej)
    assert wealths == pytest.approx([1.0, 1.0], abs=1e-9)


def exact_false_reject(margin: float, pairs: int, alpha: float) -> float:
    """Return the chance that a candidate at the margin of a flawless primary is ever rejected, by counting paths.

    The evidence depends on the number of losses only, so the paths that have not crossed form a chain over it.
    """
    alive: NDArray[np.float64] = np.zeros(pairs + 1)
    alive[0] = 1.0
    crossed = 0.0
    bar = math.log(1.0 / alpha)
    for pair in range(1, pairs + 1):
        alive[1:] = alive[1:] * (1.0 - margin) + alive[:-1] * margin
        alive[0] *= 1.0 - margin
        for losses in range(pair + 1):
            if alive[losses] > 0.0 and log_inferiority(margin, losses, pair - losses, 0) >= bar:
                crossed += alive[losses]
                alive[losses] = 0.0
    return crossed


def test_simulated_error_rate_is_the_exact_one() -> None:
    """The simulation of the benchmark agrees with a count of all paths, which stays under alpha."""
    margin, pairs, runs = 0.1, 150, 4000
    exact = exact_false_reject(margin, pairs, 0.05)
    assert 0.01 < exact < 0.05

    def draw(rng: np.random.Generator, runs: int, pair: int) -> NDArray[np.float64]:
        return (rng.random((runs, 1)) < margin).astype(float)

    found = simulated(Traffic("exact", (margin,), draw), runs, pairs, SEED)
    low, high = stats.binom.interval(0.9999, runs, exact)
    assert low <= found.rejected <= high


@pytest.mark.parametrize("margin", [0.005, 0.02, 0.03])
@pytest.mark.parametrize("share", [0.001, 0.02, 0.1, 0.4])
def test_bets_grow_nearly_as_fast_as_the_best_one(margin: float, share: float) -> None:
    """The formula's bet on an equal candidate is within 2 % of the growth that scipy's optimiser finds."""
    highest = highest_bet(margin, inferiority=False)

    def growth(bet: float) -> float:
        parts = ((1.0 - share, margin), (share / 2.0, margin - 1.0), (share / 2.0, margin + 1.0))
        return math.fsum(chance * math.log1p(bet * gain) for chance, gain in parts)

    best = optimize.minimize_scalar(lambda bet: -growth(bet), bounds=(0.0, highest), method="bounded")
    bet = non_inferiority_bets(10**7, 0.0, share * 10**7, margin)[0]
    assert growth(bet) >= 0.98 * -best.fun


@given(st.floats(0.0, 1e5), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_interval_solves_its_equation(spread: float, alpha: float) -> None:
    """The bisection finds the root that scipy finds."""
    from mirrorgate.comparison.evidence import _COSTS, _SLOPE_WEIGHTS, _SLOPES

    slopes, costs = np.array(_SLOPES), np.array(_COSTS)

    def excess(deviation: float) -> float:
        logs = slopes * deviation - costs * spread
        return float(special.logsumexp(logs, b=np.array(_SLOPE_WEIGHTS))) - math.log(2.0 / alpha)

    root = optimize.brentq(excess, 0.0, 1e6)
    assert _deviation(spread, math.log(2.0 / alpha)) == pytest.approx(root, rel=1e-6)


@pytest.mark.parametrize(("primary", "candidate"), [(0.05, 0.05), (0.0, 0.03), (0.3, 0.4)])
def test_the_interval_covers_at_all_times_at_once(primary: float, candidate: float) -> None:
    """It misses the mean at any of many looks in no more runs than alpha and chance allow."""
    rng, runs, alpha = random.Random(SEED), 120, 0.1
    looks = {round(10 * 1.6**step) for step in range(8)}
    draw, missed = independent(primary, candidate), 0
    for _ in range(runs):
        evidence = Evidence(0.1)
        wrong = False
        for pair in range(1, max(looks) + 1):
            evidence.update(draw(rng))
            if pair in looks:
                low, high = evidence.interval(alpha)
                wrong = wrong or not low <= candidate - primary <= high
        missed += wrong
    assert missed <= stats.binom.ppf(0.999, runs, alpha)


@pytest.mark.parametrize("pairs", [200, 1000, 5000])
def test_the_interval_is_wider_than_one_for_a_single_look_but_not_much(pairs: int) -> None:
    """To hold at all times costs something against the normal interval for one look: less than a factor of 2.5."""
    rng = random.Random(SEED)
    draw = independent(0.1, 0.1)
    evidence = after([draw(rng) for _ in range(pairs)], 0.1)
    tally = evidence.tally()
    low, high = interval(tally, 0.05)
    error = math.sqrt(tally.squares / pairs / pairs)
    single = 2.0 * stats.norm.ppf(0.975) * error
    assert single < high - low < 2.5 * single


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_percentiles_are_numpys(values: list[float], share: float) -> None:
    """Nearest rank is numpy's inverted distribution function."""
    rank = share * len(values)
    if abs(rank - round(rank)) < 1e-9:  # where rounding decides on which side of a step a share lies
        return
    assert percentile(values, share) == np.quantile(values, share, method="inverted_cdf")


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=8))
def test_cosine_is_numpys(pairs: list[tuple[float, float]]) -> None:
    """Scaling first loses nothing."""
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    norms = np.linalg.norm(first) * np.linalg.norm(second)
    if norms < 1e-6:
        return
    assert cosine(first.tolist(), second.tolist()) == pytest.approx(float(first @ second / norms), abs=1e-9)


@given(st.text("ab c", max_size=20), st.text("ab c", max_size=20))
def test_similarity_is_that_of_the_longest_common_subsequence(first: str, second: str) -> None:
    """Counted with the textbook's table."""
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for row, column in np.ndindex(len(first), len(second)):
        same = first[row] == second[column]
        table[row + 1, column + 1] = (
            table[row, column] + 1 if same else max(table[row, column + 1], table[row + 1, column])
        )
    total = len(first) + len(second)
    expected = 2 * table[-1, -1] / total if total else 1.0
    assert similarity(first, second, 100) == pytest.approx(expected)
