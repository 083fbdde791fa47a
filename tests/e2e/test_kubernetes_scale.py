"""Two thousand routes and a thousand endpoints: how soon a change takes effect, and what running streams notice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from pathlib import Path

import pytest

from mirrorgate.testing.admin_client import AdminClient
from mirrorgate.testing.api_server import ApiServer
from mirrorgate.testing.clients import Client
from mirrorgate.testing.gateways import CHAT, chat_body
from mirrorgate.testing.manifests import Object, backend, gateway, http_route, inference_pool, reference
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import Process, free_port, gateway_command

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROUTES, POOLS, PODS = 2000, 100, 10


def large(port: int, server: int) -> list[Object]:
    """Return a configuration of that size, of which one route leads to a real server."""
    pools = [each for number in range(POOLS) for each in inference_pool(f"pool-{number}", *range(9000, 9000 + PODS))]
    routes = [
        http_route(f"r{number}", reference(f"pool-{number % POOLS}", "InferencePool")) for number in range(ROUTES)
    ]
    return [*gateway(port), *pools, *routes, backend("real", server), http_route("chat", reference("real"))]


async def test_a_change_takes_effect_soon_and_streams_go_on(tmp_path: Path) -> None:
    """A change under a second, with streams that never stall for long; the bounds leave room for a busy machine."""
    port, admin_port = free_port(), free_port()
    async with ApiServer() as server, FakeModelServer(Behaviour(answer="word " * 400, itl=0.02)) as real:
        server.store.apply(*large(port, real.port))
        options = {"gateway_scrape_interval": "0"}
        environment = {"KUBECONFIG": str(server.kubeconfig(tmp_path)), "KUBERNETES_SERVICE_HOST": ""}
        command = gateway_command("kubernetes", admin_port, options=options)
        async with Process(command, environment=environment, grace=15) as process:
            began = time.monotonic()
            await process.ready(admin_port, timeout=60)
            ready, admin = time.monotonic() - began, AdminClient(admin_port)
            streams = [asyncio.ensure_future(_gaps(port)) for _ in range(10)]
            await real.until(lambda: len(real.requests) >= 10)
            took = []
            for number in range(5):
                name = f"new{number}"
                server.store.apply(http_route(name, reference("missing"), hosts=[f"{name}.test"]))
                changed = time.monotonic()
                while await _status(port, f"{name}.test") == 404:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)  # another process does not tell when its routes change
                took.append(time.monotonic() - changed)
            gaps = sorted(itertools.chain.from_iterable(await asyncio.gather(*streams)))
            # Only now: the metrics of two thousand clusters are megabytes, and parsing them holds up this process.
            lag = await admin.metric("mirrorgate_event_loop_lag_max_seconds")
            print(
                f"ready {ready:.2f} s; change {statistics.median(took):.2f} s, at most {max(took):.2f} s; "
                f"lag {lag * 1000:.0f} ms; "
                f"gaps p50 {gaps[len(gaps) // 2] * 1000:.1f} p99 {gaps[len(gaps) * 99 // 100] * 1000:.1f} "
                f"max {gaps[-1] * 1000:.1f} ms"
            )
            print(*(line for line in process.output if "takes effect" in line), sep="\n")
        assert process.returncode == 0
        assert statistics.median(took) < 5.0
        assert gaps[len(gaps) * 99 // 100] < 0.5


async def _gaps(port: int) -> list[float]:
    """Stream one answer, and return the time between its pieces."""
    async with await Client.connect(port, timeout=60) as client:
        answer = await client.request("POST", CHAT, [("host", "chat.test")], chat_body(stream=True))
    return [later.at - earlier.at for earlier, later in itertools.pairwise(answer.chunks)]


async def _status(port: int, host: str) -> int:
    with contextlib.suppress(OSError):
        async with await Client.connect(port) as client:
            return (await client.request("GET", "/", [("host", host)])).status
    return 404
