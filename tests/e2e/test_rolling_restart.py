"""Two gateways behind a balancer that follows /ready, restarted one after the other under load: nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mirrorgate.testing.admin_client import AdminClient, AdminError
from mirrorgate.testing.clients import Client
from mirrorgate.testing.gateways import CHAT, chat_body, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, mirror_to, reference
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import Process, free_port, gateway_command

pytestmark = pytest.mark.e2e

_CLIENTS = 8
_PROBE = 0.1


@dataclass(slots=True)
class Replica:
    """One gateway on ports of its own."""

    config: Path
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    ready: bool = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        """Run it, and wait until it is ready."""
        options = {"gateway_drain_delay": "2", "gateway_drain_timeout": "20", "shadow_journal": str(self.journal)}
        async with Process(gateway_command(self.config, self.admin_port, options=options), grace=25) as process:
            await process.ready(self.admin_port)
            yield process

    @property
    def journal(self) -> Path:
        return self.config.parent / f"journal-{self.port}"

    async def probe(self) -> None:
        """Follow /ready, as an endpoint controller does."""
        admin = AdminClient(self.admin_port, timeout=2)
        while True:
            try:
                self.ready = (await admin.get("/ready")).status == 200
            except AdminError:
                self.ready = False
            await asyncio.sleep(_PROBE)


@dataclass(slots=True)
class Load:
    """Clients that keep their connections, ask one thing after the other, and never try again."""

    replicas: list[Replica]
    counts: dict[int, int] = field(default_factory=dict)
    """Answers by port."""
    stopping: bool = False

    async def client(self, number: int) -> None:
        """Ask until told to stop; an answer that is not whole is an error."""
        turns: Iterator[int] = itertools.count(number)
        while not self.stopping:
            ready = [replica for replica in self.replicas if replica.ready]
            replica = ready[next(turns) % len(ready)]
            async with await Client.connect(replica.port) as client:
                for _ in range(20):
                    body = chat_body(stream=number % 2 == 0)
                    answer = await client.request("POST", CHAT, [("host", "chat.test")], body)
                    assert answer.status == 200, answer.body
                    if number % 2 == 0:
                        assert answer.events()[-1] == "[DONE]"
                    self.counts[replica.port] = self.counts.get(replica.port, 0) + 1
                    if (answer.head.header("connection") or "").lower() == "close" or self.stopping:
                        break

    async def at_least(self, replica: Replica, count: int) -> None:
        """Wait until a replica has answered so many more."""
        wanted = self.counts.get(replica.port, 0) + count
        async with asyncio.timeout(30):
            while self.counts.get(replica.port, 0) < wanted:  # noqa: ASYNC110 - counts send no events
                await asyncio.sleep(0.01)


async def test_a_rolling_restart_loses_no_request(tmp_path: Path) -> None:
    """Every request of every client is answered whole, at the first try; each gateway ends by itself with code 0."""
    replicas = [Replica(tmp_path / f"{name}.yaml") for name in ("a", "b")]
    async with (
        FakeModelServer(Behaviour(answer="one two three four", itl=0.02)) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        running = []
        for replica in replicas:
            mirrors = [mirror_to("server")]
            route = http_route("chat", reference("server"), mirrors=mirrors)
            write_manifests(replica.config, [*gateway(replica.port), backend("server", server.port), route])
            running.append(await stack.enter_async_context(replica.running()))
            replica.ready = True
        load = Load(replicas)
        async with asyncio.timeout(90), asyncio.TaskGroup() as group:
            probes = [group.create_task(replica.probe()) for replica in replicas]
            clients = [group.create_task(load.client(number)) for number in range(_CLIENTS)]
            for number, replica in enumerate(replicas):
                await load.at_least(replica, 10)
                process = running[number]
                process.signal(signal.SIGTERM)
                assert await process.wait(30) == 0
                assert "are cut" not in process.text
                await stack.enter_async_context(replica.running())
                await load.at_least(replica, 10)
            load.stopping = True
            await asyncio.gather(*clients)
            for probe in probes:
                probe.cancel()
    assert sum(load.counts.values()) >= 40
    for replica in replicas:
        assert any(replica.journal.iterdir()), "the journal is on the disk"


async def test_keep_alive_connections_are_closed_politely(tmp_path: Path) -> None:
    """In the delay every answer says that it is the connection's last; new connections are still taken."""
    replica = Replica(tmp_path / "a.yaml")
    async with FakeModelServer(Behaviour(answer="fine")) as server:
        route = http_route("chat", reference("server"))
        write_manifests(replica.config, [*gateway(replica.port), backend("server", server.port), route])
        async with replica.running() as process, await Client.connect(replica.port) as client:
            answer = await client.request("POST", CHAT, [("host", "chat.test")], chat_body())
            assert answer.head.header("connection") is None
            process.signal(signal.SIGTERM)
            admin = AdminClient(replica.admin_port)

            async def draining() -> bool:
                return (await admin.get("/ready")).status == 503

            await admin.until(draining, "/ready does not change")
            answer = await client.request("POST", CHAT, [("host", "chat.test")], chat_body())
            assert (answer.status, answer.head.header("connection")) == (200, "close")
            assert await client.closed()
            async with await Client.connect(replica.port) as late:
                answer = await late.request("POST", CHAT, [("host", "chat.test")], chat_body())
                assert (answer.status, answer.head.header("connection")) == (200, "close")
            assert await process.wait(30) == 0
