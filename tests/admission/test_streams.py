"""Connections that carry several requests at a time (HTTP/2), in Envoy's counts."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mirrorgate.admission.cluster import Assign, Cluster, Open, Refuse
from mirrorgate.admission.limits import Limits
from mirrorgate.errors import Refusal

MANY = 2**31 - 1


def opened(limits: Limits, streams: int) -> Cluster[str, str]:
    """Return a cluster with one connection `c` to endpoint `e` that has no requests."""
    cluster: Cluster[str, str] = Cluster(limits)
    assert cluster.request("e", "first", MANY) == [Open("e")]
    assert cluster.opened("e", "c", streams) == [Assign("first", "c")]
    cluster.finished("e", "c", reusable=True)
    return cluster


def test_one_connection_is_opened_for_many() -> None:
    """While the first is being made, further requests wait for it, and all get it."""
    cluster: Cluster[str, str] = Cluster(Limits())
    actions = [cluster.request("e", name, MANY) for name in "abc"]
    assert actions == [[Open("e")], [], []]
    assert cluster.opened("e", "c", MANY) == [Assign(name, "c") for name in "abc"]
    assert (cluster.active, cluster.pending, cluster.connections) == (3, 0, 1)


def test_over_the_servers_limit_a_further_one_is_opened() -> None:
    """As far as the connection limit allows; what waits gets the first place that is free."""
    cluster = opened(Limits(connections=2), 2)
    assert [cluster.request("e", name, MANY) for name in "abc"] == [[Assign("a", "c")], [Assign("b", "c")], [Open("e")]]
    assert cluster.opened("e", "d", 2) == [Assign("c", "d")]
    assert cluster.request("e", "d", MANY) == [Assign("d", "d")]
    assert cluster.request("e", "e", MANY) == []
    assert cluster.counters.connection_overflow == 1
    assert cluster.finished("e", "c", reusable=True) == [Assign("e", "c")]


def test_a_server_that_changes_its_limit() -> None:
    """More room serves who waits; less room lets what is under way end."""
    cluster = opened(Limits(connections=1), 1)
    cluster.request("e", "a", MANY)
    cluster.request("e", "b", MANY)
    assert cluster.resized("e", "c", 3) == [Assign("b", "c")]
    assert cluster.resized("e", "c", 1) == []
    assert cluster.ready("e") == []
    cluster.finished("e", "c", reusable=True)
    assert cluster.ready("e") == []
    cluster.finished("e", "c", reusable=True)
    assert cluster.ready("e") == ["c"]


def test_a_connection_that_goes_away_counts_until_its_last_request() -> None:
    """It is handed out no more, and a further request gets another."""
    cluster = opened(Limits(), MANY)
    cluster.request("e", "a", MANY)
    cluster.request("e", "b", MANY)
    assert cluster.idle_closed("e", "c") == []
    assert (cluster.connections, cluster.ready("e")) == (1, [])
    assert cluster.request("e", "x", MANY) == [Open("e")]
    cluster.finished("e", "c", reusable=False)
    assert cluster.connections == 2
    cluster.finished("e", "c", reusable=False)
    assert cluster.connections == 1


@pytest.mark.parametrize(("parallel", "admitted"), [(0, 0), (1, 1), (3, 3)])
def test_parallel_limit(parallel: int, admitted: int) -> None:
    """It refuses at once where a connection has room."""
    cluster: Cluster[str, str] = Cluster(Limits(parallel=parallel))
    for number in range(5):
        cluster.request("e", str(number), MANY)
    actions = cluster.opened("e", "c", MANY)
    assert [isinstance(action, Assign) for action in actions].count(True) == admitted
    assert all(action.reason is Refusal.ACTIVE_OVERFLOW for action in actions if isinstance(action, Refuse))


class Streams(RuleBasedStateMachine):
    """Whatever happens in whatever order, no connection carries more than its server takes, and the counts add up."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster: Cluster[int, int] = Cluster(Limits(connections=3, pending=4, parallel=6))
        self.waiters = self.connections = 0
        self.opening = 0
        self.held: list[int] = []
        self.room: dict[int, int] = {}
        self.gone: set[int] = set()

    def take(self, actions: object) -> None:
        assert isinstance(actions, list)
        for action in actions:
            if isinstance(action, Open):
                self.opening += 1
            elif isinstance(action, Assign):
                self.held.append(action.connection)
                assert action.connection not in self.gone
                assert self.held.count(action.connection) <= self.room[action.connection]

    @rule()
    def ask(self) -> None:
        self.waiters += 1
        self.take(self.cluster.request("e", self.waiters, MANY))

    @precondition(lambda self: self.opening)
    @rule(streams=st.integers(1, 3))
    def open(self, streams: int) -> None:
        self.opening -= 1
        self.connections += 1
        self.room[self.connections] = streams
        self.take(self.cluster.opened("e", self.connections, streams))

    @precondition(lambda self: self.opening)
    @rule()
    def fail(self) -> None:
        self.opening -= 1
        self.take(self.cluster.open_failed("e", Refusal.CONNECT_FAILURE))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        connection = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.take(self.cluster.finished("e", connection, reusable=connection not in self.gone))

    @precondition(lambda self: set(self.room) - self.gone)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(set(self.room) - self.gone)))
        self.gone.add(connection)
        self.take(self.cluster.idle_closed("e", connection))

    @invariant()
    def counts_add_up(self) -> None:
        cluster = self.cluster
        assert cluster.active == len(self.held) <= 6
        assert cluster.pending == cluster.queued("e") <= 4
        used = set(self.held) | (set(self.room) - self.gone)
        assert cluster.connections == self.opening + len(used)
        assert set(cluster.ready("e")) == {
            each for each in set(self.room) - self.gone if self.held.count(each) < self.room[each]
        }


TestStreams = Streams.TestCase
