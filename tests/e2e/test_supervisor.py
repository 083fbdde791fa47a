"""The supervisor of `mirrorgate run --workers`: what does not start it, and workers that are replaced one by one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest

from mirrorgate.testing.clients import WireError
from mirrorgate.testing.gateways import RunningGateway, running_gateway, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, reference
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import Process, free_port, gateway_command

pytestmark = pytest.mark.e2e

HASTY = ("--worker-hang-timeout", "4")


async def test_a_configuration_that_is_refused_starts_nothing(tmp_path: Path) -> None:
    """The first worker says what is wrong; no other one is asked, and the exit code is 1."""
    config = tmp_path / "gateway.yaml"
    config.write_text("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: 7}\nspec: 3\n")
    async with Process(gateway_command(config, free_port(), workers=2)) as process:
        assert await process.wait(timeout=120.0) == 1
    assert "the configuration has" in process.text
    assert "serves" not in process.text


async def test_an_admin_port_that_is_taken_starts_nothing(tmp_path: Path) -> None:
    """Two gateways do not share listeners by accident: the admin port is not shared."""
    config = tmp_path / "gateway.yaml"
    write_manifests(config, gateway(free_port()))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with Process(gateway_command(config, taken.getsockname()[1], workers=2)) as process:
            assert await process.wait(timeout=120.0) == 1
    assert "cannot listen" in process.text


async def test_what_is_of_one_process_is_refused() -> None:
    """mitmweb with workers is a wrong use, said before anything starts."""
    command = [*gateway_command("config", free_port(), workers=2), "--web"]
    async with Process(command) as process:
        assert await process.wait(timeout=120.0) == 2
    assert "--web shows the flows of one process" in process.text


@pytest.mark.timeout(400)
async def test_workers_are_replaced_one_after_the_other(tmp_path: Path) -> None:
    """SIGUSR2: new processes for all, one at a time; requests go on. One that then hangs is ended, and comes back."""
    port = free_port()
    config = tmp_path / "gateway.yaml"
    async with FakeModelServer() as server:
        write_manifests(config, [*gateway(port), backend("b", server.port), http_route("b", reference("b"))])
        async with running_gateway(config, port, workers=2, words=HASTY) as running:
            before = await pids(running)
            running.process.signal(signal.SIGUSR2)
            seen = {"gone": 0, "answered": 0}

            async def replaced() -> bool:
                workers = (await running.admin.page("/overview"))["workers"]
                seen["gone"] = max(seen["gone"], sum(not worker["pid"] for worker in workers))
                # A worker that stops listening resets what it had not accepted yet: one client in a crowd may see it.
                with contextlib.suppress(OSError, WireError):
                    seen["answered"] += (await running.chat("b.test")).status == 200
                return "every worker is replaced" in running.process.text

            await running.admin.until(replaced, "the workers are not replaced", timeout=300.0)
            assert seen["answered"]
            assert seen["gone"] <= 1
            assert not set(before) & set(await pids(running))
            assert (await running.admin.get("/ready")).status == 200
            assert await restarts(running) == {"died": 0, "hung": 0, "replaced": 2}
            await hung_and_back(running)
            assert await restarts(running) == {"died": 0, "hung": 1, "replaced": 2}


async def restarts(running: RunningGateway) -> dict[str, float]:
    """Return how often workers were started again, by reason."""
    name = "mirrorgate_worker_restarts_total"
    return {why: await running.admin.metric(name, reason=why) for why in ("died", "hung", "replaced")}


async def hung_and_back(running: RunningGateway) -> None:
    """Let the kernel hold a worker: the supervisor ends it, says so, and starts it again; nobody touches the other."""
    hung, other = await pids(running)
    os.kill(hung, signal.SIGSTOP)
    line = await running.process.printed("worker 0 hangs", timeout=60.0)
    assert f"process {hung}" in line

    async def back() -> bool:
        first, second = (await running.admin.page("/overview"))["workers"]
        return first["ready"] and first["pid"] != hung and second["pid"] == other

    await running.admin.until(back, "the worker that hung does not come back", timeout=120.0)
    assert [worker["hangs"] for worker in (await running.admin.page("/overview"))["workers"]] == [1, 0]


async def pids(running: RunningGateway) -> list[int]:
    """Return the workers' processes."""
    return [worker["pid"] for worker in (await running.admin.page("/overview"))["workers"]]
