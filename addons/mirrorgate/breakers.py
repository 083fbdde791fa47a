"""The failure breakers of one cluster: its own, one for each endpoint, and what an operator says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .admission.failure_breaker import FailureBreaker, Outcome, Pass, State, Trigger
from .errors import Refusal
from .resources.failure_breaker_policy import FailureBreakerPolicySpec

__all__ = ["CLUSTER", "ClusterBreakers", "Passes"]

CLUSTER = ""
"""Stands for the cluster as a whole where an endpoint's name would stand."""


@dataclass(frozen=True, slots=True)
class Passes:
    """What one request holds: a pass of each breaker that judges it."""

    given: tuple[tuple[str, FailureBreaker, Pass], ...]
    probe: bool
    """Whether a half-open breaker waits for its outcome."""


class ClusterBreakers:
    """Asked for every request of a cluster with a FailureBreakerPolicy, or with an operator's word."""

    def __init__(self) -> None:
        self.spec: FailureBreakerPolicySpec | None = None
        self.whole = FailureBreaker(None)
        self.endpoints: dict[str, FailureBreaker] = {}
        self._told: dict[str, State] = {}
        """The states that are not closed, as they were last told."""

    @property
    def enforced(self) -> bool:
        return self.spec is None or self.spec.mode == "Enforce"

    @property
    def forced(self) -> bool:
        """Whether an operator's word holds."""
        return self.whole.state in (State.FORCED_OPEN, State.FORCED_CLOSED)

    def configure(self, spec: FailureBreakerPolicySpec | None, endpoints: Iterable[str]) -> None:
        """Take a configuration; breakers of endpoints that stay keep their state."""
        self.spec = spec
        scope = "Cluster" if spec is None else spec.scope
        self.whole.configure(None if scope == "Endpoint" else spec)
        held = {name: self.endpoints.get(name) for name in endpoints} if scope != "Cluster" else {}
        self.endpoints = {name: found or FailureBreaker(spec) for name, found in held.items()}
        for breaker in self.endpoints.values():
            breaker.configure(spec)
        self._told = {name: state for name, state in self._told.items() if name in self.endpoints or name == CLUSTER}

    @property
    def tripped(self) -> bool:
        """Whether one is not closed."""
        return bool(self._told)

    def begin(self, endpoint: str, now: float) -> Passes | Refusal:
        """Ask for the passes of one request to an endpoint."""
        given: list[tuple[str, FailureBreaker, Pass]] = []
        probe = False
        for name, breaker in self._judging(endpoint):
            found = breaker.acquire(now)
            if found is not None:
                given.append((name, breaker, found))
                probe = probe or breaker.state is State.HALF_OPEN
            elif self.enforced or breaker.state is State.FORCED_OPEN:
                for _, other, other_pass in given:
                    other.cancel(other_pass)
                return Refusal.FORCED_OPEN if breaker.state is State.FORCED_OPEN else Refusal.BREAKER_OPEN
        return Passes(tuple(given), probe)

    def blocking(self, now: float) -> frozenset[str]:
        """Return the endpoints whose breaker would not let a request pass."""
        if not self._told or not self.enforced:
            return frozenset()
        return frozenset(name for name in self._told if name != CLUSTER and not self.endpoints[name].passes(now))

    def blocked(self, endpoint: str, now: float) -> str:
        """Say what keeps requests from an endpoint, empty where nothing does."""
        breaker = self.endpoints.get(endpoint)
        if not self.enforced or breaker is None or breaker.state not in (State.OPEN, State.HALF_OPEN):
            return ""
        if breaker.state is State.HALF_OPEN:
            return "the failure breaker is half-open"
        return f"the failure breaker is open, for {breaker.retry_after(now)} s more"

    def record(self, passes: Passes, outcome: Outcome, now: float) -> None:
        """Use the passes up: the request says this of its endpoint."""
        for _, breaker, given in passes.given:
            breaker.record(given, outcome, now)

    def cancel(self, passes: Passes) -> None:
        """Use the passes up: the request says nothing."""
        for _, breaker, given in passes.given:
            breaker.cancel(given)

    def force(self, trigger: Trigger, now: float) -> None:
        """Take an operator's word: what opens is the cluster as a whole, what closes or is released is everything."""
        self.whole.force(trigger, now)
        if trigger is not Trigger.FORCE_OPEN:
            for breaker in self.endpoints.values():
                breaker.force(trigger, now)

    def retry_after(self, now: float) -> int:
        """Tell in how many seconds a refused client may try again: when the first that is open lets probes pass."""
        tripped = [breaker for _, breaker in self.all() if breaker.state is State.OPEN]
        if self.whole.state is State.OPEN:
            tripped = [self.whole]
        return min((breaker.retry_after(now) for breaker in tripped), default=1)

    def news(self) -> list[tuple[str, State]]:
        """Return the breakers whose state is another one than it was when last asked."""
        changed = [
            (name, breaker.state)
            for name, breaker in self.all()
            if breaker.state is not self._told.get(name, State.CLOSED)
        ]
        for name, state in changed:
            self._told[name] = state
            if state is State.CLOSED:
                del self._told[name]
        return changed

    def _judging(self, endpoint: str) -> Iterator[tuple[str, FailureBreaker]]:
        yield CLUSTER, self.whole
        breaker = self.endpoints.get(endpoint)
        if breaker is not None:
            yield endpoint, breaker

    def all(self) -> Iterator[tuple[str, FailureBreaker]]:
        """Yield every breaker, the cluster's own first."""
        yield CLUSTER, self.whole
        yield from self.endpoints.items()
