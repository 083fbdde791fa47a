"""What is known of the health of endpoints, by cluster, and what follows from it for picks.

Only clusters whose policy declares a health check are in here, so that the others cost a dictionary lookup. Counts and
ejections outlive a reload of the configuration, as far as cluster and endpoint do.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .admission.checks import Check
from .admission.checks import Outcome as Probed
from .admission.failure_breaker import Outcome, State, Trigger
from .admission.outliers import Ejection, Outliers, Return
from .breakers import ClusterBreakers, Passes
from .calls import Call
from .errors import Refusal
from .events import EndpointChanged, HealthChange
from .resources.endpoints import Address
from .resources.failure_breaker_policy import FailureBreakerPolicySpec
from .resources.traffic_health import ActiveHealthCheck, HealthCheck
from .routing.table import Rule
from .scheduling.slow_start import SlowStart

__all__ = ["CheckTarget", "ClusterHealth", "Health", "Watched", "watched"]

_PANIC = 50
"""Percent of healthy endpoints, below which health is ignored (Envoy's default)."""


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """What is probed, and how: the same for every rule that asks for the same."""

    address: Address
    check: ActiveHealthCheck


@dataclass(frozen=True, slots=True)
class Watched:
    """What is declared for one cluster, as far as it is about its endpoints' health."""

    cluster: str
    endpoints: tuple[Address, ...]
    check: HealthCheck | None = None
    slow_start: float | None = None
    """Seconds over which a new endpoint gets its share."""
    breaker: FailureBreakerPolicySpec | None = None

    @property
    def declared(self) -> bool:
        return self.check is not None or self.slow_start is not None or self.breaker is not None


class ClusterHealth:
    """The health of one cluster's endpoints."""

    def __init__(
        self,
        cluster: str,
        clock: Callable[[], float],
        rng: random.Random,
        tell: Callable[[EndpointChanged], None],
    ) -> None:
        self.cluster = cluster
        self.endpoints: tuple[str, ...] = ()
        self.outliers: Outliers | None = None
        self.checks: Mapping[str, Check] = {}
        """The standing of each endpoint by active checks; empty where none are declared."""
        self.out: frozenset[str] = frozenset()
        """The endpoints that get no new requests, unless too many are out."""
        self.panics = 0
        """Picks that went by no health because too few endpoints were healthy."""
        self.breakers: ClusterBreakers | None = None
        """`None` where no FailureBreakerPolicy is declared and no operator has said anything."""
        self._slow: SlowStart | None = None
        self._clock = clock
        self._rng = rng
        self._tell = tell
        self._panic = _PANIC

    def configure(self, watched: Watched, checks: Mapping[str, Check]) -> None:
        """Take a configuration's settings and endpoints."""
        self.endpoints = tuple(dict.fromkeys(map(str, watched.endpoints)))
        self.checks = checks
        self._configure_checks(watched.check or HealthCheck())
        self._configure_slow_start(watched.slow_start)
        if watched.breaker is not None or (self.breakers is not None and self.breakers.forced):
            self.breakers = self.breakers or ClusterBreakers()
            self.breakers.configure(watched.breaker, self.endpoints)
        else:
            self.breakers = None

    def _configure_checks(self, policy: HealthCheck) -> None:
        self._panic = _PANIC if policy.panic_threshold is None else policy.panic_threshold
        if policy.passive is None:
            self.outliers = None
        elif self.outliers is None:
            self.outliers = Outliers(policy.passive, self._clock())
        else:
            self.outliers.settings = policy.passive
        if self.outliers is not None:
            self.outliers.retain(self.endpoints)
        self._recount()

    def _configure_slow_start(self, window: float | None) -> None:
        if window is None:
            self._slow = None
            return
        if self._slow is None:
            self._slow = SlowStart(window)
        self._slow.window = window
        self._slow.retain(self.endpoints, self._clock())

    def now(self) -> float:
        return self._clock()

    def begin(self, endpoint: str) -> Call | Refusal:
        """Ask the breakers for a request to an endpoint, and follow it."""
        if self.breakers is None:
            return Call(self, endpoint, None)
        begun = self.breakers.begin(endpoint, self._clock())
        self._tell_breakers()
        return begun if isinstance(begun, Refusal) else Call(self, endpoint, begun)

    @property
    def broken(self) -> bool:
        """Whether a failure breaker keeps requests from some endpoint, or from all."""
        return self.breakers is not None and self.breakers.enforced and self.breakers.tripped

    def headers(self, refusal: Refusal) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers that a refusal of this cluster has."""
        if refusal is not Refusal.BREAKER_OPEN or self.breakers is None:
            return ()
        return ((b"retry-after", b"%d" % self.breakers.retry_after(self._clock())),)

    def force(self, trigger: Trigger) -> None:
        """Take an operator's word on the breakers."""
        if self.breakers is None:
            self.breakers = ClusterBreakers()
        self.breakers.force(trigger, self._clock())
        self._tell_breakers()
        if self.breakers.spec is None and not self.breakers.forced:
            self.breakers = None

    def record(self, passes: Passes, *, failed: bool, first: float | None, took: float) -> None:
        """Let the breakers know of a call; `first` is when a stream's first piece came, `None` for other answers."""
        breakers = self.breakers
        if breakers is None:
            return
        slow_call = None if breakers.spec is None else breakers.spec.slow_call
        slow = False
        if slow_call is not None:
            time, limit = (took, slow_call.duration) if first is None else (first, slow_call.time_to_first_token)
            slow = limit is not None and time >= limit
        breakers.record(passes, Outcome(failed, slow), self._clock())
        self._tell_breakers()

    def cancel(self, passes: Passes) -> None:
        if self.breakers is not None:
            self.breakers.cancel(passes)

    def excluded(self, endpoints: Collection[str]) -> frozenset[str]:
        """Return what may not be picked of one destination's endpoints: all that are out, and none in a panic.

        Envoy counts the healthy over the whole cluster; here, each destination is looked at by itself, so that one
        that is dead as a whole is not asked in vain while another one is well. Endpoints of other destinations may be
        among those that are returned.
        """
        out = self.out
        if out:
            gone = sum(endpoint in endpoints for endpoint in out)
            if gone and 100 * (len(endpoints) - gone) < self._panic * len(endpoints):
                self.panics += 1
                out = frozenset()
        blocking = None if self.breakers is None else self.breakers.blocking(self._clock())
        return out | blocking if blocking else out

    def warm[V: _Keyed](self, views: Sequence[V]) -> Sequence[V]:
        """Leave out the endpoints that are new and stand aside from this pick."""
        return views if self._slow is None else self._slow.candidates(views, self._clock(), self._rng)

    def answered(self, endpoint: str, status: int) -> None:
        if self.outliers is not None:
            self._changed(self.outliers.answered(endpoint, status, self._clock()))

    def failed(self, endpoint: str, *, timeout: bool) -> None:
        if self.outliers is not None:
            self._changed(self.outliers.failed(endpoint, self._clock(), timeout=timeout))

    def checked(self, endpoint: str, changed: bool, *, passed: bool) -> None:
        """Take note of a probe that is recorded already; `changed` tells whether the endpoint went out or came in."""
        check = self.checks[endpoint]
        if passed and check.healthy and self.outliers is not None:
            # An endpoint that is found healthy is no outlier any more (Envoy); one whose probe fails is still in, and
            # not found healthy.
            self._changed(self.outliers.passed_check(endpoint))
        self._recount()
        # That a new endpoint is well is no news; that it is ill is.
        if changed if check.attempts > 1 else not check.healthy:
            self._warm(endpoint, check.healthy)
            kind = HealthChange.CHECK_PASSED if check.healthy else HealthChange.CHECK_FAILED
            self._tell(EndpointChanged(self.cluster, endpoint, kind, check.reason, 0.0))

    def tick(self) -> float | None:
        """Do what is due; return in how many seconds something is due again, `None` for never."""
        if self.outliers is None:
            return None
        self._changed(self.outliers.tick(self._clock()))
        return self.outliers.next_tick - self._clock()

    def reason(self, endpoint: str) -> str:
        """Say why an endpoint is out, empty when it is not."""
        check = self.checks.get(endpoint)
        if check is not None and not check.healthy:
            return f"the active check fails: {check.reason}" if check.known else "not checked yet"
        left = None if self.outliers is None else self.outliers.left(endpoint, self._clock())
        if left is not None:
            return f"ejected as an outlier, for {left:.0f} s more"
        return "" if self.breakers is None else self.breakers.blocked(endpoint, self._clock())

    def _changed(self, changes: Sequence[Ejection | Return]) -> None:
        if not changes:
            return
        self._recount()
        for change in changes:
            if isinstance(change, Ejection):
                kind, cause, seconds = HealthChange.EJECTED, change.cause.value, change.seconds
            else:
                kind, cause, seconds = HealthChange.RETURNED, "", 0.0
                self._warm(change.endpoint, True)
            self._tell(EndpointChanged(self.cluster, change.endpoint, kind, cause, seconds))

    def _tell_breakers(self) -> None:
        if self.breakers is not None:
            for endpoint, state in self.breakers.news():
                self._tell(EndpointChanged(self.cluster, endpoint, HealthChange(f"breaker_{state}"), "", 0.0))

    def _warm(self, endpoint: str, is_back: bool) -> None:
        if is_back and self._slow is not None:
            self._slow.begin(endpoint, self._clock())

    def _recount(self) -> None:
        ejected = frozenset() if self.outliers is None else self.outliers.ejected
        failing = [endpoint for endpoint, check in self.checks.items() if not check.healthy]
        self.out = ejected.union(failing) if failing else ejected


class Health:
    """The health of every cluster that declares how it is checked."""

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        """`clock` is monotonic, in seconds."""
        self.clusters: dict[str, ClusterHealth] = {}
        self.checks: dict[CheckTarget, Check] = {}
        """What is to be probed, each once."""
        self._checked_by: dict[CheckTarget, list[tuple[ClusterHealth, str]]] = {}
        self.tell: Callable[[EndpointChanged], None] = _nobody
        """Is told of every change of an endpoint."""
        self._clock = clock
        self._rng = rng

    def of(self, cluster: str) -> ClusterHealth | None:
        """Return what is known of a cluster, `None` where nothing is declared or said."""
        return self.clusters.get(cluster)

    def adopt(self, declared: Iterable[Watched]) -> None:
        """Take another configuration, of every rule that is served."""
        kept: dict[str, ClusterHealth] = {}
        known, self.checks, self._checked_by = self.checks, {}, {}
        for watched in declared:
            health = self.clusters.get(watched.cluster)
            forced = health is not None and health.breakers is not None and health.breakers.forced
            if not watched.declared and not forced:
                continue
            health = health or self._new(watched.cluster)
            active = None if watched.check is None else watched.check.active
            checks: dict[str, Check] = {}
            for address in () if active is None else watched.endpoints:
                target = _target_of(active, address)
                checks[str(address)] = self.checks.setdefault(target, known.get(target) or Check())
                self._checked_by.setdefault(target, []).append((health, str(address)))
            health.configure(watched, checks)
            kept[watched.cluster] = health
        self.clusters = kept

    def force(self, cluster: str, trigger: Trigger) -> None:
        """Take an operator's word on a cluster's breakers; it holds until it is taken back or the cluster leaves."""
        health = self.clusters.get(cluster)
        if health is None:
            if trigger is Trigger.RELEASE:
                return
            health = self.clusters[cluster] = self._new(cluster)
        health.force(trigger)

    def forced(self, cluster: str) -> State | None:
        """Return the state that an operator's word keeps a cluster in, `None` without one."""
        health = self.clusters.get(cluster)
        breakers = None if health is None else health.breakers
        return breakers.whole.state if breakers is not None and breakers.forced else None

    def _new(self, cluster: str) -> ClusterHealth:
        return ClusterHealth(cluster, self._clock, self._rng, lambda change: self.tell(change))

    def checked(self, target: CheckTarget, outcome: Probed, reason: str) -> None:
        """Take note of a probe; one of what is no longer declared is nothing."""
        check = self.checks.get(target)
        if check is None:
            return
        settings = target.check
        changed = check.record(outcome, settings.healthy_threshold, settings.unhealthy_threshold, reason)
        for health, endpoint in self._checked_by[target]:
            health.checked(endpoint, changed, passed=outcome is Probed.PASSED)

    def tick(self) -> float | None:
        """Let ejections end; return in how many seconds to call again, `None` for never."""
        waits = [wait for health in self.clusters.values() if (wait := health.tick()) is not None]
        return min(waits, default=None)


def watched(rule: Rule) -> Watched:
    """Read what a rule declares."""
    destinations = [backend.destination for backend in rule.backends if backend.destination is not None]
    balancer = rule.traffic.balancer
    return Watched(
        rule.cluster,
        tuple(address for destination in destinations for address in destination.endpoints),
        rule.traffic.health,
        None if balancer is None or balancer.slow_start is None else balancer.slow_start.window,
        rule.failure_breaker,
    )


def _target_of(check: ActiveHealthCheck | None, address: Address) -> CheckTarget:
    """Name what is probed; a Pod's name makes no difference."""
    assert check is not None
    port = address.port if check.overrides is None or check.overrides.port is None else check.overrides.port
    return CheckTarget(Address(address.host, port), check)


def _nobody(change: EndpointChanged) -> None:
    """Tell nobody."""
