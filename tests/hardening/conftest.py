"""What the hardening tests share: a gateway process, or an Envoy, in front of an upstream that takes nothing lax."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from mirrorgate.testing.backends import Backend
from mirrorgate.testing.envoy import envoy_bootstrap, envoy_program
from mirrorgate.testing.gateways import running_gateway, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, reference
from mirrorgate.testing.processes import Process, free_port
from mirrorgate.testing.wire_cases import HOST, WireUpstream

OTHER = "b.test"


@dataclass(frozen=True, slots=True)
class Front:
    """A gateway, and the upstream behind it."""

    port: int
    upstream: WireUpstream
    process: Process


async def _gateway(folder: pytest.TempPathFactory, **options: str) -> AsyncIterator[Front]:
    upstream = WireUpstream()
    async with Backend(upstream.script) as server:
        port = free_port()
        config = folder.mktemp("hardening") / "gateway.yaml"
        route = http_route("route", reference("server"), hosts=[HOST, OTHER])
        write_manifests(config, [*gateway(port), backend("server", server.port), route])
        async with running_gateway(config, port, options=options) as running:
            yield Front(port, upstream, running.process)
            assert "Traceback" not in running.process.text
            assert await running.admin.metric("mirrorgate_local_replies_total", reason="internal") == 0


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def buffering(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    """Give a gateway with the default options."""
    async for front in _gateway(tmp_path_factory):
        yield front


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def streaming(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    """Give a gateway that buffers no body."""
    async for front in _gateway(tmp_path_factory, stream_large_bodies="0"):
        yield front


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def envoy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    """Give a real Envoy; the test is skipped where there is none."""
    program = envoy_program()
    if program is None:
        pytest.skip("no envoy on PATH and no ENVOY_BIN")
    upstream = WireUpstream()
    async with Backend(upstream.script) as server:
        port, admin = free_port(), free_port()
        config = tmp_path_factory.mktemp("envoy") / "envoy.json"
        config.write_text(json.dumps(envoy_bootstrap(port, admin, server.port, HOST, OTHER)), encoding="utf-8")
        quiet = ["--disable-hot-restart", "--log-level", "error", "--concurrency", "1"]
        async with Process([program, "-c", str(config), *quiet]) as process:
            await process.ready(admin)
            yield Front(port, upstream, process)
