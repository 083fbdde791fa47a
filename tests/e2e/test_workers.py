"""`mirrorgate run --workers 2` is one gateway: shared ports and limits, one verdict, one admin port; a crash costs one.

One gateway for all; the test that ends it is the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.clients import Answer, WireError
from mirrorgate.testing.gateways import RunningGateway, running_gateway, write_manifests
from mirrorgate.testing.manifests import (
    backend,
    gateway,
    http_route,
    mirror_cluster,
    mirror_to,
    reference,
    rule_cluster,
    traffic_policy,
)
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.faults import Fault, FaultKind
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

WORKERS = 2
LIMIT = 6
HELD = Behaviour(faults=(Fault(FaultKind.HANG_BEFORE_HEADERS, path="/v1/"),))


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    plain: FakeModelServer
    held: FakeModelServer
    candidate: FakeModelServer

    async def workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.gateway.admin.page("/overview"))["workers"]
        return found

    async def all_serve(self) -> bool:
        return all(worker["ready"] for worker in await self.workers())

    async def compared(self, cluster: str) -> int:
        """Return how many exchanges the verdict stands on."""
        document = await self.gateway.admin.page(f"/verdict?cluster={cluster}")
        return int(document.get("coverage", {"compared": 0})["compared"])

    async def active(self) -> int:
        return (await self.gateway.admin.used(rule_cluster("held")))["parallel"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """Two workers, a route that answers, one whose server holds every request, and one that is mirrored."""
    folder: Path = tmp_path_factory.mktemp("workers")
    async with FakeModelServer() as plain, FakeModelServer(HELD) as held, FakeModelServer() as candidate:
        port = free_port()
        objects = [
            *gateway(port),
            backend("plain", plain.port),
            backend("held", held.port),
            backend("candidate", candidate.port),
            http_route("plain", reference("plain")),
            http_route("held", reference("held")),
            http_route("mirrored", reference("plain"), mirrors=[mirror_to("candidate")]),
            traffic_policy("held", circuitBreaker={"maxParallelRequests": LIMIT}),
        ]
        config = folder / "gateway.yaml"
        write_manifests(config, objects)
        options = {"shadow_journal": str(folder / "journal"), "gateway_admin_token": "secret"}
        async with running_gateway(config, port, options=options, workers=WORKERS) as running:
            yield Rig(running, plain, held, candidate)


async def test_what_workers_counted_adds_up(rig: Rig) -> None:
    """Each connection is one worker's; the one admin port tells of all of them."""
    before = await rig.gateway.admin.metric("mirrorgate_requests_total", leg="primary")
    answers = await asyncio.gather(*(rig.gateway.chat("plain.test") for _ in range(40)))
    assert [answer.status for answer in answers] == [200] * 40

    async def counted() -> bool:
        return await rig.gateway.admin.metric("mirrorgate_requests_total", leg="primary") == before + 40

    await rig.gateway.admin.until(counted, "the workers' counters do not add up")
    assert await rig.gateway.admin.metric("mirrorgate_worker_up") == WORKERS
    assert len({worker["pid"] for worker in await rig.workers()}) == WORKERS


async def hold(rig: Rig, count: int) -> list[asyncio.Task[Answer]]:
    """Ask so often, each time after the one before is held or refused."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Answer]] = []
    before = rig.held.hanging
    for _ in range(count):
        tasks.append(loop.create_task(rig.gateway.chat("held.test")))

        async def settled() -> bool:
            return rig.held.hanging - before + sum(task.done() for task in tasks) == len(tasks)

        await rig.gateway.admin.until(settled, "a request is neither held nor refused")
    return tasks


async def test_a_limit_holds_over_all_workers(rig: Rig) -> None:
    """`maxParallelRequests` requests are under way and no more, whichever worker a connection came to."""
    tasks = await hold(rig, 4 * LIMIT)
    assert rig.held.hanging == LIMIT
    view = await rig.gateway.admin.cluster(rule_cluster("held"))
    assert view["limits"]["parallel"] == {"used": LIMIT, "limit": LIMIT, "open": True}
    labels = {"cluster": rule_cluster("held"), "limit": "parallel"}
    assert await rig.gateway.admin.metric("mirrorgate_breaker_remaining", **labels) == 0
    assert await rig.gateway.admin.metric("mirrorgate_breaker_in_use", **labels) == LIMIT
    rig.held.release()
    statuses = Counter(answer.status for answer in await asyncio.gather(*tasks))
    assert statuses == {200: LIMIT, 503: 3 * LIMIT}

    async def over() -> bool:
        return await rig.active() == 0

    await rig.gateway.admin.until(over, "places are not given back")


def children_of(pid: int) -> list[bytes]:
    """Return the command lines of a process's children."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [child for task in tasks for child in task.read_text().split()]
    return [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]


async def test_one_shadow_process_judges_the_mirrors_of_all(rig: Rig) -> None:
    """There is one shadow process, and one verdict that stands on every worker's pairs."""
    sent = 24
    answers = await asyncio.gather(*(rig.gateway.chat("mirrored.test") for _ in range(sent)))
    assert {answer.status for answer in answers} == {200}
    cluster = mirror_cluster("mirrored")

    async def judged() -> bool:
        return await rig.compared(cluster) == sent

    await rig.gateway.admin.until(judged, "the verdict does not stand on every pair")
    assert len(await rig.gateway.admin.comparisons()) == sent
    assert await rig.gateway.admin.metric("mirrorgate_pairs_total", cluster=cluster) == sent
    assert await rig.gateway.admin.metric("mirrorgate_journal_records_total", result="written") == sent
    commands = children_of(rig.gateway.process.pid)
    assert sum(b"mirrorgate.shadow" in command for command in commands) == 1
    assert len(commands) == WORKERS + 1


async def test_a_crash_costs_what_the_worker_had(rig: Rig) -> None:
    """The other worker goes on, places of the dead one are free at once, no counter falls, and a new one comes."""
    admin = rig.gateway.admin
    tasks = await hold(rig, LIMIT)
    before = await admin.metric("mirrorgate_requests_total", leg="primary")
    victim = (await rig.workers())[0]
    os.kill(victim["pid"], signal.SIGKILL)
    await rig.held.until(lambda: rig.held.hanging < LIMIT or not any(task.done() for task in tasks))

    async def restarted() -> bool:
        worker = (await rig.workers())[0]
        return worker["restarts"] == 1 and await rig.all_serve()

    async def counts_are_what_is_held() -> bool:
        return await rig.active() == rig.held.hanging

    await admin.until(counts_are_what_is_held, "a dead worker holds places", timeout=60.0)
    assert (await rig.gateway.chat("plain.test")).status == 200
    await admin.until(restarted, "the worker is not started again", timeout=120.0)
    assert (await admin.get("/ready")).status == 200
    assert await admin.metric("mirrorgate_requests_total", leg="primary") >= before
    more = await hold(rig, LIMIT)
    assert rig.held.hanging == LIMIT
    rig.held.release()
    outcomes: Counter[str] = Counter()
    for task in tasks + more:
        with contextlib.suppress(OSError, WireError, EOFError):
            outcomes[str((await task).status)] += 1
    assert outcomes["200"] >= LIMIT
    assert await admin.metric("mirrorgate_worker_restarts_total", worker="0") == 1


async def test_a_verdict_outlives_a_worker(rig: Rig) -> None:
    """The new worker is told what the one shadow process knows."""
    cluster = mirror_cluster("mirrored")
    before = await rig.compared(cluster)
    assert before > 0
    await asyncio.gather(*(rig.gateway.chat("mirrored.test") for _ in range(8)))

    async def judged() -> bool:
        return await rig.compared(cluster) == before + 8

    await rig.gateway.admin.until(judged, "the verdict began anew")


async def test_a_change_reaches_every_worker(rig: Rig) -> None:
    """The joined generation is the one that all have reached."""
    generation = await rig.gateway.admin.generation()
    text = rig.gateway.config.read_text(encoding="utf-8")
    rig.gateway.config.write_text(text.replace("plain.test", "other.test"), encoding="utf-8")

    async def everywhere() -> bool:
        return await rig.gateway.admin.generation() > generation

    await rig.gateway.admin.until(everywhere, "a worker has not taken the change")
    answers = await asyncio.gather(*(rig.gateway.chat("other.test") for _ in range(16)))
    assert {answer.status for answer in answers} == {200}


async def test_the_end_lets_requests_end(rig: Rig) -> None:
    """SIGTERM: what is under way is answered, then all processes end, and the exit code is 0."""
    tasks = await hold(rig, 4)
    pids = [worker["pid"] for worker in await rig.workers()]
    rig.gateway.process.signal(signal.SIGTERM)

    async def draining() -> bool:
        return (await rig.gateway.admin.get("/ready")).status == 503

    await rig.gateway.admin.until(draining, "/ready does not say so")
    rig.held.release()
    assert [answer.status for answer in await asyncio.gather(*tasks)] == [200] * 4
    assert await rig.gateway.process.wait(timeout=60.0) == 0
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []  # noqa: ASYNC240 - the kernel's, not a disk's
