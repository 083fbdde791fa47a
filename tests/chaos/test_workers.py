"""Workers that are killed, or stand still, under load: the others go on, limits hold, and nothing stays held."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.chaos.asks import Ask
from mirrorgate.testing.chaos.books import Held
from mirrorgate.testing.chaos.crowd import Ended, Told, ask_each
from mirrorgate.testing.chaos.unruly import UnrulyServer
from mirrorgate.testing.gateways import RunningGateway, running_gateway, write_manifests
from mirrorgate.testing.in_loop import until
from mirrorgate.testing.manifests import (
    backend,
    gateway,
    http_route,
    mirror_to,
    reference,
    rule_cluster,
    shadow_policy,
    traffic_policy,
)
from mirrorgate.testing.processes import free_port

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]

WORKERS = 2
LIMIT = 6
AT_ONCE = 16


@dataclass(slots=True)
class Rig:
    gateway: RunningGateway
    primary: UnrulyServer
    candidate: UnrulyServer
    asked: int = field(default=0)

    def ask(self, route: str = "mirrored", **more: Any) -> Ask:
        """Make a request with a new id."""
        self.asked += 1
        return Ask(f"ask-{self.asked}", f"{route}.test", **more)

    async def tell(self, *questions: Ask) -> list[Told]:
        """Ask everything, each over a connection of its own."""
        return await ask_each(lambda: self.gateway.connect(timeout=60.0), questions, AT_ONCE, resets=True)

    def hold_against_servers(self, told: list[Told]) -> None:
        """Check what clients got against what servers gave: nothing is wrong, lost or twice."""
        assert [each for each in told if each.ended is Ended.WRONG] == []
        for each in told:
            assert self.primary.seen[each.ask.id, "primary"] <= 1
            assert self.candidate.seen[each.ask.id, "candidate"] <= 1
            if each.ended is Ended.WHOLE:
                assert self.primary.answered[each.ask.id, "primary"] == 1

    async def workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.gateway.admin.page("/overview"))["workers"]
        return found

    async def all_serve(self) -> bool:
        workers = await self.workers()
        return len(workers) == WORKERS and all(worker["ready"] for worker in workers)

    async def quiet(self) -> None:
        """Wait until every worker serves and nothing is held; kept connections are hung up."""

        async def given_back() -> bool:
            used = [await self.gateway.admin.used(rule_cluster(route)) for route in ("mirrored", "narrow")]
            mirrors = await self.gateway.admin.metric("mirrorgate_shadow_exchanges")
            busy = await self.gateway.admin.metric("mirrorgate_downstream_requests_active")
            return not any(count for each in used for count in each.values()) and not mirrors and not busy

        await self.gateway.admin.until(self.all_serve, "a worker does not serve", timeout=120.0)
        for server in (self.primary, self.candidate):
            server.hang_up()
        await self.gateway.admin.until(given_back, "something is held", timeout=60.0)

    async def held(self, *without: int) -> Held:
        """Look at what supervisor, workers and shadow hold, but for some processes."""
        pids = {str(worker["pid"]): worker["pid"] for worker in await self.workers() if worker["pid"] not in without}
        return Held.now({"supervisor": self.gateway.process.pid, "shadow": self.gateway.shadow_pid(), **pids})

    async def gives_back(self, before: Held) -> None:
        """Wait until nobody holds more than before; who asks the supervisor is among what it holds for a moment."""

        async def back() -> bool:
            now = await self.held()
            return all(now.descriptors[name] <= count for name, count in before.descriptors.items()) and all(
                now.resident[name] <= size + 48 for name, size in before.resident.items()
            )

        await self.gateway.admin.until(back, f"more is held than {before}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory, seed: int) -> AsyncIterator[Rig]:
    """Two workers before a route that is mirrored, and one with few places."""
    folder: Path = tmp_path_factory.mktemp("workers")
    async with AsyncExitStack() as stack:
        primary, candidate = [await stack.enter_async_context(UnrulyServer()) for _ in range(2)]
        port = free_port()
        objects = [
            *gateway(port),
            backend("primary", primary.port),
            backend("candidate", candidate.port),
            http_route("mirrored", reference("primary"), mirrors=[mirror_to("candidate")]),
            http_route("narrow", reference("primary")),
            shadow_policy("mirrored", journal={"content": "full"}),
            traffic_policy("mirrored", timeout={"http": {"requestTimeout": "60s"}}),
            traffic_policy(
                "narrow", circuitBreaker={"maxParallelRequests": LIMIT}, timeout={"http": {"requestTimeout": "60s"}}
            ),
        ]
        config = folder / "gateway.yaml"
        write_manifests(config, objects)
        options = {"shadow_journal": str(folder / "journal")}
        running = await stack.enter_async_context(running_gateway(config, port, options=options, workers=WORKERS))
        rig = Rig(running, primary, candidate)
        await running.admin.until(rig.all_serve, "a worker does not serve", timeout=60.0)
        rig.hold_against_servers(await rig.tell(*(rig.ask(stream=number % 2 == 0) for number in range(80))))
        await rig.tell(*(rig.ask("narrow") for _ in range(20)))
        await rig.quiet()
        yield rig


async def limit_holds(rig: Rig) -> None:
    """Check that as many requests as may are under way at once, and no more, over all workers."""
    asks = [rig.ask("narrow", faults={"primary": "hang=0"}) for _ in range(2 * LIMIT)]
    load = asyncio.create_task(rig.tell(*asks))
    await until(lambda: sum(rig.primary.seen[each.id, "primary"] for each in asks) == LIMIT)

    async def full() -> bool:
        used = await rig.gateway.admin.used(rule_cluster("narrow"))
        return bool(used["parallel"] == LIMIT)

    await rig.gateway.admin.until(full, "what is under way is not counted")
    assert sum(rig.primary.seen[each.id, "primary"] for each in asks) == LIMIT
    rig.primary.hang_up()
    told = await load
    assert [each.status for each in told] == [503] * len(asks)


async def test_a_limit_holds(rig: Rig) -> None:
    """Before anything happens."""
    await limit_holds(rig)
    await rig.quiet()


@pytest.mark.parametrize("victim", range(WORKERS))
async def test_a_worker_that_is_killed_under_load(rig: Rig, victim: int) -> None:
    """What it had is cut, visibly; the other one's answers are whole, and the places of both are free."""
    pid = (await rig.workers())[victim]["pid"]
    before = await rig.held(pid)
    asks = [rig.ask(stream=number % 2 == 0, words=4, faults={"primary": "trickle=0"}) for number in range(160)]
    hanging = [rig.ask("narrow", faults={"primary": "hang=0"}) for _ in range(LIMIT)]
    held = asyncio.create_task(rig.tell(*hanging))
    await until(lambda: all(rig.primary.seen[each.id, "primary"] for each in hanging))
    load = asyncio.create_task(rig.tell(*asks))
    await until(lambda: sum(rig.primary.answered[each.id, "primary"] for each in asks) > 40)
    os.kill(pid, signal.SIGKILL)
    told = await load
    rig.primary.hang_up()  # ends what hangs with the worker that lives
    rig.hold_against_servers(told + await held)
    cut = [each for each in told if each.ended is not Ended.WHOLE]
    assert len(cut) <= AT_ONCE, cut
    assert {each.ended for each in await held} <= {Ended.CUT, Ended.REFUSED}
    await rig.quiet()
    await limit_holds(rig)
    await rig.quiet()
    await rig.gives_back(before)


async def test_a_worker_that_stands_still_under_load(rig: Rig) -> None:
    """Its clients wait, the other one's do not; when it goes on, every answer is whole."""
    before = await rig.held()
    pid = (await rig.workers())[0]["pid"]
    asks = [rig.ask(stream=number % 2 == 0, words=4, faults={"primary": "trickle=0"}) for number in range(160)]
    load = asyncio.create_task(rig.tell(*asks))
    await until(lambda: sum(rig.primary.answered[each.id, "primary"] for each in asks) > 40)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.wait([load], timeout=3)
        # Whoever scrapes is not held up by it.
        assert await rig.gateway.admin.metric("mirrorgate_worker_up", worker="1") == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    told = await load
    rig.hold_against_servers(told)
    assert {each.ended for each in told} == {Ended.WHOLE}
    await rig.quiet()
    await limit_holds(rig)
    await rig.quiet()
    await rig.gives_back(before)


async def test_workers_that_are_killed_again_and_again(rig: Rig) -> None:
    """Whichever lives serves, and in the end both do."""
    told: list[Told] = []
    for number in range(4):
        asks = [rig.ask(stream=at % 2 == 0) for at in range(60)]
        load = asyncio.create_task(rig.tell(*asks))
        await until(lambda asks=asks: sum(rig.primary.answered[each.id, "primary"] for each in asks) > 10)  # type: ignore[misc]
        os.kill((await rig.workers())[number % WORKERS]["pid"], signal.SIGKILL)
        told += await load
        await rig.gateway.admin.until(rig.all_serve, "a worker does not serve", timeout=120.0)
    rig.hold_against_servers(told)
    assert {each.ended for each in await rig.tell(*(rig.ask() for _ in range(40)))} == {Ended.WHOLE}
    await rig.quiet()
    await limit_holds(rig)
    await rig.quiet()
