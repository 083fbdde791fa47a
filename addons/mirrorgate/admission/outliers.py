"""Outlier detection: endpoints of a cluster that fail are ejected for a while, and come back by themselves.

The rules are Envoy's (`envoy.config.cluster.v3.OutlierDetection`), with the settings that Envoy Gateway makes of
`BackendTrafficPolicy.spec.healthCheck.passive`; the rows marked (m) are measured (`docs/compatibility.md`)::

    an answer below 500          the endpoint's streaks end
    an answer of 500 and more    the streak of 5xx grows; with 502, 503 and 504 that of gateway errors, too
    no answer                    as a 503, after a timeout as a 504; a streak of its own where origins are split
    a streak reaches its number  the endpoint is to be ejected, and the streak begins anew
    to be ejected                ejected, where 100 * (ejected + 1) / endpoints <= maxEjectionPercent (m), or where
                                 none is ejected and alwaysEjectOneEndpoint is set (m); else an overflow is counted
    a tick, once an interval     an ejected endpoint returns after baseEjectionTime times its number of ejections (m),
                                 300 s at most; of one that was in all the while the number goes down by one
                                 an endpoint whose share of failures stands out is to be ejected

So with the CRD's 10 percent, no endpoint of fewer than ten is ever ejected (m).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..resources.traffic_health import PassiveHealthCheck

__all__ = ["Cause", "Ejection", "Outliers", "Return"]

_GATEWAY_ERRORS = frozenset((502, 503, 504))
_LONGEST = 300.0
"""Seconds of an ejection at most, or the base time where that is longer (`max_ejection_time`)."""
_MOST_PERCENT = 10
"""Of endpoints, where the policy says 0: Envoy Gateway leaves it to Envoy then."""
_FEWEST_ENDPOINTS = 5
"""Endpoints with requests enough, below which shares are not compared (`*_minimum_hosts`)."""
_RATE_REQUESTS = 100
"""Requests in an interval, below which an endpoint's success rate is not looked at."""
_PERCENTAGE_REQUESTS = 50
_DEVIATIONS = 1.9
"""Standard deviations below the mean that make a success rate an outlier."""
_SHORTEST_INTERVAL = 0.05


class Cause(enum.StrEnum):
    """Why an endpoint is to be ejected, in the words of Envoy's statistics."""

    CONSECUTIVE_5XX = "consecutive_5xx"
    CONSECUTIVE_GATEWAY_FAILURE = "consecutive_gateway_failure"
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE = "consecutive_local_origin_failure"
    SUCCESS_RATE = "success_rate"
    FAILURE_PERCENTAGE = "failure_percentage"


@dataclass(frozen=True, slots=True)
class Ejection:
    endpoint: str
    cause: Cause
    seconds: float
    """How long it lasts, up to the tick that follows."""


@dataclass(frozen=True, slots=True)
class Return:
    endpoint: str


@dataclass(slots=True)
class _Endpoint:
    streak_5xx: int = 0
    streak_gateway: int = 0
    streak_local: int = 0
    answered: int = 0
    """Since the last tick."""
    succeeded: int = 0
    ejected_at: float | None = None
    times: int = 0
    """What baseEjectionTime is multiplied by: ejections, less the ticks in which it behaved."""


class Outliers:
    """The detector of one cluster. Times are seconds of one monotonic clock; every change is returned to be told."""

    def __init__(self, settings: PassiveHealthCheck, now: float) -> None:
        self.settings = settings
        self.ejected: frozenset[str] = frozenset()
        self.detected: dict[Cause, int] = dict.fromkeys(Cause, 0)
        self.enforced: dict[Cause, int] = dict.fromkeys(Cause, 0)
        self.overflow = 0
        """Ejections that maxEjectionPercent did not allow."""
        self._endpoints: dict[str, _Endpoint] = {}
        self._next_tick = now + self._interval

    @property
    def next_tick(self) -> float:
        return self._next_tick

    def retain(self, endpoints: Iterable[str]) -> None:
        """Take the endpoints that there are now; those that stay keep their state."""
        self._endpoints = {name: self._endpoints.get(name) or _Endpoint() for name in endpoints}
        self._count()

    def answered(self, endpoint: str, status: int, now: float) -> list[Ejection]:
        """Count an answer of the endpoint."""
        state = self._endpoints.get(endpoint)
        if state is None:
            return []
        state.streak_local = 0
        return list(self._external(endpoint, state, status, now))

    def failed(self, endpoint: str, now: float, *, timeout: bool = False) -> list[Ejection]:
        """Count a request that got no answer: no connection, a reset, a timeout."""
        state = self._endpoints.get(endpoint)
        if state is None:
            return []
        if not self.settings.split_external_local_origin_errors:
            return list(self._external(endpoint, state, 504 if timeout else 503, now))
        state.streak_local += 1
        if not _reached(state.streak_local, self.settings.consecutive_local_origin_failures):
            return []
        state.streak_local = 0
        return list(self._eject(endpoint, state, Cause.CONSECUTIVE_LOCAL_ORIGIN_FAILURE, now))

    def passed_check(self, endpoint: str) -> list[Return]:
        """Let an endpoint that an active check finds healthy return at once, as Envoy does."""
        state = self._endpoints.get(endpoint)
        return [] if state is None or state.ejected_at is None else [self._return(endpoint, state)]

    def tick(self, now: float) -> list[Ejection | Return]:
        """Do what is due once an interval; nothing before its time."""
        if now < self._next_tick:
            return []
        self._next_tick = now + self._interval
        changes: list[Ejection | Return] = []
        for name, state in self._endpoints.items():
            if state.ejected_at is None:
                state.times = max(0, state.times - 1)
            elif now - state.ejected_at >= self._length(state):
                changes.append(self._return(name, state))
        changes += self._by_rate(now)
        changes += self._by_percentage(now)
        for state in self._endpoints.values():
            state.answered = state.succeeded = 0
        return changes

    def left(self, endpoint: str, now: float) -> float | None:
        """Tell how many seconds of an ejection are left, `None` for an endpoint that is not ejected."""
        state = self._endpoints.get(endpoint)
        if state is None or state.ejected_at is None:
            return None
        return max(0.0, state.ejected_at + self._length(state) - now)

    @property
    def _interval(self) -> float:
        return max(self.settings.interval, _SHORTEST_INTERVAL)

    def _external(self, endpoint: str, state: _Endpoint, status: int, now: float) -> Iterator[Ejection]:
        state.answered += 1
        if status < 500:
            state.succeeded += 1
            state.streak_5xx = state.streak_gateway = 0
            return
        settings = self.settings
        state.streak_gateway = state.streak_gateway + 1 if status in _GATEWAY_ERRORS else 0
        state.streak_5xx += 1
        if _reached(state.streak_gateway, settings.consecutive_gateway_errors):
            state.streak_gateway = 0
            yield from self._eject(endpoint, state, Cause.CONSECUTIVE_GATEWAY_FAILURE, now)
        if _reached(state.streak_5xx, settings.consecutive_5xx_errors):
            state.streak_5xx = 0
            yield from self._eject(endpoint, state, Cause.CONSECUTIVE_5XX, now)

    def _eject(self, endpoint: str, state: _Endpoint, cause: Cause, now: float) -> Iterator[Ejection]:
        """Eject, as far as there may be one more."""
        if state.ejected_at is not None:
            return
        self.detected[cause] += 1
        percent = 100 * (len(self.ejected) + 1) / len(self._endpoints)
        alone = self.settings.always_eject_one_endpoint and not self.ejected
        if percent > (self.settings.max_ejection_percent or _MOST_PERCENT) and not alone:
            self.overflow += 1
            return
        self.enforced[cause] += 1
        state.ejected_at = now
        if self._base * state.times < self._longest + self._base:
            state.times += 1
        self._count()
        yield Ejection(endpoint, cause, self._length(state))

    def _return(self, endpoint: str, state: _Endpoint) -> Return:
        state.ejected_at = None
        state.streak_5xx = state.streak_gateway = state.streak_local = 0
        self._count()
        return Return(endpoint)

    def _by_rate(self, now: float) -> Iterator[Ejection]:
        busy = self._busy(_RATE_REQUESTS)
        if len(busy) < _FEWEST_ENDPOINTS:
            return
        rates = {name: 100 * state.succeeded / state.answered for name, state in busy.items()}
        mean = sum(rates.values()) / len(rates)
        deviation = math.sqrt(sum((rate - mean) ** 2 for rate in rates.values()) / len(rates))
        yield from self._eject_where(busy, lambda n: rates[n] < mean - _DEVIATIONS * deviation, Cause.SUCCESS_RATE, now)

    def _by_percentage(self, now: float) -> Iterator[Ejection]:
        threshold, busy = self.settings.failure_percentage_threshold, self._busy(_PERCENTAGE_REQUESTS)
        if threshold is None or len(busy) < _FEWEST_ENDPOINTS:
            return
        failing = {name: 100 * (1 - state.succeeded / state.answered) >= threshold for name, state in busy.items()}
        yield from self._eject_where(busy, failing.__getitem__, Cause.FAILURE_PERCENTAGE, now)

    def _eject_where(
        self, busy: dict[str, _Endpoint], stands_out: Callable[[str], bool], cause: Cause, now: float
    ) -> Iterator[Ejection]:
        for name, state in busy.items():
            if stands_out(name):
                yield from self._eject(name, state, cause, now)

    def _busy(self, requests: int) -> dict[str, _Endpoint]:
        """Return the endpoints with requests enough since the last tick to judge them by their share of failures."""
        return {name: state for name, state in self._endpoints.items() if state.answered >= requests}

    @property
    def _base(self) -> float:
        return self.settings.base_ejection_time

    @property
    def _longest(self) -> float:
        return max(_LONGEST, self._base)

    def _length(self, state: _Endpoint) -> float:
        return min(self._base * state.times, self._longest)

    def _count(self) -> None:
        self.ejected = frozenset(name for name, state in self._endpoints.items() if state.ejected_at is not None)


def _reached(streak: int, number: int | None) -> bool:
    """Tell whether a streak has its number, or more than that since a reload has lowered it; 0 and `None` are none."""
    return bool(number) and streak >= (number or 0)
