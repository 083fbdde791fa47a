"""Workers whose event loop stands still for ever are ended; a machine that stands still as a whole ends nobody."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mirrorgate.testing.clients import WireError
from mirrorgate.testing.gateways import RunningGateway, running_gateway, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, reference, rule_cluster, traffic_policy
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.faults import Fault, FaultKind
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

LIMIT = 4
SECONDS = 4
"""After which a worker hangs."""

BLOCKER = """
import time


def request(flow):
    if "x-block" in flow.request.headers:
        while True:
            time.sleep(3600)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGateway]:
    """Two workers with an addon that blocks where it is asked to, and a route whose server never answers."""
    folder: Path = tmp_path_factory.mktemp("hangs")
    port, config, blocker = free_port(), folder / "gateway.yaml", folder / "blocker.py"
    blocker.write_text(BLOCKER, encoding="utf-8")
    held = Behaviour(faults=(Fault(FaultKind.HANG_BEFORE_HEADERS, path="/v1/"),))
    async with FakeModelServer() as plain, FakeModelServer(held) as holding:
        objects = [
            *gateway(port),
            backend("plain", plain.port),
            backend("held", holding.port),
            http_route("plain", reference("plain")),
            http_route("held", reference("held")),
            traffic_policy("held", circuitBreaker={"maxParallelRequests": LIMIT}),
        ]
        write_manifests(config, objects)
        words = ("--worker-hang-timeout", str(SECONDS))
        options = {"scripts": str(blocker)}
        async with running_gateway(config, port, options=options, workers=2, words=words) as started:
            await started.admin.until(lambda: serving(started), "a worker does not serve", timeout=60.0)
            yield started


async def serving(running: RunningGateway) -> bool:
    return all(worker["ready"] for worker in (await running.admin.page("/overview"))["workers"])


async def hung(running: RunningGateway) -> float:
    return await running.admin.metric("mirrorgate_worker_restarts_total", reason="hung")


async def asked(running: RunningGateway, host: str, *fields: tuple[str, str]) -> int:
    """Ask over a connection of its own: the status, 0 when the connection ends without."""
    try:
        async with await running.connect(timeout=120.0) as client:
            return (await client.request("GET", "/v1/models", [("host", host), *fields])).status
    except (OSError, WireError, EOFError):
        return 0


async def test_an_addon_that_blocks_for_ever(running: RunningGateway) -> None:
    """Its client is cut, where it blocked is in the log, its places are free, and the gateway is whole again."""
    before = await hung(running)
    waiting = [asyncio.create_task(asked(running, "held.test")) for _ in range(LIMIT)]

    async def full() -> bool:
        return (await running.admin.used(rule_cluster("held")))["parallel"] == LIMIT

    await running.admin.until(full, "what is under way is not counted")
    assert await asked(running, "plain.test", ("x-block", "1")) == 0

    async def ended() -> bool:
        return await hung(running) == before + 1 and await serving(running)

    await running.admin.until(ended, "a worker that hangs is not started again", timeout=60.0)
    assert "Fatal Python error: Aborted" in running.process.text
    assert "blocker.py" in running.process.text
    left = sum(not task.done() for task in waiting)
    assert (await running.admin.used(rule_cluster("held")))["parallel"] == left
    assert {await asked(running, "plain.test") for _ in range(8)} == {200}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_machine_that_stands_still(running: RunningGateway) -> None:
    """Suspended, frozen or starved as a whole: the supervisor has not looked either, and ends nobody."""
    before = await hung(running)
    workers = [worker["pid"] for worker in (await running.admin.page("/overview"))["workers"]]
    everybody = [running.process.pid, *workers]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(2 * SECONDS)  # the time that is lost is what this is about
    finally:
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)
    assert {await asked(running, "plain.test") for _ in range(8)} == {200}
    for _ in range(SECONDS + 2):
        await asyncio.sleep(1)  # as many looks as would tell
        assert await hung(running) == before
    assert [worker["pid"] for worker in (await running.admin.page("/overview"))["workers"]] == workers
