"""The accounting of a cluster against what a real Envoy did: requests 60 ms apart, each held for 800 ms."""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field

import pytest

from mirrorgate.admission.cluster import Action, Assign, Cluster, Open, Refuse
from mirrorgate.admission.limits import UNLIMITED, Limits
from mirrorgate.testing.breaker_rows import ROWS, BreakerRow

GAP, HOLD, CONNECT = 60, 800, 1


@dataclass(slots=True)
class Simulation:
    """Plays a row's requests against a `Cluster`, in whole milliseconds, round robin over its endpoints."""

    row: BreakerRow
    now: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    started: dict[int, int] = field(default_factory=dict)
    most_active: int = 0
    most_connections: int = 0
    events: list[tuple[int, int, Callable[[], list[Action[int, int]]], str]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def play(self) -> Cluster[int, int]:
        row = self.row
        connections, pending, parallel = (
            1024 if n is None else n for n in (row.connections, row.pending, row.parallel)
        )
        per_endpoint = UNLIMITED if row.per_endpoint is None else row.per_endpoint
        calls: Cluster[int, int] = Cluster(Limits(connections, pending, parallel, per_endpoint))
        for number in range(row.requests):
            endpoint = f"endpoint-{number % row.endpoints}"
            self.at(number * GAP, lambda e=endpoint, n=number: calls.request(e, n), endpoint)  # type: ignore[misc]
        while self.events:
            self.now, _, event, endpoint = heapq.heappop(self.events)
            for action in event():
                self.act(calls, endpoint, action)
            self.most_active = max(self.most_active, calls.active)
            self.most_connections = max(self.most_connections, calls.connections)
        return calls

    def act(self, calls: Cluster[int, int], endpoint: str, action: Action[int, int]) -> None:
        match action:
            case Refuse(waiter, _):
                self.statuses[waiter] = 503
            case Assign(waiter, connection):
                self.statuses[waiter] = 200
                self.started[waiter] = self.now
                self.at(HOLD, lambda: calls.finished(endpoint, connection, reusable=True), endpoint)
            case Open():
                self.at(CONNECT, lambda: calls.opened(endpoint, next(self.numbers)), endpoint)

    def at(self, delay: int, event: Callable[[], list[Action[int, int]]], endpoint: str) -> None:
        heapq.heappush(self.events, (self.now + delay, next(self.numbers), event, endpoint))


@pytest.mark.golden
@pytest.mark.parametrize("row", ROWS, ids=lambda row: "/".join("-" if n is None else str(n) for n in astuple(row)[:6]))
def test_the_breaker_does_what_envoy_was_measured_to_do(row: BreakerRow) -> None:
    """Statuses, the queue, concurrency, connections and counters of every row are exact."""
    simulation = Simulation(row)
    calls = simulation.play()
    statuses = Counter(simulation.statuses.values())
    assert (statuses[200], statuses[503]) == (row.ok, row.refused)
    assert len(simulation.statuses) == row.requests
    waited = [number for number, started in simulation.started.items() if started - number * GAP > HOLD // 2]
    assert len(waited) == row.queued
    assert (simulation.most_active, simulation.most_connections) == (row.most_active, row.connections_made)
    counters = calls.counters
    assert (counters.pending_overflow, counters.active_overflow, counters.connection_overflow) == row.overflows
    assert (calls.active, calls.pending, counters.requests) == (0, 0, row.requests)
