import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.bets import (
    INFERIORITY_BETS,
    INFERIORITY_WEIGHTS,
    NON_INFERIORITY_WEIGHTS,
    highest_bet,
    non_inferiority_bets,
)


def test_weights_are_shares_of_one() -> None:
    """The wealth that is split up is 1."""
    assert math.fsum(NON_INFERIORITY_WEIGHTS) == pytest.approx(1.0)
    assert math.fsum(INFERIORITY_WEIGHTS) == pytest.approx(1.0)
    assert len(INFERIORITY_BETS) == len(INFERIORITY_WEIGHTS)


@given(st.floats(1e-6, 1 - 1e-6))
def test_the_highest_bet_survives_the_worst_difference(margin: float) -> None:
    """A hundredth of the wealth is left, so that its logarithm is finite."""
    assert 1.0 + highest_bet(margin, inferiority=False) * (margin - 1.0) == pytest.approx(0.01)
    assert 1.0 + highest_bet(margin, inferiority=True) * (-1.0 - margin) == pytest.approx(0.01)


@given(st.integers(0, 10**9), st.floats(-1, 1), st.floats(0, 1), st.floats(1e-9, 1 - 1e-9))
def test_bets_are_within_bounds(count: int, mean: float, share: float, margin: float) -> None:
    """Whatever was seen, no bet is negative or can lose everything."""
    squares = count * max(share, mean * mean)
    for bet in non_inferiority_bets(count, mean * count, squares, margin):
        assert 0.0 <= bet <= highest_bet(margin, inferiority=False)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2])
def test_bets_come_near_the_best_for_equal_candidates(share: float) -> None:
    """After many pairs the first bettor grows nearly as fast as the best constant bet."""
    margin, count = 0.02, 100_000

    def growth(bet: float) -> float:
        return (
            (1 - share) * math.log1p(bet * margin)
            + share / 2 * math.log1p(bet * (margin - 1))
            + share / 2 * math.log1p(bet * (margin + 1))
        )

    bet = non_inferiority_bets(count, 0.0, share * count, margin)[0]
    best = max(growth(step / 1000 * highest_bet(margin, False)) for step in range(1, 1001))
    assert growth(bet) >= 0.99 * best
