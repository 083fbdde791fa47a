"""Retries of HTTPRoutes and upgrades to websocket over a real gateway, after the Gateway API's conformance tests."""

from __future__ import annotations

import pytest

from mirrorgate.testing.clients import Client, request_bytes
from mirrorgate.testing.conformance import Case, Conformance
from mirrorgate.testing.manifests import Object

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


async def tries(conformance: Conformance, path: str, status: int) -> int:
    """Send a request that must end in a status; return how often the server was asked."""
    before = len(conformance.servers["v1"].requests)
    await conformance.expect(Case(path, status=status), "retries.test")
    return len(conformance.servers["v1"].requests) - before


@pytest.mark.parametrize(
    ("path", "status", "count"),
    [
        ("/codes?first=1&status=500", 200, 2),
        ("/codes?first=2&status=503", 200, 3),
        ("/codes?first=3&status=503", 503, 3),
        ("/codes?first=1&status=502", 502, 1),
        ("/none?first=1&status=503", 503, 1),
    ],
)
async def test_codes(conformance: Conformance, path: str, status: int, count: int) -> None:
    """HTTPRouteRetry: as many attempts more as are declared, for the codes that are; none where nothing is."""
    assert await tries(conformance, path, status) == count


@pytest.mark.parametrize(
    ("path", "status", "count"), [("/codes?first=1&reset", 200, 2), ("/none?first=1&reset", 503, 1)]
)
async def test_connection_errors(conformance: Conformance, path: str, status: int, count: int) -> None:
    """HTTPRouteRetryConnectionError: a `retry` stanza is also for connections that are cut."""
    assert await tries(conformance, path, status) == count


@pytest.mark.parametrize(
    ("path", "status", "count"), [("/timeout?first=1&delay=3", 200, 2), ("/timeout?first=2&delay=3", 504, 2)]
)
async def test_backend_timeouts(conformance: Conformance, path: str, status: int, count: int) -> None:
    """HTTPRouteRetryBackendTimeout: each attempt has `backendRequest`, and the next one begins when it is over."""
    assert await tries(conformance, path, status) == count


async def test_a_websocket(conformance: Conformance) -> None:
    """httproute-backend-protocol-websocket: a Service of `kubernetes.io/ws` is upgraded to, bytes pass both ways."""
    piece: Object = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "sockets", "namespace": "infra", "labels": {"kubernetes.io/service-name": "sockets"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"]}],
        "ports": [{"port": conformance.servers["v2"].port}],
    }
    fields = [("host", "sockets.test"), ("connection", "Upgrade"), ("upgrade", "websocket")]
    fields += [("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]
    async with conformance.changed("sockets.yaml", [piece]), await Client.connect(80 + conformance.offset) as client:
        await client.send(request_bytes("GET", "/", fields))
        head = await client.head()
        assert (head.status, head.header("upgrade")) == (101, "websocket")
        for _ in range(3):
            await client.send(b"ping")
            assert await client.reader.readexactly(4) == b"ping"
