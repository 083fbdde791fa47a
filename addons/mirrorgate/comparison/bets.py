"""The bets of the e-processes: how much of the wealth is staked on the next difference.

A bet may depend on anything that was seen before the difference that it is for, and on nothing else: that is what
makes the wealth a supermartingale under the hypothesis that it tests, however clever or foolish the bets are
(Waudby-Smith and Ramdas, arXiv 2010.09686). So the choice below decides how many pairs are needed, never how often
the verdict is wrong.
"""

from __future__ import annotations

import math

__all__ = [
    "INFERIORITY_BETS",
    "INFERIORITY_WEIGHTS",
    "NON_INFERIORITY_WEIGHTS",
    "highest_bet",
    "non_inferiority_bets",
]

_STAKE = 0.99
"""The most that one difference can cost: a wealth of zero could never recover."""

NON_INFERIORITY_WEIGHTS = (0.50, 0.35, 0.05, 0.10)
"""Shares of the wealth that `non_inferiority_bets` are played with.

The first two bettors assume that the candidate is as good as the primary and learn only how often the two differ.
They differ in how many differences they expect before they have seen any: a half, or a twentieth. The first loses
little where differences are common, the second is quick where there are none. The others learn the mean too, for
candidates that are a little worse or much better.
"""

INFERIORITY_BETS = (0.99, 0.85, 0.60, 0.25, 0.08, 0.02)
"""Fixed bets against the candidate, in shares of the highest one.

A regression may have any size, and there is no time to learn it: a broken candidate is caught within a hundred
pairs. The high bets are best where the primary's own loss is rare, the low ones for a small excess over much noise.
"""
INFERIORITY_WEIGHTS = (0.32, 0.22, 0.18, 0.18, 0.07, 0.03)


def highest_bet(margin: float, inferiority: bool) -> float:
    """Return the bet at which the worst difference costs all but a hundredth of the wealth.

    The worst case of non-inferiority is a difference of 1, of inferiority one of -1.
    """
    return _STAKE / (1.0 + margin if inferiority else 1.0 - margin)


def non_inferiority_bets(count: int, total: float, squares: float, margin: float) -> tuple[float, ...]:
    """Return the bets on the next difference, given number, sum and sum of squares of those before.

    In the order of `NON_INFERIORITY_WEIGHTS`, each from 0 to `highest_bet`.
    """
    highest = highest_bet(margin, inferiority=False)
    many = min(0.999, (0.5 + squares) / (count + 2.0))
    few = min(0.999, (0.05 + squares) / (count + 1.1))
    quick = margin - total / (count + 50.0)
    slow = margin - total / (count + 400.0)
    return (
        _growth_optimal(many, margin, highest),
        _growth_optimal(few, margin, highest),
        _growth_optimal(many, quick, highest),
        _growth_optimal(many, slow, highest),
    )


def _growth_optimal(share: float, gain: float, highest: float) -> float:
    """Return the bet that makes the wealth grow fastest when differences of +1 and -1 are equally likely.

    `share` is how many differ at all, `gain` the expected gain of a unit bet. To first order in the gain the
    optimality condition is `gain * (1 - (1 - share) * bet**2) = share * bet`, a quadratic equation in the bet. For
    differences between -1 and 1 it is taken with their second moment as the share, which bets on the safe side.
    """
    if gain <= 0.0:
        return 0.0
    # The form of the root that does not cancel: the gain may be tiny.
    return min(highest, 2.0 * gain / (share + math.sqrt(share * share + 4.0 * gain * gain * (1.0 - share))))
