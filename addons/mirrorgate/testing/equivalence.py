"""The same addon under mitmproxy's own reverse mode and under ours: what each lets it see, and what the client gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import http
from mitmproxy.addons import next_layer, proxyserver
from mitmproxy.hooks import RunningHook
from mitmproxy.test import taddons
from mitmproxy.utils import asyncio_utils

from ..proxy.dataplane import Settings
from ..snapshot import Snapshot
from .backends import Backend, Script, answering, response_bytes
from .clients import Client, WireError, request_bytes
from .in_loop import GatewayInLoop, until

__all__ = [
    "HOOKS",
    "Case",
    "Recorder",
    "Seen",
    "World",
    "different",
    "run_looked_at_or_not",
    "run_twice",
    "see_the_same",
]

_OURS = frozenset(
    "x-forwarded-for x-forwarded-proto x-request-id date server connection host content-length "
    "transfer-encoding".split()
)
"""Fields that the two write differently; framing is compared through what the other side reads."""

_NOBODY = 9
"""A port where nobody listens."""

HOOKS = ("requestheaders", "request", "responseheaders", "response", "error")


@dataclass
class Seen:
    """What a recorder saw of a flow at one hook."""

    hook: str
    flow: int
    facts: dict[str, Any]


class Recorder:
    """Notes every hook and what there is to see."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.flows: list[http.HTTPFlow] = []
        self.connected = 0
        self.disconnected = 0
        for name in HOOKS:
            setattr(self, name, self._noting(name))

    def client_connected(self, client: object) -> None:
        self.connected += 1
        self.seen.append(Seen("client_connected", 0, {}))

    def client_disconnected(self, client: object) -> None:
        self.disconnected += 1
        self.seen.append(Seen("client_disconnected", 0, {}))

    def server_connect(self, data: Any) -> None:
        self.seen.append(Seen("server_connect", 0, {"address": data.server.address is not None}))

    def server_connected(self, data: Any) -> None:
        server = data.server
        self.seen.append(Seen("server_connected", 0, {"open": server.connected, "peer": bool(server.peername)}))

    def server_connect_error(self, data: Any) -> None:
        self.seen.append(Seen("server_connect_error", 0, {"error": bool(data.server.error)}))

    @property
    def names(self) -> list[str]:
        """The hooks in their order."""
        return [seen.hook for seen in self.seen]

    @property
    def quiet(self) -> bool:
        """Whether every client has gone and every flow has come to its end."""
        ends = sum(seen.hook in ("response", "error") for seen in self.seen)
        return self.connected == self.disconnected and ends >= len(self.flows)

    def _noting(self, name: str) -> Callable[[http.HTTPFlow], None]:
        def note(flow: http.HTTPFlow) -> None:
            if flow not in self.flows:
                self.flows.append(flow)
            self.seen.append(Seen(name, self.flows.index(flow), _facts(flow)))

        return note


def _facts(flow: http.HTTPFlow) -> dict[str, Any]:
    """Return what an addon sees of a flow, as far as it should be the same everywhere."""
    request, response = flow.request, flow.response
    seen: dict[str, Any] = {
        "live": flow.live,
        "error": None if flow.error is None else True,
        "replay": flow.is_replay,
        "client": (flow.client_conn.connected, bool(flow.client_conn.peername), bool(flow.client_conn.timestamp_start)),
        "mode": type(flow.client_conn.proxy_mode).__name__,
        "line": (request.method, request.path, request.http_version, request.scheme, request.authority),
        "host": request.host_header,
        "fields": [field for field in request.headers.items() if field[0].lower() not in _OURS],
        "request": request.raw_content,
        "request times": (bool(request.timestamp_start), bool(request.timestamp_end)),
        "request trailers": request.trailers is not None,
        "request stream": bool(request.stream),
    }
    if response is not None:
        seen |= {
            "server": (bool(flow.server_conn.peername), bool(flow.server_conn.timestamp_tcp_setup)),
            "status": (response.status_code, response.reason, response.http_version),
            "answer fields": [field for field in response.headers.items() if field[0].lower() not in _OURS],
            "answer": response.raw_content,
            "answer times": (bool(response.timestamp_start), bool(response.timestamp_end)),
            "answer stream": bool(response.stream),
        }
    return seen


@dataclass
class World:
    """A proxy, its addons and its backend."""

    port: int
    backend: Backend
    recorder: Recorder
    addon: Any
    got: list[Any] = field(default_factory=list)
    """What the client got."""
    clients: list[Client] = field(default_factory=list)

    async def client(self) -> Client:
        """Connect a client; it is closed at the end."""
        client = await Client.connect(self.port, timeout=30)
        self.clients.append(client)
        return client

    async def ask(self, client: Client, method: str, target: str, **more: Any) -> None:
        """Send a request and note its answer."""
        await client.send(request_bytes(method, target, **more))
        await self.take(client, method)

    async def take(self, client: Client, method: str = "GET") -> None:
        """Note an answer, or that there was none."""
        try:
            answer = await client.answer(method)
        except (WireError, ConnectionError):
            self.got.append("no whole answer")
            return
        fields = [(name.lower(), value) for name, value in answer.head.headers if name.lower() not in _OURS]
        informational = [head.status for head in answer.informational]
        self.got.append((informational, answer.status, answer.head.reason, fields, answer.body))


@asynccontextmanager
async def _stock(addons: tuple[object, ...], port: int, options: dict[str, Any]) -> AsyncIterator[int]:
    """Run mitmproxy's reverse mode in this loop."""
    server = proxyserver.Proxyserver()
    context = taddons.context(server, next_layer.NextLayer(), *addons)
    context.options.update(
        mode=[f"reverse:http://127.0.0.1:{port}@127.0.0.1:0"],
        connection_strategy="lazy",
        keep_host_header=True,
        **options,
    )
    with asyncio_utils.set_eager_task_factory():
        assert await server.setup_servers()
        await context.master.addons.trigger_event(RunningHook())
        try:
            yield server.listen_addrs()[0][1]
        finally:
            await server.servers.update([])
            for handler in list(server.connections.values()):
                for transport in list(handler.transports.values()):
                    if transport.handler is not None:
                        transport.handler.cancel("the test is over")
            await until(lambda: not server.connections)
            await asyncio.sleep(0)


@asynccontextmanager
async def _ours(snapshot: Snapshot, addons: tuple[object, ...], settings: Settings | None) -> AsyncIterator[int]:
    """Run our mode in this loop."""
    async with GatewayInLoop(snapshot, *addons, settings=settings or Settings(stream_over=None)) as gateway:
        yield gateway.port
        await gateway.settled()


type Act = Callable[[World], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """What a backend, an addon and a client do."""

    name: str
    act: Act
    script: Script | None = None
    """What the backend does; by default it answers everything alike."""
    addon: Callable[[], Any] = object
    settings: Settings | None = None
    options: dict[str, Any] = field(default_factory=dict)
    refused: bool = False
    """Whether nothing listens where the backend should be."""
    hooks: tuple[str, ...] | None = None
    """Ours, where they differ."""
    got: tuple[Any, ...] | None = None
    """The statuses that the client gets from ours, where they differ."""
    unlike: frozenset[str] = frozenset()
    """Facts that are not compared, since ours differ on purpose."""


async def run_looked_at_or_not(case: Case, snapshot_of: Callable[[int], Snapshot]) -> tuple[World, World]:
    """Run a case in our world with a recorder, so that every exchange has a flow, and with nobody who looks."""
    worlds: list[World] = []
    for addons in ((Recorder(),), ()):
        async with Backend(case.script or answering(response_bytes(200, b"hello", ("x-upstream", "1")))) as backend:
            snapshot = snapshot_of(_NOBODY if case.refused else backend.port)
            async with _ours(snapshot, addons, case.settings) as listening:
                world = World(listening, backend, Recorder(), None)
                async with asyncio.timeout(20):
                    await case.act(world)
                for client in world.clients:
                    client.writer.transport.abort()
        worlds.append(world)
    return worlds[0], worlds[1]


async def run_twice(case: Case, snapshot_of: Callable[[int], Snapshot]) -> tuple[World, World]:
    """Run a case in mitmproxy's world and in ours; `snapshot_of` makes one whose only rule leads to a port."""
    worlds: list[World] = []
    script = case.script or answering(response_bytes(200, b"hello", ("x-upstream", "1")))
    for stock in (True, False):
        recorder, addon = Recorder(), case.addon()
        addons = (recorder, addon)
        async with Backend(script) as backend:
            port = _NOBODY if case.refused else backend.port
            proxy = _stock(addons, port, case.options) if stock else _ours(snapshot_of(port), addons, case.settings)
            async with proxy as listening:
                world = World(listening, backend, recorder, addon)
                async with asyncio.timeout(20):
                    await case.act(world)
                for client in world.clients:
                    client.writer.transport.abort()
                await until(lambda recorder=recorder: recorder.quiet, what=f"{recorder.names}")  # type: ignore[misc]
        worlds.append(world)
    return worlds[0], worlds[1]


async def see_the_same(case: Case, manifests: Any) -> None:
    """Check that a case makes the same hooks in the same order, with the same facts at each, and the same answers in
    both worlds; where ours differs on purpose, that it does what the case states."""
    route = manifests.route(f"[{{backendRefs: [{manifests.to_server('server')}]}}]")
    theirs, ours = await run_twice(case, lambda port: manifests.snapshot(route, manifests.server("server", port)))
    assert ours.recorder.names == list(case.hooks or theirs.recorder.names)
    if case.got is None:
        assert ours.got == theirs.got
    else:
        assert tuple(got[1] for got in ours.got) == case.got
    if case.hooks is None:
        for stock, our in zip(theirs.recorder.seen, ours.recorder.seen, strict=True):
            expected = {key: value for key, value in stock.facts.items() if key not in case.unlike}
            assert {key: our.facts[key] for key in our.facts if key not in case.unlike} == expected, our.hook
    if hasattr(ours.addon, "pieces"):
        assert b"".join(ours.addon.pieces) == b"".join(theirs.addon.pieces)


def different(cases: Mapping[str, Case]) -> set[str]:
    """Return the names of the cases in which ours differs on purpose."""
    return {name for name, case in cases.items() if case.hooks or case.got or case.unlike}
