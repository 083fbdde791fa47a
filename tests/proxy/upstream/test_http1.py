"""Connections to endpoints: reuse, failures to connect, servers that close while they idle, and mitmproxy's hooks."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from mitmproxy.proxy import server_hooks

from mirrorgate.testing.backends import Backend, Conversation, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

OK = answering(response_bytes(body=b"ok"))


async def test_connections_are_used_again_by_any_client(run: Any) -> None:
    """The one used last first."""
    running = await run(OK)
    for _ in range(3):
        client = await running.client()
        await client.request("GET", "/")
        await client.close()
    assert len(running.backend.conversations) == 1


@pytest.mark.parametrize(("limit", "connections"), [(1, 6), (2, 3), (0, 1)])
async def test_a_connection_carries_so_many_requests(run: Any, limit: int, connections: int) -> None:
    """As Envoy's `maxRequestsPerConnection`: no `connection: close` is sent, the gateway just closes."""
    running = await run(OK, policy=f"circuitBreaker: {{maxRequestsPerConnection: {limit}}}")
    client = await running.client()
    for _ in range(6):
        assert (await client.request("GET", "/")).status == 200
    assert len(running.backend.conversations) == connections
    assert running.backend.requests[-1].header("connection") is None


@pytest.mark.parametrize("say", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"x"])
async def test_a_server_that_closes_while_idle_is_dialled_again(run: Any, say: bytes) -> None:
    """Whatever it says before: that is nobody's answer."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.answer(200, b"ok")
        await go.wait()
        await talk.say(say)

    go = asyncio.Event()
    running = await run(script)
    client = await running.client()
    assert (await client.request("GET", "/")).status == 200
    go.set()
    await until(lambda: running.cluster.connections == 0)
    assert (await client.request("GET", "/")).status == 200
    assert len(running.backend.conversations) == 2


async def test_a_server_that_accepts_and_closes_is_not_dialled_for_ever(run: Any) -> None:
    """Nothing could be sent: 503, and the client may try again."""

    async def script(talk: Conversation) -> None:
        talk.reset()

    running = await run(script)
    client = await running.client()
    for _ in range(3):
        assert (await client.request("GET", "/")).status == 503
    flags = {done.flag for done in await running.gateway.exchanges(3)}
    assert flags <= {"UC", "UF"}
    assert len(running.backend.conversations) == 3


async def test_a_connection_that_ends_while_an_addon_looks_at_it_is_not_dialled_again(run: Any) -> None:
    """It was new: the next would fare no better."""

    async def script(talk: Conversation) -> None:
        talk.reset()

    class Looks:
        async def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
            await until(lambda: not data.server.connected)

    running = await run(script, Looks())
    assert (await (await running.client()).request("GET", "/")).status == 503
    assert (await running.done()).flag == "UC"
    assert len(running.backend.conversations) == 1


class Slow:
    """Makes connecting slow, so that it takes too long."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = asyncio.Event()

    async def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        self.begun.set()
        await self.go.wait()


async def test_connecting_takes_no_longer_than_allowed(run: Any) -> None:
    """503 with Envoy's words; whoever waits for the same connection fails with it."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    fillers = []
    for _ in range(4):  # a queue that is full drops further SYNs
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(sock.getsockname())
        fillers.append(filler)
    try:
        running = await run(OK, port=sock.getsockname()[1], policy="timeout: {tcp: {connectTimeout: 50ms}}")
        client = await running.client()
        answer = await client.request("GET", "/")
        assert (answer.status, (await running.done()).flag) == (503, "UF")
        assert answer.body.endswith(b"connection timeout")
    finally:
        for filler in fillers:
            filler.close()
        sock.close()


class Notes:
    """Notes mitmproxy's server hooks."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool, bool]] = []

        for name in ("server_connect", "server_connected", "server_connect_error", "server_disconnected"):
            setattr(self, name, self._noting(name))

    def _noting(self, name: str) -> Any:
        def note(data: server_hooks.ServerConnectionHookData) -> None:
            self.seen.append((name, data.server.connected, data.server.error is not None))
            assert data.client.peername

        return note


async def test_addons_hear_of_server_connections(run: Any) -> None:
    """In mitmproxy's order, with the state that it shows."""
    notes = Notes()
    running = await run(OK, notes)
    client = await running.client()
    await client.request("GET", "/")
    running.gateway.plane.pools["httproute/default/route/rule/0"].close()
    await until(lambda: running.cluster.idle)
    assert notes.seen == [
        ("server_connect", False, False),
        ("server_connected", True, False),
        ("server_disconnected", False, False),
    ]


async def test_addons_hear_of_failures(run: Any) -> None:
    """Of a connection that was refused."""
    notes = Notes()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        running = await run(OK, notes, port=sock.getsockname()[1])
        await (await running.client()).request("GET", "/")
    assert notes.seen == [("server_connect", False, False), ("server_connect_error", False, True)]


@pytest.mark.parametrize("hook", ["server_connect", "server_connected"])
async def test_an_addon_refuses_a_connection(run: Any, hook: str) -> None:
    """By its error, before or after it is made."""

    class Refuses:
        pass

    def refuse(data: server_hooks.ServerConnectionHookData) -> None:
        data.server.error = "not there"

    addon = Refuses()
    setattr(addon, hook, refuse)
    running = await run(OK, addon)
    answer = await (await running.client()).request("GET", "/")
    assert answer.status == 503
    assert (await running.done()).flag == "UF"
    await until(lambda: running.cluster.idle)


async def test_an_addon_sends_a_connection_elsewhere(run: Any) -> None:
    """By its address, as in mitmproxy."""
    async with Backend(answering(response_bytes(body=b"elsewhere"))) as other:

        class Elsewhere:
            def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
                data.server.address = ("127.0.0.1", other.port)

        running = await run(OK, Elsewhere())
        assert (await (await running.client()).request("GET", "/")).body == b"elsewhere"


async def test_a_client_leaves_while_it_is_connected_for(run: Any) -> None:
    """The connection that comes is kept for the next."""
    slow = Slow()
    running = await run(OK, slow)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await slow.begun.wait()
    client.abort()
    await running.done()
    slow.go.set()
    await until(lambda: len(running.cluster.ready(f"127.0.0.1:{running.backend.port}")) == 1)
    again = await running.client()
    assert (await again.request("GET", "/")).status == 200
    assert len(running.backend.conversations) == 1


@pytest.mark.parametrize("slowly", [False, True])
async def test_hooks_of_a_connections_end_are_awaited(run: Any, slowly: bool) -> None:
    """Without holding anything up."""
    seen: list[str] = []

    class Look:
        async def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
            await asyncio.sleep(0.01 if slowly else 0)
            seen.append("disconnected")

    running = await run(answering(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"), Look())
    client = await running.client()
    for _ in range(2):
        assert (await client.request("GET", "/")).status == 200
    await until(lambda: len(seen) == 2)
    assert len(running.backend.conversations) == 2


async def test_a_slow_upstream_stops_the_clients_upload(run: Any) -> None:
    """The gateway holds a bounded part of it."""
    go = asyncio.Event()

    async def script(talk: Conversation) -> None:
        talk.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go.wait()
        talk.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await talk.request()
        await talk.answer(200, b"all")
        await talk.gone()

    running = await run(script)
    client = await running.client(timeout=30)
    size = 30_000_000
    sending = asyncio.ensure_future(
        client.send(request_bytes("POST", "/", [("content-length", str(size))]), b"x" * size)
    )
    await until(lambda: running.gateway.plane.connections)
    [found] = running.gateway.plane.connections
    await until(lambda: "body" in found._paused and found.carrier.upstream is not None, 30)
    assert found.carrier.inbound.buffered < 1_000_000
    assert found.carrier.upstream._transport.get_write_buffer_size() < 2_000_000
    go.set()
    assert (await client.answer()).body == b"all"
    await sending
    assert (await running.done()).bytes_received == size


async def test_a_connection_has_an_age(run: Any) -> None:
    """`maxConnectionDuration` ends a connection after the request that is under way, and one that idles (Envoy)."""
    running = await run(answering(response_bytes(200)), policy="timeout: {http: {maxConnectionDuration: 1h}}")
    client = await running.client()
    [_, _] = [await client.request("GET", "/") for _ in range(2)]
    [pool] = running.gateway.plane.pools.values()
    [upstream] = pool._idle
    assert len(running.backend.conversations) == 1
    pool.sweep(upstream.made + 3599.0)
    assert not upstream.closing
    upstream.made -= 3600.0
    assert (await client.request("GET", "/")).status == 200
    assert (len(running.backend.conversations), running.cluster.connections) == (1, 0)
    assert (await client.request("GET", "/")).status == 200
    assert len(running.backend.conversations) == 2
    [upstream] = pool._idle
    pool.sweep(upstream.made + 3601.0)
    assert upstream.closing


@pytest.mark.parametrize(("declared", "idle"), [("", 3600.0), ("connectionIdleTimeout: 5s", 5.0)])
async def test_an_idle_connection_is_closed(run: Any, declared: str, idle: float) -> None:
    """After the policy's `connectionIdleTimeout`, or an hour."""
    running = await run(answering(response_bytes(200)), policy=f"timeout: {{http: {{{declared}}}}}")
    client = await running.client()
    assert (await client.request("GET", "/")).status == 200
    [pool] = running.gateway.plane.pools.values()
    [upstream] = pool._idle
    pool.sweep(upstream.idle_since + idle - 1.0)
    assert not upstream.closing
    pool.sweep(upstream.idle_since + idle + 1.0)
    assert upstream.closing


async def test_no_idle_timeout(run: Any) -> None:
    """0 switches it off."""
    running = await run(answering(response_bytes(200)), policy="timeout: {http: {connectionIdleTimeout: 0s}}")
    client = await running.client()
    assert (await client.request("GET", "/")).status == 200
    [pool] = running.gateway.plane.pools.values()
    [upstream] = pool._idle
    pool.sweep(upstream.idle_since + 1e9)
    assert not upstream.closing


async def test_upstream_sockets_are_probed(run: Any) -> None:
    """Where the policy has `tcpKeepalive`, and only there."""
    for declared, figures in (("", (0,)), ("tcpKeepalive: {idleTime: 60s, probes: 2}", (1, 2, 60))):
        running = await run(answering(response_bytes(200)), policy=declared)
        client = await running.client()
        assert (await client.request("GET", "/")).status == 200
        [pool] = running.gateway.plane.pools.values()
        [upstream] = pool._idle
        sock = upstream._transport.get_extra_info("socket")
        options = (socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
        options += ((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),)
        assert tuple(sock.getsockopt(*option) for option in options)[: len(figures)] == figures


async def test_requests_on_one_connection(run: Any) -> None:
    """`maxRequestsPerConnection` as measured: 6 requests over 6, 3 and 1 connections, and no word of it upstream."""
    for most, connections in (("1", 6), ("2", 3), ("0", 1)):
        policy = f"circuitBreaker: {{maxRequestsPerConnection: {most}}}"
        running = await run(answering(response_bytes(200)), policy=policy)
        client = await running.client()
        assert [(await client.request("GET", "/")).status for _ in range(6)] == [200] * 6
        assert len(running.backend.conversations) == connections
        assert {request.header("connection") for request in running.backend.requests} == {None}
