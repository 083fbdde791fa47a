"""The bound on what a candidate may cost: tokens in a sliding interval, as a ShadowPolicy's `tokenBudget` sets it.

Pure: `now` comes in. A request is dropped before it is sent, from what earlier answers used: what is dropped never
depends on the answer to it. So the last requests of an interval can exceed the budget by what they use.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["TokenBudgets"]

_GRAIN: Final = 1.0
"""Seconds that share one count, which bounds the memory of a long interval."""


class TokenBudgets:
    """Tokens used by each cluster that has a budget, newest last."""

    def __init__(self) -> None:
        self._used: dict[str, deque[tuple[float, int]]] = {}
        self._sums: dict[str, int] = {}

    def spend(self, cluster: str, tokens: int, now: float) -> None:
        """Count the tokens of one answer, prompt and completion."""
        if tokens <= 0:
            return
        used = self._used.setdefault(cluster, deque())
        if used and now - used[-1][0] < _GRAIN:
            began, so_far = used[-1]
            used[-1] = (began, so_far + tokens)
        else:
            used.append((now, tokens))
        self._sums[cluster] = self._sums.get(cluster, 0) + tokens

    def allows(self, cluster: str, tokens: int, interval: float, now: float) -> bool:
        """Say whether fewer than `tokens` were used in the last `interval` seconds; forgets what is older."""
        used = self._used.get(cluster)
        if used is None:
            return True
        while used and used[0][0] <= now - interval:
            self._sums[cluster] -= used.popleft()[1]
        if not used:
            del self._used[cluster], self._sums[cluster]
            return True
        return self._sums[cluster] < tokens
