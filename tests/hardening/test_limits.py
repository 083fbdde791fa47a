"""Clients that take too much: too many connections, too much time, too much memory. One process, low limits."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mirrorgate.testing.backends import Backend, answering, response_bytes
from mirrorgate.testing.clients import Client, WireError, request_bytes
from mirrorgate.testing.gateways import RunningGateway, running_gateway, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, reference
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MOST = 20
HOST = [("host", "route.test")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGateway]:
    """Give a gateway whose limits a test can reach."""
    async with Backend(answering(response_bytes(body=b"ok"))) as server:
        port = free_port()
        config = tmp_path_factory.mktemp("limits") / "gateway.yaml"
        route = http_route("route", reference("server"))
        write_manifests(config, [*gateway(port), backend("server", server.port), route])
        options = {
            "gateway_max_connections_per_address": str(MOST),
            "gateway_header_timeout": "1",
            "gateway_buffered_bytes": "600000",
            "gateway_max_header_bytes": "4096",
            "stream_large_bodies": "900k",
            "body_size_limit": "1m",
        }
        async with running_gateway(config, port, options=options) as started:
            yield started
            assert "Traceback" not in started.process.text


async def served(running: RunningGateway) -> bool:
    """Tell whether a new client gets an answer."""
    async with await running.connect() as client:
        try:
            return (await client.request("GET", "/", HOST)).status == 200
        except (ConnectionError, WireError):
            return False


async def test_slow_heads_end_in_time_and_make_room(running: RunningGateway) -> None:
    """Slowloris: as many half heads as one address may have keep others of it out, and each gets its 408."""
    async with contextlib.AsyncExitStack() as stack:
        slow: list[Client] = []
        for _ in range(MOST):
            slow.append(await stack.enter_async_context(await running.connect()))
            await slow[-1].send(b"GET / HTTP/1.1\r\nx-slow: ")

        async def full() -> bool:
            return await running.admin.metric("mirrorgate_downstream_connections") == MOST

        await running.admin.until(full, "the clients are not all connected")
        assert not await served(running)
        for client in slow:
            assert (await client.answer()).status == 408
            assert await client.closed()
    refused = await running.admin.metric("mirrorgate_downstream_connections_refused_total", reason="address")
    assert refused == 1
    assert await running.admin.metric("mirrorgate_local_replies_total", reason="request_header_timeout") == MOST

    async def room() -> bool:
        return await running.admin.metric("mirrorgate_downstream_connections") == 0

    await running.admin.until(room, "clients that were told to go are still there")
    assert await served(running)


async def test_bodies_together_have_a_bound(running: RunningGateway) -> None:
    """The one that does not fit is told so, the other is served, and nothing stays in memory."""
    head = request_bytes("POST", "/", [*HOST, ("content-length", "500001")])

    async def held() -> bool:
        return await running.admin.metric("mirrorgate_buffered_body_bytes") > 430_000

    async def free() -> bool:
        return await running.admin.metric("mirrorgate_buffered_body_bytes") == 0

    async with await running.connect() as first, await running.connect() as second:
        await first.send(head, b"x" * 500_000)
        await running.admin.until(held, "the first body is not in memory")
        with contextlib.suppress(ConnectionError):
            await second.send(head, b"x" * 500_000)
        assert (await second.answer()).status == 503
        await first.send(b"x")
        assert (await first.answer()).status == 200
    await running.admin.until(free, "a body is still in memory")
    assert await running.admin.metric("mirrorgate_local_replies_total", reason="buffers_full") == 1


async def test_heads_have_a_bound(running: RunningGateway) -> None:
    """The option's, not only the default's."""
    async with await running.connect() as client:
        assert (await client.request("GET", "/", [*HOST, ("x", "y" * 5000)])).status == 431
