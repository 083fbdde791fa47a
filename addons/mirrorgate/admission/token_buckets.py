"""Token buckets that fill without pause, as those of Envoy's local rate limit do, one for each key of a limit.

Measured on Envoy 1.40: a bucket of 3 a minute has its next token after 20 s, not after 60; it is told as
`x-ratelimit-reset`, in seconds rounded up, and 0 as long as a token is left.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass

__all__ = ["MOST_KEYS", "Meter", "MeterId", "Meters", "Standing"]

MeterId = tuple[str, int, float]
"""The limit's name, its amount and its period: a changed limit is another one, with full buckets."""

MOST_KEYS = 10_000
"""Buckets of one limit. Keys come from clients, so their number must have a bound: Envoy Gateway sets this one. The
bucket that was used the longest time ago makes room, and its key begins anew with a full one."""

_SLACK = 1e-9
"""What a sum of floats may lack of a whole token."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a request was told by a limit."""

    allowed: bool
    limit: int
    remaining: int
    """Whole tokens that are left."""
    reset: int
    """Seconds until there is a token again, rounded up; 0 as long as there is one."""


class Meter:
    """The buckets of one limit. Times are seconds of one monotonic clock."""

    __slots__ = ("_buckets", "_most", "_rate", "amount", "charged", "estimated", "over", "period", "under")

    def __init__(self, amount: int, period: float, most: int = MOST_KEYS) -> None:
        self.amount = amount
        self.period = period
        self.under = 0
        """Requests that found enough."""
        self.over = 0
        """Requests that did not, whether they were refused or only counted."""
        self.charged = 0
        """What answers reported and were charged for."""
        self.estimated = 0
        """What answers that reported nothing were charged for."""
        self._rate = amount / period
        self._most = most
        self._buckets: dict[Hashable, tuple[float, float]] = {}
        """Tokens and when there were so many, the least recently used first."""

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Hashable, now: float, cost: int = 1) -> Standing:
        """Take what a request costs, or nothing when there is not enough. A cost of 0 asks whether a token is left."""
        tokens = self._tokens(key, now)
        allowed = tokens + _SLACK >= max(cost, 1)
        if allowed:
            tokens -= cost
            self.under += 1
        else:
            self.over += 1
        self._put(key, tokens, now)
        return self._standing(allowed, tokens)

    def charge(self, key: Hashable, now: float, cost: int, *, estimated: bool = False) -> None:
        """Take what an answer turned out to cost; the bucket may owe tokens then."""
        self._put(key, self._tokens(key, now) - cost, now)
        if estimated:
            self.estimated += cost
        else:
            self.charged += cost

    def _tokens(self, key: Hashable, now: float) -> float:
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            return float(self.amount)
        tokens, at = bucket
        return min(float(self.amount), tokens + max(0.0, now - at) * self._rate)

    def _put(self, key: Hashable, tokens: float, now: float) -> None:
        self._buckets[key] = (tokens, now)
        if len(self._buckets) > self._most:
            del self._buckets[next(iter(self._buckets))]

    def _standing(self, allowed: bool, tokens: float) -> Standing:
        remaining = max(0, math.floor(tokens + _SLACK))
        if remaining:
            reset = 0
        elif self._rate:
            reset = max(1, math.ceil((1 - tokens) / self._rate - _SLACK))
        else:
            reset = math.ceil(self.period)
        return Standing(allowed, self.amount, remaining, reset)


class Meters:
    """The meters of all limits, by id, amount and period. They outlive a reload that leaves their limits alone."""

    def __init__(self) -> None:
        self._meters: dict[MeterId, Meter] = {}

    def of(self, id: MeterId) -> Meter:
        """Return the meter of a limit."""
        meter = self._meters.get(id)
        if meter is None:
            meter = self._meters[id] = Meter(id[1], id[2])
        return meter

    def __iter__(self) -> Iterator[tuple[str, Meter]]:
        """Yield each limit's name and meter."""
        return iter([(id[0], meter) for id, meter in self._meters.items()])

    def retain(self, ids: Collection[MeterId]) -> None:
        """Forget the limits that are not among these."""
        for id in [id for id in self._meters if id not in ids]:
            del self._meters[id]
