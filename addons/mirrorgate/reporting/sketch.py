"""A distribution of positive numbers in bounded memory: buckets that grow geometrically, as in DDSketch.

Masson et al., arXiv 1908.10693: with buckets that grow by 2 %, every quantile is exact to 1 %, in whatever order the
values came, and sketches of several journals add up exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

__all__ = ["Quantiles", "Sketch"]

_GROWTH: Final = math.log(1.02)
_LOWEST: Final = 1e-6
_HIGHEST: Final = 1e6
"""Values outside are counted at the ends: at most 1,400 buckets."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """What a table shows of a distribution; the unit is that of its values."""

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    highest: float | None


class Sketch:
    """Counts of values by bucket."""

    __slots__ = ("_buckets", "_count", "_highest", "_total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._count = 0
        self._total = 0.0
        self._highest = -math.inf

    def __len__(self) -> int:
        return self._count

    def add(self, value: float) -> None:
        """Count a value; one that is no finite number is left out."""
        if not math.isfinite(value):
            return
        bucket = math.ceil(math.log(min(_HIGHEST, max(_LOWEST, value))) / _GROWTH)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self._count += 1
        self._total += value
        self._highest = max(self._highest, value)

    def quantile(self, share: float) -> float | None:
        """Return the value that `share` of all values do not exceed, `None` without values."""
        rank = share * (self._count - 1)
        below = 0
        for bucket in sorted(self._buckets):
            below += self._buckets[bucket]
            if below > rank:
                return min(self._highest, _middle(bucket))
        return None

    def quantiles(self) -> Quantiles:
        """Return what a table shows."""
        if not self._count:
            return Quantiles(0, None, None, None, None, None, None)
        return Quantiles(
            self._count,
            self._total / self._count,
            self.quantile(0.5),
            self.quantile(0.9),
            self.quantile(0.95),
            self.quantile(0.99),
            self._highest,
        )

    def curve(self, points: int) -> list[tuple[float, float]]:
        """Return at most `points` of the distribution function: values with the share that does not exceed each."""
        buckets = sorted(self._buckets)
        step = max(1, math.ceil(len(buckets) / max(1, points - 1)))
        found: list[tuple[float, float]] = []
        below = 0
        for index, bucket in enumerate(buckets):
            below += self._buckets[bucket]
            if index % step == 0 or index == len(buckets) - 1:
                found.append((min(self._highest, _middle(bucket)), below / self._count))
        return found


def _middle(bucket: int) -> float:
    """Return the value that is within 1 % of everything in the bucket."""
    return math.exp(_GROWTH * bucket) * 2.0 / (1.0 + math.exp(_GROWTH))
