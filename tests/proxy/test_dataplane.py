"""What exchanges share: listening, draining, reloads, limits as Envoy has them, and what is told of each exchange."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from mitmproxy.proxy import mode_specs

from mirrorgate.errors import REPLIES, Refusal
from mirrorgate.events import Event, Picked
from mirrorgate.testing.backends import Backend, Conversation, answering, response_bytes
from mirrorgate.testing.clients import Client, request_bytes
from mirrorgate.testing.in_loop import until

OK = answering(response_bytes(body=b"ok"))


class Gate:
    """A backend that answers when it is told, each connection with its requests one by one."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, talk: Conversation) -> None:
        while True:
            await talk.request()
            await self.go.wait()
            await talk.answer(200, b"ok")


async def at_once(running: Any, count: int) -> list[Client]:
    """Send so many requests, one after another, each from a client of its own."""
    clients = []
    for number in range(count):
        client = await running.client()
        clients.append(client)
        await client.send(request_bytes("GET", f"/{number}"))
        await until(lambda number=number: _seen(running) == number + 1)
    return clients


def _seen(running: Any) -> int:
    counted = sum(pool.cluster.active + pool.cluster.pending for pool in running.gateway.plane.pools.values())
    return counted + len(running.gateway.done)


@pytest.mark.parametrize(
    ("connections", "pending", "parallel", "requests", "served"),
    [
        (1, 1, 1, 4, 2),  # the seed's; staggered, one is under way and one waits for its connection
        (1, 5, 1, 5, 5),
        (2, 4, 1, 5, 1),  # a connection for each, but only one may be under way
        (1024, 0, 1024, 3, 0),  # every request is pending while its connection opens
        (0, 9, 9, 3, 3),  # 0 connections means 1
    ],
)
async def test_limits_are_envoys(
    run: Any, connections: int, pending: int, parallel: int, requests: int, served: int
) -> None:
    """As measured: who waits for a connection is pending, who has one and is over the parallel limit is refused."""
    gate = Gate()
    policy = (
        f"circuitBreaker: {{maxConnections: {connections}, maxPendingRequests: {pending}, "
        f"maxParallelRequests: {parallel}}}"
    )
    running = await run(gate, policy=policy)
    clients = await at_once(running, requests)
    gate.go.set()
    answers = [await client.answer() for client in clients]
    assert [answer.status for answer in answers].count(200) == served
    for answer in answers:
        if answer.status != 200:
            assert answer.status == 503
            assert answer.body == REPLIES[Refusal.ACTIVE_OVERFLOW].body.encode()
            assert [name for name, _ in answer.head.headers] == ["content-length", "content-type", "date"]
    await running.gateway.exchanges(requests)
    flags = [done.flag for done in running.gateway.done]
    assert (flags.count("-"), flags.count("UO")) == (served, requests - served)


async def test_the_place_is_held_until_the_client_has_the_last_byte(run: Any) -> None:
    """Then the next is served, on the same connection."""
    gate = Gate()
    running = await run(
        gate, policy="circuitBreaker: {maxConnections: 1, maxPendingRequests: 2, maxParallelRequests: 1}"
    )
    clients = await at_once(running, 3)
    assert (running.cluster.active, running.cluster.pending) == (1, 2)
    gate.go.set()
    assert [(await client.answer()).status for client in clients] == [200] * 3
    assert len(running.backend.conversations) == 1
    assert [request.target for request in running.backend.requests] == ["/0", "/1", "/2"]
    assert all(done.queued > 0 for done in running.gateway.done)


async def test_a_place_that_a_timeout_frees_is_the_next_ones(run: Any) -> None:
    """On a new connection, since the old one is closed."""

    async def script(talk: Conversation) -> None:
        request = await talk.request()
        if request.target != "/0":
            await talk.answer(200, b"ok")
        await talk.gone()

    limits = "circuitBreaker: {maxConnections: 1, maxPendingRequests: 2, maxParallelRequests: 1}"
    running = await run(script, policy=limits + ", timeout: {http: {requestTimeout: 200ms}}")
    [first] = await at_once(running, 1)
    await asyncio.sleep(0.1)  # half of the first one's time, so that the second's is not over with it
    second = await running.client()
    await second.send(request_bytes("GET", "/1"))
    assert (await first.answer()).status == 504
    assert (await second.answer()).status == 200
    assert len(running.backend.conversations) == 2


async def test_every_exchange_is_told_of_once(run: Any) -> None:
    """With what is known of it."""
    running = await run(OK)
    events: list[Event] = []
    running.gateway.plane.subscribe(events.append)
    client = await running.client()
    fields = [("user-agent", "tester"), ("x-forwarded-for", "10.0.0.1")]
    await client.request("POST", "/a?b", fields, b"body")
    done = await running.done()
    picked, told = events
    assert isinstance(picked, Picked)
    assert told is done
    assert (picked.cluster, picked.endpoint) == (done.cluster, done.endpoint)
    assert (done.method, done.path, done.authority, done.protocol) == ("POST", "/a?b", "test", "HTTP/1.1")
    assert (done.user_agent, done.forwarded_for) == ("tester", "10.0.0.1")
    assert (done.bytes_received, done.bytes_sent, done.status, done.flag) == (4, 2, 200, "-")
    assert (done.listener, done.route, done.rule) == ("default/gateway/http", "default/route", 0)
    assert done.request_id == running.backend.requests[0].header("x-request-id")
    assert done.client == f"127.0.0.1:{client.local_port}"
    assert 0 <= (done.overhead or 0) <= (done.response_duration or 0) <= done.duration


async def test_a_drain_waits_for_what_is_under_way(run: Any) -> None:
    """Idle connections end at once, others with their answer; it tells whether all ended in time."""
    gate = Gate()
    running = await run(gate)
    plane = running.gateway.plane
    idle = await running.client()
    [busy] = await at_once(running, 1)
    await until(lambda: len(plane.connections) == 2)
    assert not await plane.drain(0.02)
    assert await idle.closed()
    draining = asyncio.ensure_future(plane.drain(10))
    gate.go.set()
    answer = await busy.answer()
    assert answer.head.header("connection") == "close"
    assert await draining
    assert not plane.connections
    assert await plane.drain()


async def test_a_close_ends_everything(run: Any) -> None:
    """Whatever waits, for whomever."""
    gate = Gate()
    running = await run(
        gate, policy="circuitBreaker: {maxConnections: 1, maxPendingRequests: 1, maxParallelRequests: 1}"
    )
    clients = await at_once(running, 2)
    running.gateway.plane.close()
    for client in clients:
        assert await client.closed() is not None
    assert [done.flag for done in await running.gateway.exchanges(2)] == ["DC", "DC"]
    running.gateway.plane.hooks = type(running.gateway.plane.hooks)(
        running.gateway.manager
    )  # for the fixture's own end


async def test_a_reload_changes_limits_and_endpoints(run: Any, manifests: Any) -> None:
    """What is under way goes on; connections to endpoints that left are not used again, and those idle are closed."""
    gate = Gate()
    running = await run(gate)
    [busy] = await at_once(running, 1)
    async with Backend(answering(response_bytes(body=b"new"))) as other:
        route = manifests.route(f"[{{backendRefs: [{manifests.to_server('server')}]}}]")
        policy = manifests.policy("BackendTrafficPolicy", "circuitBreaker: {maxParallelRequests: 1}")
        running.gateway.adopt(manifests.snapshot(route, manifests.server("server", other.port), policy))
        client = await running.client()
        assert (await client.request("GET", "/")).status == 503  # one is under way, and one is the limit now
        gate.go.set()
        assert (await busy.answer()).body == b"ok"
        await until(lambda: len(running.gateway.done) == 2)
        assert (await busy.request("GET", "/")).body == b"new"
        await until(lambda: running.cluster.endpoints() == [f"127.0.0.1:{other.port}"])
        running.gateway.adopt(manifests.snapshot(manifests.server("server", other.port)))
        assert (await client.request("GET", "/")).status == 404
        await until(lambda: running.cluster.idle)
        running.gateway.plane._sweep()
        assert running.gateway.plane.pools == {}


async def test_a_pool_whose_rule_comes_back_is_kept(run: Any, manifests: Any) -> None:
    """A reload that leaves a rule out, and another that has it again, change nothing for who is under way."""
    gate = Gate()
    running = await run(gate)
    [busy] = await at_once(running, 1)
    snapshot = running.gateway.snapshot
    running.gateway.adopt(manifests.snapshot(manifests.server("server", running.backend.port)))
    running.gateway.adopt(snapshot)
    running.gateway.plane._sweep()
    gate.go.set()
    assert (await busy.answer()).status == 200
    assert (await busy.request("GET", "/")).status == 200
    assert len(running.backend.conversations) == 1


async def test_a_cluster_is_calm_under_half_of_its_limit(run: Any) -> None:
    """Of connections or of requests, whichever is less; one that nobody has used is calm."""
    gate = Gate()
    running = await run(
        gate, policy="circuitBreaker: {maxConnections: 4, maxPendingRequests: 9, maxParallelRequests: 9}"
    )
    plane = running.gateway.plane
    cluster = "httproute/default/route/rule/0"
    assert plane.calm(cluster)
    clients = await at_once(running, 1)
    await until(lambda: running.cluster.active == 1)
    assert plane.calm(cluster)
    clients += await at_once_more(running, 1)
    assert not plane.calm(cluster)
    assert plane.gauges()[cluster].connections == 2
    gate.go.set()
    for client in clients:
        await client.answer()


async def at_once_more(running: Any, count: int) -> list[Client]:
    """Send further requests."""
    before = _seen(running)
    clients = []
    for number in range(count):
        client = await running.client()
        clients.append(client)
        await client.send(request_bytes("GET", "/more"))
        await until(lambda number=number: _seen(running) == before + number + 1)
    return clients


async def test_a_port_that_is_taken_is_told(run: Any) -> None:
    """To whoever listens: mitmproxy shows it, and the gateway's addon ends the process."""
    running = await run(OK)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await running.gateway.plane.listen(mode_specs.ProxyMode.parse(f"gateway:80@{port}"), "127.0.0.1", port)


async def test_a_connection_that_cannot_be_looked_after_keeps_no_other_from_it(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and told; the sweep goes on to the connections behind it."""
    running = await run(OK)
    plane = running.gateway.plane
    clients = await at_once(running, 2)
    for client in clients:
        assert (await client.answer()).status == 200
    swept: list[float] = []
    broken, other = plane.connections
    broken.sweep = lambda now: int("no number")
    other.sweep = swept.append
    plane._sweeper.cancel()
    plane._sweep()
    assert len(swept) == 1
    running.gateway.bugs_expected = plane.bugs
    assert plane.bugs >= 1
    assert "could not be looked after" in caplog.text
