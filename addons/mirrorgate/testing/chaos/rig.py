"""A gateway with a route for each kind of trouble, its two servers, and its books."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..gateways import RunningGateway, running_gateway, write_manifests
from ..manifests import Object, backend, gateway, http_route, mirror_to, reference, shadow_policy, traffic_policy
from ..processes import free_port
from .asks import Ask
from .books import Books
from .crowd import Manner, Told, ask, misbehave, pipeline
from .unruly import UnrulyServer, deaf_port

__all__ = ["ChaosRig", "chaos_rig"]

_ROUTES: Mapping[str, tuple[str, str]] = {
    "calm": ("primary", "candidate"),
    "impatient": ("primary", "candidate"),
    "narrow": ("primary", "candidate"),
    "refused": ("nobody", "candidate"),
    "deaf": ("deaf", "candidate"),
    "shadow-refused": ("primary", "nobody"),
    "shadow-deaf": ("primary", "deaf"),
}
"""By route, its primary and its candidate. The hosts are `<route>.test`."""


@dataclass(slots=True)
class ChaosRig:
    gateway: RunningGateway
    primary: UnrulyServer
    candidate: UnrulyServer
    books: Books
    rng: random.Random
    objects: Sequence[Object]
    """What the gateway is configured with."""
    _asked: int = field(default=0)

    def ask(self, route: str = "calm", **more: object) -> Ask:
        """Make a request with a new id."""
        self._asked += 1
        return Ask(f"ask-{self._asked}", f"{route}.test", **more)  # type: ignore[arg-type]

    async def tell(self, *questions: Ask, at_once: int = 16, timeout: float = 60.0) -> list[Told]:
        """Ask everything, each over a connection of its own, so many at once; the books note what came."""
        room = asyncio.Semaphore(at_once)

        async def one(question: Ask) -> Told:
            async with room, await self.gateway.connect(timeout=timeout) as client:
                return await ask(client, question)

        return self._noted(await asyncio.gather(*(one(question) for question in questions)))

    async def reuse(self, *questions: Ask) -> list[Told]:
        """Ask one after another over one connection, and over a new one where it was ended."""
        told: list[Told] = []
        client = await self.gateway.connect()
        for question in questions:
            if client.reader.at_eof() or client.writer.transport.is_closing():
                await client.close()
                client = await self.gateway.connect()
            told.append(await ask(client, question))
        await client.close()
        return self._noted(told)

    async def pipeline(self, *questions: Ask) -> list[Told]:
        """Send everything at once over one connection."""
        async with await self.gateway.connect() as client:
            return self._noted(await pipeline(client, questions))

    async def misbehave(self, question: Ask, manner: Manner) -> Told:
        """Ask in a bad manner."""
        async with await self.gateway.connect() as client:
            [told] = self._noted([await misbehave(client, question, manner, self.rng)])
            return told

    def _noted(self, told: list[Told]) -> list[Told]:
        self.books.note(*told)
        return told


@contextlib.asynccontextmanager
async def chaos_rig(
    folder: Path,
    seed: int,
    *,
    options: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    content: str = "full",
    more: Sequence[Object] = (),
) -> AsyncIterator[ChaosRig]:
    """Run a gateway that is warm, with its books open; `more` are further objects of its configuration."""
    journal, log = folder / "journal", folder / "access.log"
    settings = {"shadow_journal": str(journal), "gateway_access_log": str(log), "gateway_drain_timeout": "2"}
    # A test machine that is busy is no overload of the gateway: what is refused here is refused for its case.
    settings |= {"gateway_overload_lag": "0"}
    async with UnrulyServer() as primary, UnrulyServer() as candidate:
        with deaf_port() as deaf:
            port, config = free_port(), folder / "gateway.yaml"
            ports = {"primary": primary.port, "candidate": candidate.port, "nobody": free_port(), "deaf": deaf}
            objects = [*_manifests(port, ports, content), *more]
            write_manifests(config, objects)
            async with running_gateway(
                config, port, options=settings | dict(options or {}), environment=environment
            ) as started:
                books = Books(started, (primary, candidate), log, journal / "exchanges.jsonl")
                rig = ChaosRig(started, primary, candidate, books, random.Random(seed), objects)
                await rig.tell(*(rig.ask(stream=number % 2 == 0) for number in range(8)), at_once=2)
                await books.open()
                yield rig


def _manifests(port: int, ports: Mapping[str, int], content: str) -> list[Object]:
    objects = [*gateway(port), *(backend(name, number) for name, number in ports.items())]
    for route, (primary, candidate) in _ROUTES.items():
        seconds = "1s" if route == "impatient" else "60s"
        connect = "500ms" if route == "deaf" else "30s"
        policy: dict[str, object] = {
            "timeout": {"tcp": {"connectTimeout": connect}, "http": {"requestTimeout": seconds}}
        }
        if route == "narrow":
            policy["circuitBreaker"] = {"maxConnections": 2, "maxPendingRequests": 3, "maxParallelRequests": 2}
        objects += [
            http_route(route, reference(primary), mirrors=[mirror_to(candidate)]),
            traffic_policy(route, **policy),
            shadow_policy(
                route,
                candidate={"timeout": seconds},
                control={"percent": 100 if route in ("calm", "impatient") else 0},
                journal={"content": content},
            ),
        ]
    return objects
