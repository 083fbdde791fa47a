"""Both tutorials, their manifests verbatim, against running processes: what each verifies, and what it implies."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from mirrorgate.testing.demo.manifests import TUTORIALS, with_ports
from mirrorgate.testing.gateways import CHAT, RunningGateway, running_gateway
from mirrorgate.testing.manifests import as_yaml, mirror_cluster, rule_cluster
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = pytest.mark.e2e

REQUEST = {
    "model": "/model/llama2",
    "max_completion_tokens": 100,
    "temperature": 0,
    "messages": [{"role": "user", "content": "introduce yourself"}],
}
OVERFLOW = b"upstream connect error or disconnect/reset before headers. reset reason: overflow"
OK = '"POST /v1/chat/completions HTTP/1.1" 200 OK'


@dataclass(frozen=True, slots=True)
class Tutorial:
    gateway: RunningGateway
    primary: tuple[FakeModelServer, ...]
    mirror: tuple[FakeModelServer, ...]


@contextlib.asynccontextmanager
async def tutorial(name: str, folder: Path, *more: dict[str, object]) -> AsyncIterator[Tutorial]:
    """Run a tutorial's manifests, with `more` objects beside them, before four model servers."""
    async with contextlib.AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(FakeModelServer(Behaviour(name=f"s{number}", models=("/model/llama2",))))
            for number in range(4)
        ]
        config = folder / name
        shutil.copytree(TUTORIALS / name, config)
        pods = config / "pods.yaml"
        ports = {str(18001 + number): server.port for number, server in enumerate(servers)}
        pods.write_text(with_ports(pods.read_text(), ports))
        (config / "more.yaml").write_text(as_yaml(more) or "# nothing more\n")
        port = free_port()
        options = {"gateway_port_offset": str(port - 80), "shadow_journal": str(folder / "journal")}
        gateway = await stack.enter_async_context(running_gateway(config, port, options=options))
        yield Tutorial(gateway, tuple(servers[:2]), tuple(servers[2:]))


def requests_of(servers: tuple[FakeModelServer, ...]) -> list[str]:
    """Return what the tutorials grep for."""
    return [line for server in servers for line in server.log_lines if OK in line]


def test_the_tutorials_are_the_documents_own() -> None:
    """Every kind is there; the Pods alone are ours."""
    kinds = {
        name: sorted({document["kind"] for path in (TUTORIALS / name).iterdir() for document in _documents(path)})
        for name in ("mirroring", "circuit-breaker")
    }
    both = {"ConfigMap", "Deployment", "EnvoyProxy", "Gateway", "GatewayClass", "HTTPRoute", "InferenceModel"}
    both |= {"InferencePool", "Pod", "Service", "ServiceAccount"}
    assert kinds == {"mirroring": sorted(both), "circuit-breaker": sorted(both | {"BackendTrafficPolicy"})}


def _documents(path: Path) -> list[dict[str, str]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


async def test_mirroring(tmp_path: Path) -> None:
    """Both services log the request, the client gets the primary's answer, and both answers are compared."""
    async with tutorial("mirroring", tmp_path) as running:
        admin = running.gateway.admin
        async with await running.gateway.connect() as client:
            headers = [("host", "example.com"), ("authorization", "Bearer secret"), ("cookie", "a=b")]
            answer = await client.request("POST", CHAT, headers, REQUEST)
        assert answer.status == 200
        assert answer.json()["model"] == "/model/llama2"

        async def compared() -> bool:
            return bool(await admin.comparisons())

        await admin.until(compared, "no comparison appears")
        assert len(requests_of(running.primary)) == 1
        assert len(requests_of(running.mirror)) == 1
        (primary,) = [request for server in running.primary for request in server.requests]
        (mirror,) = [request for server in running.mirror for request in server.requests]
        assert mirror.body == primary.body
        assert (mirror.target, mirror.header("host")) == (primary.target, "example.com")
        # The copy is told apart, and a candidate does not get production's credentials.
        assert mirror.header("x-mirrorgate-leg") == "candidate"
        assert primary.header("x-mirrorgate-leg") is None
        assert primary.header("authorization") == "Bearer secret"
        assert [mirror.header(name) for name in ("authorization", "cookie")] == [None, None]
        (comparison,) = await admin.comparisons()
        assert comparison["outcome"] in ("same", "similar", "different")
        assert comparison["cluster"] == mirror_cluster("mirror-route")
        assert comparison["record"]["primary"]["status"] == comparison["record"]["candidate"]["status"] == 200
        process = running.gateway.process
        assert any(comparison["summary"] in line for line in process.output)
        assert await admin.metric("mirrorgate_shadow_sent_total") == 1
    assert process.returncode == 0
    # Prompts are not stored by accident: the tutorial has no ShadowPolicy that would say so.
    (journal,) = (tmp_path / "journal").rglob("*.jsonl")
    assert comparison["id"] in journal.read_text()
    assert "introduce yourself" not in journal.read_text()


async def test_circuit_breaker(tmp_path: Path) -> None:
    """Of two requests at once the second is refused in Envoy's words and fields, and the next is served."""
    async with tutorial("circuit-breaker", tmp_path) as running:
        admin, cluster = running.gateway.admin, rule_cluster("test-httproute")
        for server in running.primary:
            await server.configure(faults=["hang_before_headers"])
        async with await running.gateway.connect() as first, await running.gateway.connect() as second:
            window = asyncio.ensure_future(first.request("POST", CHAT, [("host", "example.com")], REQUEST))
            await _any(running.primary)
            refused = await second.request("POST", CHAT, [("host", "example.com")], REQUEST)
            assert not window.done()
            assert (refused.status, refused.body) == (503, OVERFLOW)
            names = [name.lower() for name, _ in refused.head.headers]
            assert names == ["content-length", "content-type", "date"]
            assert refused.head.header("content-type") == "text/plain"
            for server in running.primary:
                await server.configure(faults=[])
                server.release()
            assert (await window).status == 200
            # The refused client's connection is good for another request.
            assert (await second.request("POST", CHAT, [("host", "example.com")], REQUEST)).status == 200
        assert await admin.metric("envoy_cluster_upstream_rq_active_overflow", envoy_cluster_name=cluster) == 1
        assert await admin.metric("envoy_cluster_upstream_rq_pending_overflow", envoy_cluster_name=cluster) == 0
        assert not any((await admin.used(cluster) | {"connections": 0}).values())
        assert sum(len(server.requests) for server in running.primary) == 2


async def test_a_refused_request_is_not_mirrored(tmp_path: Path) -> None:
    """With both tutorials in one: the candidate sees the admitted request only, though it refuses nothing."""
    policy: dict[str, object] = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "BackendTrafficPolicy",
        "metadata": {"name": "limits"},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "mirror-route"}],
            "circuitBreaker": {"maxPendingRequests": 1, "maxParallelRequests": 1},
        },
    }
    async with tutorial("mirroring", tmp_path, policy) as running:
        for server in running.primary:
            await server.configure(faults=["hang_before_headers"])
        async with await running.gateway.connect() as first, await running.gateway.connect() as second:
            window = asyncio.ensure_future(first.request("POST", CHAT, [("host", "example.com")], REQUEST))
            await _any(running.primary)
            for _ in range(5):
                assert (await second.request("POST", CHAT, [("host", "example.com")], REQUEST)).status == 503
            for server in running.primary:
                server.release()
            assert (await window).status == 200
        admin = running.gateway.admin

        async def compared() -> bool:
            return bool(await admin.comparisons())

        await admin.until(compared, "no comparison appears")
        assert await admin.metric("mirrorgate_shadow_dropped_total", reason="rejected") == 5
        assert sum(len(server.requests) for server in running.mirror) == 1


async def _any(servers: tuple[FakeModelServer, ...]) -> None:
    """Wait until one of the servers holds a request."""
    waits = [asyncio.ensure_future(server.until(lambda server=server: server.hanging > 0)) for server in servers]
    _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
