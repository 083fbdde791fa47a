"""Embedding against embedding."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["cosine", "mean_cosine"]


def cosine(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the cosine of the angle between two vectors, `None` when they have no common length or no direction."""
    if len(first) != len(second) or not first:
        return None
    largest = max(max(map(abs, first)), max(map(abs, second)))
    if not largest or not math.isfinite(largest):
        return None
    # Scaled first, so that squares of very large or small numbers neither overflow nor vanish.
    left = [value / largest for value in first]
    right = [value / largest for value in second]
    norms = math.sqrt(math.fsum(a * a for a in left)) * math.sqrt(math.fsum(b * b for b in right))
    if not norms:
        return None
    return max(-1.0, min(1.0, math.fsum(a * b for a, b in zip(left, right, strict=True)) / norms))


def mean_cosine(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> float | None:
    """Return the mean cosine of vectors at the same place, `None` when any two cannot be compared."""
    if len(first) != len(second) or not first:
        return None
    found = [cosine(a, b) for a, b in zip(first, second, strict=True)]
    known = [value for value in found if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(found) else None
