"""The circuit breaker against what a real Envoy did with real sockets: every staggered row of one worker.

The rows were measured with requests 60 ms apart that the server holds for 800 ms, so that all have arrived before the
first one ends. Here nothing is timed: the next request is sent when the one before it is refused, held by the server or
queued, and the server lets go when all are there. One gateway has a route, limits and servers for each row.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from mirrorgate.testing.breaker_rows import ROWS
from mirrorgate.testing.clients import Answer
from mirrorgate.testing.gateways import RunningGateway, running_gateway, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, reference, rule_cluster, traffic_policy
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.faults import Fault, FaultKind
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

HELD = Behaviour(answer="ok", models=("fake-model",), faults=(Fault(FaultKind.HANG_BEFORE_HEADERS),))


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    servers: tuple[tuple[FakeModelServer, ...], ...]
    """Of each row."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One gateway with a route for each row."""
    async with contextlib.AsyncExitStack() as stack:
        servers = []
        port = free_port()
        objects = gateway(port)
        for number, row in enumerate(ROWS):
            own = [await stack.enter_async_context(FakeModelServer(HELD)) for _ in range(row.endpoints)]
            servers.append(tuple(own))
            name = f"row-{number}"
            objects += [
                backend(name, *(server.port for server in own)),
                http_route(name, reference(name)),
                # Round robin, as measured: which endpoint is next must not depend on what runs.
                traffic_policy(name, circuitBreaker=row.limits, loadBalancer={"type": "RoundRobin"}),
            ]
        config: Path = tmp_path_factory.mktemp("rows") / "gateway.yaml"
        write_manifests(config, objects)
        running = await stack.enter_async_context(running_gateway(config, port))
        yield Rig(running, tuple(servers))


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda number: f"row{number}")
async def test_a_staggered_row(rig: Rig, number: int) -> None:
    """Statuses, queueing, concurrency at the servers, connections and counters are Envoy's."""
    row, servers, name = ROWS[number], rig.servers[number], f"row-{number}"
    cluster, admin = rule_cluster(name), rig.gateway.admin
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Answer]] = []
    queued = most_held = 0

    def held() -> int:
        return sum(server.hanging for server in servers)

    def answered() -> int:
        return sum(task.done() for task in tasks)

    async def settled() -> bool:
        """Tell whether every request so far is answered, held or queued."""
        nonlocal queued
        view = await admin.cluster(cluster)
        # A request is pending, too, while its connection is made; what queues behind one that is made is settled.
        if view["connecting"]:
            return False
        queued = view["limits"]["pending"]["used"]
        return answered() + held() + queued == len(tasks)

    for _ in range(row.requests):
        tasks.append(loop.create_task(rig.gateway.chat(f"{name}.test")))
        await admin.until(settled, "a request is neither refused nor held nor queued")
    queued_in_all = queued
    while answered() < row.requests:
        most_held = max(most_held, held())
        due = answered() + held()
        for server in servers:
            server.release()

        async def next_round(due: int = due) -> bool:
            return answered() >= due and await settled()

        await admin.until(next_round, "a request is lost")
    statuses = Counter(task.result().status for task in tasks)
    assert (statuses[200], statuses[503], queued_in_all) == (row.ok, row.refused, row.queued)
    assert (most_held, sum(server.connections_made for server in servers)) == (row.most_active, row.connections_made)
    counted = [
        await admin.metric(f"envoy_cluster_upstream_{counter}", envoy_cluster_name=cluster)
        for counter in ("rq_pending_overflow", "rq_active_overflow", "cx_overflow")
    ]
    assert tuple(counted) == row.overflows
    assert not any((await admin.used(cluster) | {"connections": 0}).values())
