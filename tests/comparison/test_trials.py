import random
from statistics import median

import pytest

from mirrorgate.comparison.trials import (
    SCENARIOS,
    FixedGrid,
    Scenario,
    between,
    independent,
    run_trials,
)

SEED = 20261122


@pytest.mark.parametrize(
    ("primary", "candidate", "margin"), [(0.05, 0.07, 0.02), (0.0, 0.02, 0.02), (0.3, 0.35, 0.05)], ids=str
)
def test_false_promote_stays_under_alpha_at_the_margin(primary: float, candidate: float, margin: float) -> None:
    """A candidate that is worse by exactly the margin is promoted in no more runs than alpha allows.

    Looked at after every pair. At alpha 10 % of 100 runs 10 are expected at most; 19 are beyond the 99th percentile.
    """
    rng = random.Random(SEED)
    trials = run_trials(
        rng, independent(primary, candidate), margin, runs=100, pairs=600, alpha_promote=0.1, stop=False
    )
    assert sum(trial.promoted is not None for trial in trials) < 19


@pytest.mark.parametrize(
    ("primary", "candidate", "margin"), [(0.05, 0.07, 0.02), (0.0, 0.02, 0.02), (0.1, 0.1, 0.03)], ids=str
)
def test_false_reject_stays_under_alpha_within_the_margin(primary: float, candidate: float, margin: float) -> None:
    """A candidate within the margin, even at it, is rejected in no more runs than alpha allows."""
    rng = random.Random(SEED)
    draw = independent(primary, candidate)
    trials = run_trials(rng, draw, margin, runs=100, pairs=600, alpha_reject=0.1, guardrails=1, stop=False)
    assert sum(trial.rejected is not None for trial in trials) < 19


def test_drawn_means_are_the_declared_ones() -> None:
    """The simulated traffic is what its name says."""
    rng = random.Random(SEED)
    for draw in (independent(0.1, 0.3), between(0.1, 0.3, 5.0)):
        values = [draw(rng) for _ in range(4000)]
        assert sum(values) / len(values) == pytest.approx(0.2, abs=0.03)
        assert all(-1.0 <= value <= 1.0 for value in values)


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.name.startswith("no errors")], ids=lambda s: s.name)
def test_grid_reproduces_the_published_numbers(scenario: Scenario) -> None:
    """Where nothing is random the fixed grid takes exactly as many pairs as was published."""
    grid = FixedGrid(scenario.margin, scenario.inferior)
    pairs = 0
    while grid.log_evidence < 4.605170185988092:
        grid.update(0.0)
        pairs += 1
    assert pairs == pytest.approx(scenario.grid_pairs, rel=0.01)


@pytest.mark.parametrize(
    "scenario",
    [s for s in SCENARIOS if s.name in ("no errors, margin 1 pt", "errors +5 pt", "tool calls broken in 10 %")],
    ids=lambda s: s.name,
)
def test_a_quarter_fewer_pairs_than_the_grid(scenario: Scenario) -> None:
    """The weights and bets need at most three quarters of the fixed grid's median."""
    rng = random.Random(SEED)
    trials = run_trials(rng, scenario.draw, scenario.margin, runs=60, pairs=1500)
    found = [trial.rejected if scenario.inferior else trial.promoted for trial in trials]
    assert median(1501 if pair is None else pair for pair in found) <= 0.76 * scenario.grid_pairs
