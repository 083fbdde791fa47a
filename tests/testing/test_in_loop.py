"""The data plane in the test's own loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mirrorgate.testing.backends import Backend, Conversation, answering, response_bytes
from mirrorgate.testing.clients import Client, request_bytes
from mirrorgate.testing.in_loop import GatewayInLoop, until


def snapshot(manifests: Any, port: int) -> Any:
    """Compile a route that leads to a port of loopback."""
    route = manifests.route(f"[{{backendRefs: [{manifests.to_server('server')}]}}]")
    return manifests.snapshot(route, manifests.server("server", port))


async def test_until_waits_for_a_condition() -> None:
    """And says what has not come true."""
    happened: list[bool] = []
    asyncio.get_running_loop().call_later(0.01, happened.append, True)
    await until(lambda: happened)
    with pytest.raises(AssertionError, match=r"after 0.01 s still not so: the end of days"):
        await until(lambda: False, 0.01, what="the end of days")


async def test_a_gateway_serves_and_settles(manifests: Any) -> None:
    """With its events at hand; another configuration takes effect at once."""
    async with (
        Backend(answering(response_bytes(body=b"ok"))) as backend,
        GatewayInLoop(snapshot(manifests, backend.port)) as gateway,
    ):
        async with await Client.connect(gateway.port) as client:
            assert (await client.request("GET", "/")).body == b"ok"
            gateway.adopt(manifests.snapshot())
            assert (await client.request("GET", "/")).status == 404
        assert [done.status for done in await gateway.exchanges(2)] == [200, 404]
        await gateway.settled()


async def test_what_is_held_is_seen(manifests: Any) -> None:
    """A gateway with a client, or with a request under way, has not settled."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.gone()

    async with Backend(script) as backend, GatewayInLoop(snapshot(manifests, backend.port)) as gateway:
        async with await Client.connect(gateway.port) as client:
            await client.send(request_bytes("GET", "/"))
            await until(lambda: any(pool.cluster.active for pool in gateway.plane.pools.values()))
            [pool] = gateway.plane.pools.values()
            assert not gateway._idle(pool)()
        await gateway.settled()


async def test_bugs_are_counted_against_the_test(manifests: Any) -> None:
    """Those that it has not foreseen."""
    gateway = GatewayInLoop(snapshot(manifests, 9))
    with pytest.raises(AssertionError, match="1 bugs were counted"):
        async with gateway:
            gateway.plane.count_bug()
