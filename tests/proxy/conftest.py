"""A gateway in the test's own loop, before a scripted backend; what it holds is checked when the test is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from mirrorgate.events import ExchangeDone
from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Backend, Script
from mirrorgate.testing.clients import Client
from mirrorgate.testing.in_loop import GatewayInLoop


@dataclass(slots=True)
class Running:
    """A gateway, the backend behind it, and the clients that the test has opened."""

    gateway: GatewayInLoop
    backend: Backend
    clients: list[Client] = field(default_factory=list)

    async def client(self, **more: Any) -> Client:
        """Connect to the gateway; the connection is closed with the test."""
        client = await Client.connect(self.gateway.port, **more)
        self.clients.append(client)
        return client

    async def done(self, count: int = 1) -> ExchangeDone:
        """Wait until so many exchanges are over, check that there are no more, and return the last."""
        done = await self.gateway.exchanges(count)
        assert len(done) == count
        return done[-1]

    @property
    def cluster(self) -> Any:
        """The counts of the route's cluster."""
        [pool] = self.gateway.plane.pools.values()
        return pool.cluster


type Run = Callable[..., Awaitable[Running]]


@pytest.fixture
async def run(manifests: Any) -> AsyncIterator[Run]:
    """Start a gateway before a scripted backend.

    `rule` and `policy` are YAML: what the rule has beside its backendRef, and the BackendTrafficPolicy's spec. `pool`
    makes the backend the endpoint of an InferencePool. `port` is where the requests go instead of the backend, `also`
    are the ports of further endpoints; `refs` are further backendRefs, each behind a comma, and `texts` manifests.
    """
    stack = AsyncExitStack()
    started: list[Running] = []

    async def start(
        script: Script,
        *addons: object,
        rule: str = "",
        policy: str = "",
        pool: bool = False,
        port: int | None = None,
        also: tuple[int, ...] = (),
        refs: str = "",
        settings: Settings | None = None,
        options: dict[str, Any] | None = None,
        texts: tuple[str, ...] = (),
    ) -> Running:
        backend = await stack.enter_async_context(Backend(script))
        target = port or backend.port
        ref = manifests.to_pool("server") if pool else manifests.to_server("server")
        to = "" if "RequestRedirect" in rule else f"{', ' if rule else ''}backendRefs: [{ref}{refs}]"
        documents = [
            manifests.route(f"[{{{rule}{to}}}]"),
            manifests.pool("server", target, *also) if pool else manifests.server("server", target, *also),
            *texts,
        ]
        if policy:
            documents.append(manifests.policy("BackendTrafficPolicy", policy))
        gateway = GatewayInLoop(manifests.snapshot(*documents), *addons, settings=settings, options=options)
        running = Running(await stack.enter_async_context(gateway), backend)
        started.append(running)
        return running

    async with stack:
        yield start
        for running in started:
            for client in running.clients:
                client.writer.transport.abort()
            await running.gateway.settled()
