"""The accounting of a cluster, one method after the other."""

import pytest

from mirrorgate.admission.cluster import Assign, Cluster, Counters, Open, Refuse
from mirrorgate.admission.gauges import Gauges
from mirrorgate.admission.limits import UNLIMITED, Limits
from mirrorgate.errors import Refusal

ACTIVE = Refusal.ACTIVE_OVERFLOW
PENDING = Refusal.PENDING_OVERFLOW
A, B = "10.0.0.1:8000", "10.0.0.2:8000"

Calls = Cluster[str, str]


def cluster(connections: int = 1024, pending: int = 1024, parallel: int = 1024, per_endpoint: int = UNLIMITED) -> Calls:
    return Cluster(Limits(connections, pending, parallel, per_endpoint))


def counts(calls: Calls) -> tuple[int, int, int]:
    """Active, pending, connections."""
    return calls.active, calls.pending, calls.connections


def test_the_first_request_waits_for_a_connection_of_its_own() -> None:
    """It is pending while its connection opens, and under way once it has it."""
    calls = cluster()
    assert calls.idle
    assert calls.request(A, "r1") == [Open(A)]
    assert (counts(calls), calls.waiting(A), calls.queued(A), calls.idle) == ((0, 1, 1), ["r1"], 1, False)
    assert calls.connecting == 1
    assert calls.opened(A, "c1") == [Assign("r1", "c1")]
    assert (counts(calls), calls.queued(A), calls.connecting) == ((1, 0, 1), 0, 0)
    assert calls.finished(A, "c1", reusable=True) == []
    assert (counts(calls), calls.ready(A)) == ((0, 0, 1), ["c1"])
    assert calls.request(A, "r2") == [Assign("r2", "c1")]
    assert calls.counters == Counters(requests=2, pending_total=1, connections_opened=1)


def test_a_connection_that_cannot_be_used_again_is_gone() -> None:
    """After it, the next request opens another."""
    calls = cluster()
    calls.request(A, "r1")
    calls.opened(A, "c1")
    assert calls.finished(A, "c1", reusable=False) == []
    assert calls.idle
    assert calls.request(A, "r2") == [Open(A)]


def test_a_waiter_gets_a_new_connection_for_one_that_is_gone() -> None:
    """The first request timed out, the second is queued: it gets a new connection (measured)."""
    calls = cluster(connections=1)
    calls.request(A, "r1")
    calls.opened(A, "c1")
    assert calls.request(A, "r2") == []
    assert calls.finished(A, "c1", reusable=False) == [Open(A)]
    assert calls.opened(A, "c2") == [Assign("r2", "c2")]


def test_the_parallel_limit_refuses_and_never_queues() -> None:
    """A request over it opens a connection first, which then serves another."""
    calls = cluster(parallel=1)
    calls.request(A, "r1")
    calls.opened(A, "c1")
    assert calls.request(A, "r2") == [Open(A)]
    assert calls.opened(A, "c2") == [Refuse("r2", ACTIVE)]
    assert (counts(calls), calls.ready(A)) == ((1, 0, 2), ["c2"])
    assert calls.would_refuse(A) is ACTIVE
    assert calls.request(A, "r3") == [Refuse("r3", ACTIVE)]
    assert calls.counters.active_overflow == 2


def test_the_pending_limit_counts_every_endpoint() -> None:
    """It holds while a connection opens, too; 0 refuses everything without a connection."""
    calls = cluster(pending=1)
    calls.request(A, "r1")
    assert calls.would_refuse(B) is PENDING
    assert calls.request(B, "r2") == [Refuse("r2", PENDING)]
    assert calls.endpoints() == [A]
    nothing = cluster(pending=0)
    assert nothing.request(A, "r1") == [Refuse("r1", PENDING)]
    assert nothing.idle
    assert nothing.counters == Counters(requests=1, pending_overflow=1)


def test_would_refuse_knows_nothing_of_what_might_be_admitted() -> None:
    """A request that finds a connection, or has to open one, might be."""
    calls = cluster(parallel=1)
    assert calls.would_refuse(A) is None
    calls.request(A, "r1")
    calls.opened(A, "c1")
    calls.finished(A, "c1", reusable=True)
    assert calls.would_refuse(A) is None


def test_the_queue_is_first_in_first_out() -> None:
    """And leaving it takes no other's place."""
    calls = cluster(connections=1)
    calls.request(A, "r0")
    calls.opened(A, "c1")
    for waiter in ("r1", "r2", "r3"):
        assert calls.request(A, waiter) == []
    assert calls.leave(A, "r2")
    assert not calls.leave(A, "r2")
    assert not calls.leave(B, "r1")
    assert calls.finished(A, "c1", reusable=True) == [Assign("r1", "c1")]
    assert calls.finished(A, "c1", reusable=True) == [Assign("r3", "c1")]


def test_the_connection_of_one_who_left_serves_the_next() -> None:
    """It is opened to its end, and idles."""
    calls = cluster()
    calls.request(A, "r1")
    assert calls.leave(A, "r1")
    assert calls.opened(A, "c1") == []
    assert calls.request(A, "r2") == [Assign("r2", "c1")]


def test_no_more_connections_are_opened_than_requests_wait() -> None:
    """A request that leaves makes room for the next at the connection that is being opened."""
    calls = cluster()
    calls.request(A, "r1")
    calls.leave(A, "r1")
    assert calls.request(A, "r2") == []
    assert calls.request(A, "r3") == [Open(A)]


def test_the_connection_used_last_is_used_first() -> None:
    """The server is least likely to have closed it."""
    calls = cluster()
    for number in (1, 2):
        calls.request(A, f"r{number}")
        calls.opened(A, f"c{number}")
    calls.finished(A, "c2", reusable=True)
    calls.finished(A, "c1", reusable=True)
    assert calls.request(A, "r3") == [Assign("r3", "c1")]


def test_all_that_wait_for_an_endpoint_fail_with_an_attempt_to_connect() -> None:
    """Those of another endpoint go on waiting; what is over the pending limit does not get that far (measured)."""
    calls = cluster(pending=3)
    assert [calls.request(A, waiter) for waiter in ("r1", "r2")] == [[Open(A)], [Open(A)]]
    calls.request(B, "r3")
    assert calls.request(A, "r4") == [Refuse("r4", PENDING)]
    timeout = Refusal.CONNECT_TIMEOUT
    assert calls.open_failed(A, timeout) == [Refuse("r1", timeout), Refuse("r2", timeout)]
    assert (counts(calls), calls.waiting(B)) == ((0, 1, 2), ["r3"])
    assert calls.open_failed(A, timeout) == []
    assert calls.endpoints() == [B]
    assert calls.counters.connect_failed == 2


def test_a_connection_that_idles_may_go_away() -> None:
    """One in use, or unknown, is not taken for it."""
    calls = cluster()
    calls.request(A, "r1")
    calls.opened(A, "c1")
    assert calls.idle_closed(A, "c1") == []
    assert calls.idle_closed(B, "c1") == []
    assert calls.connections == 1
    calls.finished(A, "c1", reusable=True)
    calls.idle_closed(A, "c1")
    assert (calls.idle, calls.endpoints()) == (True, [])


def test_an_endpoint_has_one_connection_whatever_the_limit_is() -> None:
    """Nobody waits for nothing: the first connection of an endpoint is never denied, the second is."""
    calls = cluster(connections=0)
    assert calls.request(A, "r1") == [Open(A)]
    assert calls.request(B, "r2") == [Open(B)]
    assert calls.opened(A, "c1") == [Assign("r1", "c1")]
    assert calls.request(A, "r3") == []
    assert calls.counters.connection_overflow == 3


def test_new_limits_open_what_was_denied() -> None:
    """As many connections as requests wait, within the limits; what is under way goes on when they shrink."""
    calls = cluster(connections=1)
    calls.request(A, "r0")
    calls.opened(A, "c0")
    for waiter in ("r1", "r2", "r3"):
        calls.request(A, waiter)
    assert calls.apply(Limits(connections=3)) == [Open(A), Open(A)]
    assert calls.apply(Limits(connections=9)) == [Open(A)]
    assert calls.apply(Limits(connections=0, pending=0, parallel=0)) == []
    assert counts(calls) == (1, 3, 4)
    assert calls.opened(A, "c1") == [Refuse(waiter, ACTIVE) for waiter in ("r1", "r2", "r3")]


def test_the_gauges_are_open_as_soon_as_a_limit_is_reached() -> None:
    """Before anything is refused, as Envoy's `circuit_breakers.default.*_open` (measured)."""
    calls = cluster(connections=1, pending=1, parallel=1)
    assert calls.gauges == Gauges(0, 0, 0, calls.limits)
    calls.request(A, "r1")
    assert (calls.gauges.parallel_open, calls.gauges.pending_open, calls.gauges.connections_open) == (False, True, True)
    calls.opened(A, "c1")
    assert (calls.gauges.parallel_open, calls.gauges.pending_open) == (True, False)
    assert repr(calls) == "<Cluster active=1 pending=0 connections=1>"
    assert not cluster(connections=0).gauges.connections_open


def test_what_was_never_handed_out_cannot_be_given_back() -> None:
    """A bug of the caller's raises and leaves the counts alone: a connection ready twice would serve two at once."""
    calls = cluster()
    calls.request(A, "r1")
    with pytest.raises(ValueError, match="r1' waits for"):
        calls.request(A, "r1")
    with pytest.raises(ValueError, match="not in use"):
        calls.finished(A, "c1", reusable=True)
    calls.opened(A, "c1")
    with pytest.raises(ValueError, match="is being opened"):
        calls.opened(A, "c2")
    calls.finished(A, "c1", reusable=True)
    with pytest.raises(ValueError, match="not in use"):
        calls.finished(A, "c1", reusable=True)
    for endpoint in (A, B):
        with pytest.raises(ValueError, match="is being opened"):
            calls.open_failed(endpoint, Refusal.CONNECT_FAILURE)
    with pytest.raises(ValueError, match="not in use"):
        calls.finished(B, "c1", reusable=False)
    assert (counts(calls), calls.ready(A), calls.endpoints()) == ((0, 0, 1), ["c1"], [A])


def test_endpoints_that_come_and_go_take_no_memory() -> None:
    """A pool whose servers change addresses for months stays small."""
    calls = cluster(pending=1)
    for number in range(1000):
        endpoint = f"10.0.{number >> 8}.{number & 255}:8000"
        calls.request(endpoint, "r")
        calls.request(f"{endpoint}0", "refused")
        if number % 2:
            calls.open_failed(endpoint, Refusal.CONNECT_FAILURE)
        else:
            calls.opened(endpoint, "c")
            calls.finished(endpoint, "c", reusable=False)
    assert calls.idle
    assert calls._endpoints == {}


def test_a_stale_connection_keeps_the_waiter_first() -> None:
    """A waiter whose connection turns out to be closed is served before all others, beyond the pending limit too."""
    cluster: Cluster[str, str] = Cluster(Limits(pending=1))
    cluster.request("a", "w0")
    cluster.opened("a", "c0")
    cluster.finished("a", "c0", reusable=True)
    assert cluster.request("a", "w1") == [Assign("w1", "c0")]
    assert cluster.request("a", "w2") == [Open("a")]
    assert cluster.stale("a", "c0", "w1") == [Open("a")]
    assert (cluster.active, cluster.pending, cluster.connections) == (0, 2, 2)
    assert cluster.waiting("a") == ["w1", "w2"]
    assert cluster.opened("a", "c1") == [Assign("w1", "c1")]


def test_a_stale_connection_with_another_ready() -> None:
    """Where another connection is ready, the waiter takes it at once."""
    cluster: Cluster[str, str] = Cluster(Limits())
    for waiter in ("w0", "w1"):
        cluster.request("a", waiter)
    cluster.opened("a", "c0")
    cluster.opened("a", "c1")
    cluster.finished("a", "c0", reusable=True)
    cluster.finished("a", "c1", reusable=True)
    assert cluster.request("a", "w2") == [Assign("w2", "c1")]
    assert cluster.stale("a", "c1", "w2") == [Assign("w2", "c0")]
    assert (cluster.active, cluster.pending, cluster.connections) == (1, 0, 1)
