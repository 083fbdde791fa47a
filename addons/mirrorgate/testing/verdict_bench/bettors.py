"""The evidence of many runs at once, in arrays: `comparison.evidence` and `comparison.bets`, thousands of times over.

A test holds it against `Evidence` to nine digits. Wealth is kept as a number, not as its logarithm, which is quick; it
is cut off far above and far below what decides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...comparison.bets import INFERIORITY_BETS, INFERIORITY_WEIGHTS, NON_INFERIORITY_WEIGHTS, highest_bet

__all__ = ["Bettors", "Floats"]

type Floats = NDArray[np.float64]

_MOST = 1e250


class Bettors:
    """The wealth of `runs` runs for each of several guardrails, all starting at 1."""

    def __init__(self, runs: int, margins: Floats) -> None:
        shape = (runs, len(margins))
        self.count = 0
        self._margins = margins
        self._total = np.zeros(shape)
        self._squares = np.zeros(shape)
        self._ni = np.ones((len(NON_INFERIORITY_WEIGHTS), *shape))
        self._rej = np.ones((len(INFERIORITY_WEIGHTS), *shape))
        self._ni_weights = np.array(NON_INFERIORITY_WEIGHTS)
        self._rej_weights = np.array(INFERIORITY_WEIGHTS)
        self._ni_highest = np.array([highest_bet(float(margin), inferiority=False) for margin in margins])
        rej_highest = np.array([highest_bet(float(margin), inferiority=True) for margin in margins])
        shares = np.array(INFERIORITY_BETS) / INFERIORITY_BETS[0]
        self._rej_bets = shares[:, None, None] * rej_highest

    def update(self, differences: Floats) -> None:
        """Take the next difference of every run and guardrail, an array of runs by guardrails."""
        gains = self._margins - differences
        self._ni *= 1.0 + self._bets() * gains
        self._rej *= 1.0 - self._rej_bets * gains
        np.minimum(self._ni, _MOST, out=self._ni)
        np.minimum(self._rej, _MOST, out=self._rej)
        self.count += 1
        self._total += differences
        self._squares += differences * differences

    def non_inferiority(self) -> Floats:
        """Return the evidence of every run and guardrail that the candidate is not worse than the margin."""
        return np.tensordot(self._ni_weights, self._ni, axes=1)

    def inferiority(self) -> Floats:
        """Return the evidence that it is worse."""
        return np.tensordot(self._rej_weights, self._rej, axes=1)

    def _bets(self) -> Floats:
        count, total, squares, margin = self.count, self._total, self._squares, self._margins
        many = np.minimum(0.999, (0.5 + squares) / (count + 2.0))
        few = np.minimum(0.999, (0.05 + squares) / (count + 1.1))
        quick = margin - total / (count + 50.0)
        slow = margin - total / (count + 400.0)
        even = np.broadcast_to(margin, total.shape)
        return self._optimal(np.stack((many, few, many, many)), np.stack((even, even, quick, slow)))

    def _optimal(self, share: Floats, gain: Floats) -> Floats:
        """Do what `bets._growth_optimal` does; without a gain the formula below comes to no bet by itself."""
        gain = np.maximum(0.0, gain)
        bets: Floats = 2.0 * gain / (share + np.sqrt(share * share + 4.0 * gain * gain * (1.0 - share)))
        np.minimum(self._ni_highest, bets, out=bets)
        return bets
