"""Latencies in a space that does not grow: counts in buckets whose bounds grow by a constant factor.

The idea is DDSketch's (Masson et al., arXiv 1908.10693): a quantile is off by at most two percent of its value,
sketches add up over replicas, and the same values give the same sketch in any order. For display only; the verdict
counts SLO misses of single pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

__all__ = ["LatencySketch", "Quantiles", "quantiles_of"]

_ERROR = 0.02
_GROWTH = (1.0 + _ERROR) / (1.0 - _ERROR)
_LOG_GROWTH = math.log(_GROWTH)
_LEAST = 1e-6
_MOST = 1e5
"""Seconds; what lies outside counts as the bound, so that a sketch has at most some 640 buckets."""


class LatencySketch(msgspec.Struct):
    """Seconds, as counts by bucket. Its JSON is its checkpoint."""

    count: int = 0
    buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one latency; what is no time, such as a negative number, is left out."""
        if not seconds >= 0.0:
            return
        bucket = math.ceil(math.log(min(max(seconds, _LEAST), _MOST)) / _LOG_GROWTH)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count += 1

    def merge(self, other: LatencySketch) -> None:
        """Add the counts of another sketch."""
        self.count += other.count
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def quantile(self, share: float) -> float | None:
        """Return the latency below which this share of all lies, `None` when there is none."""
        rank = share * (self.count - 1)
        passed = 0
        for bucket in sorted(self.buckets):
            passed += self.buckets[bucket]
            if passed > rank:
                return float(f"{2.0 * _GROWTH**bucket / (_GROWTH + 1.0):.4g}")
        return None


class Quantiles(msgspec.Struct, frozen=True):
    """What is shown of a sketch, in seconds."""

    count: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


def quantiles_of(sketches: Iterable[LatencySketch]) -> Quantiles:
    """Return the quantiles of several sketches together."""
    whole = LatencySketch()
    for sketch in sketches:
        whole.merge(sketch)
    return Quantiles(whole.count, *(whole.quantile(share) for share in (0.5, 0.9, 0.95, 0.99)))
