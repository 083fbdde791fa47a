"""The accounting of a cluster in any order of events, against books of its own that only know the rules."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mirrorgate.admission.cluster import Action, Assign, Cluster, Open, Refuse
from mirrorgate.admission.limits import Limits
from mirrorgate.errors import Refusal

ENDPOINTS = ("a", "b", "c")
endpoints = st.sampled_from(ENDPOINTS)
limits = st.builds(
    Limits,
    connections=st.integers(0, 5),
    pending=st.integers(0, 4),
    parallel=st.integers(0, 4),
    per_endpoint_connections=st.integers(0, 3),
)


class AnyOrder(RuleBasedStateMachine):
    """Arrivals, connections that open, fail, end and idle away, waiters that leave, and limits that change."""

    @initialize(limits=limits)
    def begin(self, limits: Limits) -> None:
        self.cluster: Cluster[int, str] = Cluster(limits)
        self.queues: dict[str, list[int]] = {name: [] for name in ENDPOINTS}
        self.ready: dict[str, list[str]] = {name: [] for name in ENDPOINTS}
        self.busy: dict[str, list[str]] = {name: [] for name in ENDPOINTS}
        self.connecting = dict.fromkeys(ENDPOINTS, 0)
        self.ends: Counter[int] = Counter()
        self.arrived = self.dialled = self.refused = self.assigned = 0

    def connections(self, *names: str) -> int:
        return sum(len(self.ready[n]) + len(self.busy[n]) + self.connecting[n] for n in names or ENDPOINTS)

    @property
    def active(self) -> int:
        return sum(map(len, self.busy.values()))

    @property
    def pending(self) -> int:
        return sum(map(len, self.queues.values()))

    def settle(self, endpoint: str, actions: list[Action[int, str]], arrived: int | None = None) -> None:
        """Carry actions out, each checked against the rules as they stand before it."""
        for action in actions:
            match action:
                case Open(opened_at):
                    self.open(opened_at)
                case Assign(waiter, connection):
                    assert self.active < self.cluster.limits.parallel
                    self.admit(endpoint, waiter, arrived)
                    # The connection used last comes first.
                    assert self.ready[endpoint].pop() == connection
                    self.busy[endpoint].append(connection)
                    self.assigned += 1
                case Refuse(waiter, reason):
                    if reason is Refusal.ACTIVE_OVERFLOW:
                        assert self.active >= self.cluster.limits.parallel
                        assert self.ready[endpoint]
                    elif reason is Refusal.PENDING_OVERFLOW:
                        assert waiter == arrived
                        assert self.pending >= self.cluster.limits.pending
                        assert not self.ready[endpoint]
                    self.admit(endpoint, waiter, arrived)
                    self.refused += 1

    def open(self, endpoint: str) -> None:
        """An attempt is within the limits, or the endpoint's only connection."""
        declared = self.cluster.limits
        if self.connections(endpoint):
            assert self.connections() < declared.connections
            assert self.connections(endpoint) < declared.per_endpoint_connections
        assert self.connecting[endpoint] < len(self.queues[endpoint])
        self.connecting[endpoint] += 1

    def admit(self, endpoint: str, waiter: int, arrived: int | None) -> None:
        """Whoever ends is the oldest of its queue, or has just arrived where nobody waits for a ready connection."""
        self.ends[waiter] += 1
        if waiter != arrived:
            assert self.queues[endpoint].pop(0) == waiter

    @rule(endpoint=endpoints)
    def arrive(self, endpoint: str) -> None:
        waiter = self.arrived = self.arrived + 1
        foretold = self.cluster.would_refuse(endpoint)
        actions = self.cluster.request(endpoint, waiter)
        decided = [action for action in actions if not isinstance(action, Open)]
        assert foretold is (decided[0].reason if decided and isinstance(decided[0], Refuse) else None)
        if not decided:
            assert self.pending < self.cluster.limits.pending
            assert not self.ready[endpoint]
            self.queues[endpoint].append(waiter)
        self.settle(endpoint, actions, waiter)

    @precondition(lambda self: any(self.connecting.values()))
    @rule(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        endpoint = data.draw(st.sampled_from([name for name in ENDPOINTS if self.connecting[name]]))
        self.dialled += 1
        connection = f"{endpoint}{self.dialled}"
        self.connecting[endpoint] -= 1
        self.ready[endpoint].append(connection)
        self.settle(endpoint, self.cluster.opened(endpoint, connection))

    @precondition(lambda self: any(self.connecting.values()))
    @rule(data=st.data(), reason=st.sampled_from([Refusal.CONNECT_FAILURE, Refusal.CONNECT_TIMEOUT]))
    def fail(self, data: st.DataObject, reason: Refusal) -> None:
        endpoint = data.draw(st.sampled_from([name for name in ENDPOINTS if self.connecting[name]]))
        self.connecting[endpoint] -= 1
        actions = self.cluster.open_failed(endpoint, reason)
        assert actions == [Refuse(waiter, reason) for waiter in self.queues[endpoint]]
        self.settle(endpoint, actions)
        assert not self.queues[endpoint]

    @precondition(lambda self: self.active)
    @rule(data=st.data(), reusable=st.booleans())
    def finish(self, data: st.DataObject, reusable: bool) -> None:
        endpoint = data.draw(st.sampled_from([name for name in ENDPOINTS if self.busy[name]]))
        self.end(endpoint, data.draw(st.sampled_from(self.busy[endpoint])), reusable)

    def end(self, endpoint: str, connection: str, reusable: bool) -> None:
        self.busy[endpoint].remove(connection)
        if reusable:
            self.ready[endpoint].append(connection)
        self.settle(endpoint, self.cluster.finished(endpoint, connection, reusable=reusable))

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        endpoint = data.draw(st.sampled_from([name for name in ENDPOINTS if self.queues[name]]))
        waiter = data.draw(st.sampled_from(self.queues[endpoint]))
        assert self.cluster.leave(endpoint, waiter)
        assert not self.cluster.leave(endpoint, waiter)
        self.queues[endpoint].remove(waiter)
        self.ends[waiter] += 1

    @rule(endpoint=endpoints, data=st.data())
    def idle_away(self, endpoint: str, data: st.DataObject) -> None:
        """Told of any connection, but only a ready one counts."""
        known = [*self.ready[endpoint], *self.busy[endpoint], "unknown"]
        connection = data.draw(st.sampled_from(known))
        if connection in self.ready[endpoint]:
            self.ready[endpoint].remove(connection)
        self.settle(endpoint, self.cluster.idle_closed(endpoint, connection))

    @rule(limits=limits)
    def reload(self, limits: Limits) -> None:
        for action in self.cluster.apply(limits):
            assert isinstance(action, Open)
            self.open(action.endpoint)
        for name in ENDPOINTS:
            # Nothing that the new limits allow was left out.
            if len(self.queues[name]) > self.connecting[name]:
                full = self.connections() >= limits.connections
                assert full or self.connections(name) >= limits.per_endpoint_connections

    @invariant()
    def the_books_agree(self) -> None:
        """Counts, queues and connections are what the actions so far come to."""
        cluster = self.cluster
        assert (cluster.active, cluster.pending, cluster.connections) == (self.active, self.pending, self.connections())
        counters = cluster.counters
        assert (counters.requests, counters.connections_opened) == (self.arrived, self.dialled)
        assert sum(self.ends.values()) == len(self.ends) == self.arrived - self.pending
        for name in ENDPOINTS:
            assert (cluster.waiting(name), cluster.queued(name)) == (self.queues[name], len(self.queues[name]))
            assert cluster.ready(name) == self.ready[name]
        assert sorted(cluster.endpoints()) == [name for name in ENDPOINTS if self.connections(name)]

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """A queue has a connection that will become ready, and none that is."""
        for name in ENDPOINTS:
            if self.queues[name]:
                assert not self.ready[name]
                assert self.busy[name] or self.connecting[name]

    def teardown(self) -> None:
        """When everything has come to its end, nothing is left, and everybody has ended exactly once."""
        if not hasattr(self, "cluster"):
            return
        steps = 0
        while self.active or any(self.connecting.values()):
            steps += 1
            assert steps < 10_000
            self.step()
            self.the_books_agree()
        for name in ENDPOINTS:
            for connection in list(self.ready[name]):
                self.cluster.idle_closed(name, connection)
        assert self.cluster.idle
        assert self.cluster.endpoints() == []
        assert self.cluster._endpoints == {}
        assert self.ends == Counter(range(1, self.arrived + 1))

    def step(self) -> None:
        for name in ENDPOINTS:
            if self.busy[name]:
                self.end(name, self.busy[name][0], reusable=len(self.busy[name]) % 2 == 0)
            elif self.connecting[name]:
                self.dialled += 1
                self.connecting[name] -= 1
                self.ready[name].append(f"{name}{self.dialled}")
                self.settle(name, self.cluster.opened(name, f"{name}{self.dialled}"))


TestAnyOrder = AnyOrder.TestCase
AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
