"""Slow start: an endpoint that is new, or back, gets its share of requests little by little.

As Envoy (`envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig`, with Envoy Gateway's settings): over the
window its weight rises from a tenth to the whole, in proportion to the time that has passed. Endpoints here have no
weights, so one that is not up to its weight stands aside from that share of the picks. Where all are new, none is.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Protocol

__all__ = ["LEAST_WEIGHT", "SlowStart"]

LEAST_WEIGHT = 0.1
"""`min_weight_percent`, Envoy's default."""


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


class SlowStart:
    """The endpoints of one cluster that are warming up. Times are seconds of one monotonic clock."""

    def __init__(self, window: float) -> None:
        self.window = window
        self._since: dict[str, float] = {}
        self._known: frozenset[str] | None = None

    def retain(self, endpoints: Iterable[str], now: float) -> None:
        """Take the endpoints that there are; those that were not there before begin, but not the very first ones."""
        present = frozenset(endpoints)
        if self._known is not None:
            self._since |= dict.fromkeys(present - self._known, now)
        self._known = present
        self._since = {name: since for name, since in self._since.items() if name in present}

    def begin(self, endpoint: str, now: float) -> None:
        """Let an endpoint that is back begin anew."""
        if self._known is not None and endpoint in self._known:
            self._since[endpoint] = now

    def weight(self, endpoint: str, now: float) -> float:
        """Return an endpoint's weight, `LEAST_WEIGHT` to 1."""
        since = self._since.get(endpoint)
        if since is None:
            return 1.0
        passed = now - since
        if passed >= self.window:
            del self._since[endpoint]
            return 1.0
        return max(LEAST_WEIGHT, passed / self.window)

    def candidates[V: _Keyed](self, views: Sequence[V], now: float, rng: random.Random) -> Sequence[V]:
        """Leave out the endpoints that stand aside from this pick; all take part where all are as new."""
        if not self._since:
            return views
        weights = [self.weight(view.key, now) for view in views]
        most = max(weights, default=1.0)
        if min(weights, default=1.0) == most:
            return views
        # The heaviest always takes part, so that somebody does.
        return [v for v, weight in zip(views, weights, strict=True) if weight == most or rng.random() * most < weight]
