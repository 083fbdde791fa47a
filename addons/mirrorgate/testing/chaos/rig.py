"""A gateway with a route for each kind of trouble, its two servers, and its books."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..certificates import Authority
from ..clients import Client
from ..gateways import RunningGateway, running_gateway, write_manifests
from ..http2_client import Http2Client
from ..manifests import (
    Object,
    backend,
    gateway,
    http_route,
    https_gateway,
    mirror_to,
    reference,
    shadow_policy,
    traffic_policy,
)
from ..processes import free_port
from .asks import Ask
from .books import Books, Server
from .crowd import Manner, Told, ask, ask_each, misbehave, pipeline
from .crowd_http2 import ask_http2
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
    secure_port: int
    """Where clients speak TLS; 0 without an authority."""
    authority: Authority | None
    objects: Sequence[Object]
    """What the gateway is configured with."""
    _asked: int = field(default=0)

    def ask(self, route: str = "calm", **more: object) -> Ask:
        """Make a request with a new id."""
        self._asked += 1
        return Ask(f"ask-{self._asked}", f"{route}.test", **more)  # type: ignore[arg-type]

    async def tell(self, *questions: Ask, at_once: int = 16, timeout: float = 60.0) -> list[Told]:
        """Ask everything, each over a connection of its own, so many at once; the books note what came."""
        return self._noted(await ask_each(lambda: self.gateway.connect(timeout=timeout), questions, at_once))

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

    async def tell_secure(self, *questions: Ask, at_once: int = 16) -> list[Told]:
        """Ask everything over TLS, each over a connection of its own."""
        assert self.authority is not None
        tls = self.authority.client()
        return self._noted(
            await ask_each(
                lambda: Client.connect(self.secure_port, timeout=60.0, tls=tls, server_name="gateway.test"),
                questions,
                at_once,
            )
        )

    async def connect_http2(self, *, secure: bool = False) -> Http2Client:
        """Open a client's connection that speaks HTTP/2: by ALPN where it is secure, else with prior knowledge."""
        if not secure:
            return await Http2Client.connect(self.gateway.port, timeout=60.0)
        assert self.authority is not None
        tls = self.authority.client("h2")
        return await Http2Client.connect(self.secure_port, tls=tls, server_name="gateway.test", timeout=60.0)

    async def tell_http2(self, *questions: Ask, connections: int = 2, secure: bool = False) -> list[Told]:
        """Ask everything at once, over so many connections."""

        async def some(mine: Sequence[Ask]) -> list[Told]:
            async with await self.connect_http2(secure=secure) as client:
                return await asyncio.gather(*(ask_http2(client, question) for question in mine))

        told = await asyncio.gather(*(some(questions[at::connections]) for at in range(connections)))
        return self._noted([each for some in told for each in some])

    def seen(self, id: str) -> int:
        """Count how often the primaries got an ask."""
        return sum(server.seen[id, "primary"] for server in self.books.servers)

    def peak(self) -> int:
        """Return the most that the gateway has had in memory, in MiB, and begin to measure anew."""
        process = Path(f"/proc/{self.gateway.process.pid}")
        [line] = [line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM")]
        (process / "clear_refs").write_text("5")
        return int(line.split()[1]) // 1024

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
    servers: Sequence[Server] = (),
    authority: Authority | None = None,
) -> AsyncIterator[ChaosRig]:
    """Run a gateway that is warm, with its books open.

    `more` are further objects of its configuration, `servers` their servers; with an authority it has a port where
    clients speak TLS, too.
    """
    journal, log = folder / "journal", folder / "access.log"
    settings = {"shadow_journal": str(journal), "gateway_access_log": str(log), "gateway_drain_timeout": "2"}
    # A test machine that is busy is no overload of the gateway: what is refused here is refused for its case.
    settings |= {"gateway_overload_lag": "0"}
    async with UnrulyServer() as primary, UnrulyServer() as candidate:
        with deaf_port() as deaf:
            port, config, secure = free_port(), folder / "gateway.yaml", 0
            ports = {"primary": primary.port, "candidate": candidate.port, "nobody": free_port(), "deaf": deaf}
            listeners = gateway(port)
            if authority is not None:
                secure = free_port()
                listeners = [
                    *https_gateway(secure, {"": ["gateway"]}, http=[port]),
                    authority.secret("gateway", "gateway.test"),
                ]
            objects = [*listeners, *_manifests(ports, content), *more]
            write_manifests(config, objects)
            async with running_gateway(
                config, port, options=settings | dict(options or {}), environment=environment
            ) as started:
                books = Books(started, (primary, candidate, *servers), log, journal / "exchanges.jsonl")
                rng = random.Random(seed)
                rig = ChaosRig(started, primary, candidate, books, rng, secure, authority, objects)
                await rig.tell(*(rig.ask(stream=number % 2 == 0) for number in range(8)), at_once=2)
                await books.open()
                yield rig


def _manifests(ports: Mapping[str, int], content: str) -> list[Object]:
    objects = [backend(name, number) for name, number in ports.items()]
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
