"""The limits of a cluster hold over all workers, whatever each of them does."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.cluster import Action, Assign, Cluster, Open, Refuse
from mirrorgate.admission.elsewhere import Counts
from mirrorgate.admission.limits import Limits
from mirrorgate.admission.shared_cluster import SharedCluster, cluster_of
from mirrorgate.errors import Refusal

ENDPOINTS = ("a", "b")


@dataclass(slots=True)
class Board:
    """Counts by worker."""

    told: dict[int, Counts] = field(default_factory=dict)


@dataclass(slots=True)
class Place:
    """One worker's view of a board."""

    board: Board
    own: int

    def _sum(self, name: str) -> int:
        return sum(getattr(counts, name) for worker, counts in self.board.told.items() if worker != self.own)

    def active(self) -> int:
        return self._sum("active")

    def pending(self) -> int:
        return self._sum("pending")

    def connections(self) -> int:
        return self._sum("connections")

    def retries(self) -> int:
        return self._sum("retries")

    def tell(self, active: int, pending: int, connections: int) -> None:
        old = self.board.told.get(self.own, Counts())
        self.board.told[self.own] = Counts(active, pending, connections, old.retries)

    def tell_retries(self, retries: int) -> None:
        old = self.board.told.get(self.own, Counts())
        self.board.told[self.own] = Counts(old.active, old.pending, old.connections, retries)


class Worker:
    """Carries out what a cluster says, with connections that are made at once or later."""

    def __init__(self, board: Board, number: int, limits: Limits) -> None:
        self.cluster: Cluster[int, int] = cluster_of(limits, Place(board, number))
        self.opening: list[str] = []
        self.busy: list[tuple[str, int]] = []
        self.refused: list[Refusal] = []
        self._next = 0

    def do(self, endpoint: str, actions: list[Action[int, int]]) -> None:
        for action in actions:
            if isinstance(action, Open):
                self.opening.append(action.endpoint)
            elif isinstance(action, Assign):
                self.busy.append((endpoint, action.connection))
            elif isinstance(action, Refuse):
                self.refused.append(action.reason)

    def request(self, endpoint: str) -> None:
        self._next += 1
        self.do(endpoint, self.cluster.request(endpoint, self._next))

    def connect(self) -> None:
        endpoint = self.opening.pop(0)
        self._next += 1
        self.do(endpoint, self.cluster.opened(endpoint, self._next))

    def fail(self) -> None:
        endpoint = self.opening.pop(0)
        self.do(endpoint, self.cluster.open_failed(endpoint, Refusal.CONNECT_FAILURE))

    def finish(self, reusable: bool) -> None:
        endpoint, connection = self.busy.pop(0)
        self.do(endpoint, self.cluster.finished(endpoint, connection, reusable=reusable))


def test_without_others_a_cluster_counts_alone() -> None:
    """A gateway of one process has the plain class."""
    assert type(cluster_of(Limits(), None)) is Cluster
    assert type(cluster_of(Limits(), Place(Board(), 0))) is SharedCluster


def test_a_place_that_another_worker_holds_is_taken() -> None:
    """The second worker's request finds the one place taken, and gets it when it is given back."""
    board = Board()
    one, two = (Worker(board, number, Limits(parallel=1)) for number in range(2))
    one.request("a")
    one.connect()
    two.request("a")
    two.connect()
    assert two.refused == [Refusal.ACTIVE_OVERFLOW]
    assert two.cluster.gauges.parallel_open
    one.finish(reusable=True)
    two.request("a")
    assert len(two.busy) == 1


def test_a_worker_that_is_forgotten_holds_nothing() -> None:
    """What the supervisor does for a dead worker frees its places."""
    board = Board()
    one, two = (Worker(board, number, Limits(parallel=1)) for number in range(2))
    one.request("a")
    one.connect()
    del board.told[0]
    two.request("a")
    two.connect()
    assert len(two.busy) == 1


def test_retries_share_their_limit() -> None:
    """A place of a retry in one worker is none in another."""
    board = Board()
    limits = Limits(retries=1)
    one, two = (Worker(board, number, limits).cluster for number in range(2))
    assert one.retries.take(limits, 0)
    assert not two.retries.take(limits, 0)
    one.retries.give_back()
    assert two.retries.take(limits, 0)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(("request", "request", "connect", "fail", "finish", "close")),
        st.sampled_from(ENDPOINTS),
    ),
    max_size=80,
)


@given(STEPS, st.integers(0, 4), st.integers(0, 4), st.integers(1, 4))
def test_sums_stay_under_the_limits(
    steps: list[tuple[int, str, str]], parallel: int, pending: int, connections: int
) -> None:
    """One after the other, workers never exceed a limit together, and what is told is what is counted.

    Each worker may have one connection of each endpoint whatever the limit is.
    """
    board = Board()
    limits = Limits(connections, pending, parallel)
    workers = [Worker(board, number, limits) for number in range(3)]
    for number, step, endpoint in steps:
        worker = workers[number]
        if step == "request":
            worker.request(endpoint)
        elif step in ("connect", "fail") and worker.opening:
            worker.connect() if step == "connect" else worker.fail()
        elif step in ("finish", "close") and worker.busy:
            worker.finish(reusable=step == "finish")
        clusters = [worker.cluster for worker in workers]
        assert sum(cluster.active for cluster in clusters) <= parallel
        assert sum(cluster.pending for cluster in clusters) <= pending
        assert sum(cluster.connections for cluster in clusters) <= max(connections, 0) + len(ENDPOINTS) * len(workers)
        for index, cluster in enumerate(clusters):
            told = board.told.get(index, Counts())
            assert (told.active, told.pending, told.connections) == (
                cluster.active,
                cluster.pending,
                cluster.connections,
            )
