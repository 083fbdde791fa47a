"""The same addons under mitmproxy's own reverse mode and under ours: the same hooks, and the same things to see.

Every case runs twice, with a scripted backend and a raw client, and what the addon saw and the client got is compared.
Where the two differ on purpose, `DIFFERENCES` says why, and what ours does is stated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.addons import next_layer, proxyserver
from mitmproxy.hooks import RunningHook
from mitmproxy.test import taddons
from mitmproxy.utils import asyncio_utils

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Backend, Conversation, Script, answering, response_bytes
from mirrorgate.testing.clients import Client, WireError, request_bytes
from mirrorgate.testing.in_loop import GatewayInLoop, until

DIFFERENCES = {
    "events that stream": "an event stream streams without being asked to, so `stream` is set when addons look",
    "events that an addon reads": "as above",
    "events that an addon changes": "as above",
    "refused": "we answer Envoy's 503 in text and keep the connection; mitmproxy an HTML 502 with an internal address",
    "reset before the head": "as above",
    "cut inside a buffered body": "as above",
    "a body over the limit": "a refusal is a response that addons see and may change; mitmproxy ends with `error`",
    "a chunked body over the limit": "as above",
    "malformed": "bytes that are no request have no flow; mitmproxy shows one with an error",
    "an early answer": "the answer ends the exchange; mitmproxy goes on reading an upload that nobody wants",
}
"""What differs on purpose, by case, and why. Trailers, stream functions that raise, a kill of a held flow, and a
response that is set together with `request.stream` hang in mitmproxy (measured): theirs are tests of ours alone."""

OURS = frozenset(
    "x-forwarded-for x-forwarded-proto x-request-id date server connection host content-length transfer-encoding".split()
)
"""Fields that the two write differently; framing is compared through what the other side reads."""

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
        self.seen.append(Seen("server_connected", 0, {"open": data.server.connected, "peer": bool(data.server.peername)}))

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
            self.seen.append(Seen(name, self.flows.index(flow), facts(flow)))

        return note


def facts(flow: http.HTTPFlow) -> dict[str, Any]:
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
        "fields": [field for field in request.headers.items() if field[0].lower() not in OURS],
        "request": request.raw_content,
        "request times": (bool(request.timestamp_start), bool(request.timestamp_end)),
        "request trailers": request.trailers is not None,
        "request stream": bool(request.stream),
    }
    if response is not None:
        seen |= {
            "server": (bool(flow.server_conn.peername), bool(flow.server_conn.timestamp_tcp_setup)),
            "status": (response.status_code, response.reason, response.http_version),
            "answer fields": [field for field in response.headers.items() if field[0].lower() not in OURS],
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
        client = await Client.connect(self.port, timeout=10)
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
        fields = [(name.lower(), value) for name, value in answer.head.headers if name.lower() not in OURS]
        informational = [head.status for head in answer.informational]
        self.got.append((informational, answer.status, answer.head.reason, fields, answer.body))


@asynccontextmanager
async def stock(addons: tuple[object, ...], port: int, options: dict[str, Any]) -> AsyncIterator[int]:
    """Run mitmproxy's reverse mode in this loop."""
    server = proxyserver.Proxyserver()
    context = taddons.context(server, next_layer.NextLayer(), *addons)
    context.options.update(
        mode=[f"reverse:http://127.0.0.1:{port}@127.0.0.1:0"], connection_strategy="lazy", keep_host_header=True, **options
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
async def ours(
    manifests: Any, addons: tuple[object, ...], port: int, settings: Settings | None
) -> AsyncIterator[int]:
    """Run our mode in this loop."""
    route = manifests.route(f"[{{backendRefs: [{manifests.to_server('server')}]}}]")
    snapshot = manifests.snapshot(route, manifests.server("server", port))
    async with GatewayInLoop(snapshot, *addons, settings=settings or Settings(stream_over=None)) as gateway:
        yield gateway.port
        await gateway.settled()


type Act = Callable[[World], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """What a backend, an addon and a client do."""

    name: str
    act: Act
    script: Script = answering(response_bytes(200, b"hello", ("x-upstream", "1")))
    addon: Callable[[], Any] = object
    settings: Settings | None = None
    options: dict[str, Any] = field(default_factory=dict)
    refused: bool = False
    """Whether nothing listens where the backend should be."""
    hooks: tuple[str, ...] | None = None
    """Ours, where they differ."""
    got: tuple[Any, ...] | None = None
    """What the client gets from ours, where it differs: statuses, or what `World.got` has."""


CASES: dict[str, Case] = {}


def case(name: str, **more: Any) -> Callable[[Act], Act]:
    """Make a case of what a client does."""

    def make(act: Act) -> Act:
        assert name not in CASES
        CASES[name] = Case(name, act, **more)
        return act

    return make


async def run_in(world: World, case: Case) -> None:
    """Let the client act, and wait for the end of everything."""
    async with asyncio.timeout(20):
        await case.act(world)
    for client in world.clients:
        client.writer.transport.abort()
    await until(lambda: world.recorder.quiet, what=f"{world.recorder.names}")


def answer_bytes(status: int = 200, body: bytes = b"hello", **more: Any) -> Script:
    """Make a backend that answers everything alike."""
    return answering(response_bytes(status, body, ("x-upstream", "1"), **more))


# What clients do


async def one_get(world: World) -> None:
    """Ask once."""
    await world.ask(await world.client(), "GET", "/path?query")


async def one_post(world: World) -> None:
    """Ask once, with a body."""
    await world.ask(await world.client(), "POST", "/path", headers=[("x-client", "1")], body=b"ping")


case("a get")(one_get)
case("a post")(one_post)
case("a chunked answer", script=answer_bytes(chunked=True))(one_get)


@case("several requests on one connection")
async def _several(world: World) -> None:
    client = await world.client()
    for method, body in (("GET", b""), ("POST", b"ping"), ("GET", b"")):
        await world.ask(client, method, "/", body=body)


@case("pipelined requests")
async def _pipelined(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("GET", "/1") + request_bytes("POST", "/2", body=b"x") + request_bytes("GET", "/3"))
    for _ in range(3):
        await world.take(client)


@case("a chunked request")
async def _chunked(world: World) -> None:
    await world.ask(await world.client(), "POST", "/", chunks=[b"pi", b"ng"])


@case("204 and 304", script=answering(lambda r: b"HTTP/1.1 %b\r\n\r\n" % r.target[1:].replace("%20", " ").encode()))
async def _bodiless(world: World) -> None:
    client = await world.client()
    for target in ("/204%20No%20Content", "/304%20Not%20Modified"):
        await world.ask(client, "GET", target)


@case("head", script=answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"))
async def _head(world: World) -> None:
    await world.ask(await world.client(), "HEAD", "/")


@case("an answer until the close", script=lambda talk: _until_close(talk))
async def _to_close(world: World) -> None:
    await world.ask(await world.client(), "GET", "/")


async def _until_close(talk: Conversation) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\n\r\nuntil the close")


@case("expect")
async def _expect(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("POST", "/", [("expect", "100-continue"), ("content-length", "4")]))
    head = await client.head()
    world.got.append(head.status)
    await client.send(b"ping")
    await world.take(client)


# Streams


class Stream:
    """Streams what it is told to."""

    def __init__(self, request: Any = None, response: Any = None) -> None:
        self.pieces: list[bytes] = []
        self._request = request
        self._response = response

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if self._request is not None:
            flow.request.stream = self._of(self._request)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        if self._response is not None:
            flow.response.stream = self._of(self._response)

    def _of(self, how: Any) -> Any:
        return how if how is True else lambda piece: how(self, piece)

    def note(self, piece: bytes) -> bytes:
        """Pass a piece on and note it."""
        self.pieces.append(piece)
        return piece

    def swell(self, piece: bytes) -> list[bytes]:
        """Make two of a piece, and two of the end."""
        return [piece.upper(), b"+"] if piece else [b"the ", b"end"]


async def events(talk: Conversation) -> None:
    """Say three events, each when it is asked for."""
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for number in range(3):
        await talk.say(b"9\r\ndata: %d\n\n\r\n" % number)
    await talk.say(b"0\r\n\r\n")
    await talk.gone()


case("events that stream", script=events, addon=lambda: Stream(response=True))(one_get)
case("events that an addon reads", script=events, addon=lambda: Stream(response=Stream.note))(one_get)
case("events that an addon changes", script=events, addon=lambda: Stream(response=Stream.swell))(one_get)


@case("a streamed upload", addon=lambda: Stream(request=True))
async def _upload(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("POST", "/", [("content-length", "8")], b"ping"))
    await until(lambda: world.backend.conversations)
    await client.send(b"pong")
    await world.take(client)
    world.got.append([request.body for request in world.backend.requests])


@case("an upload that an addon changes", addon=lambda: Stream(request=Stream.swell))
async def _swollen_upload(world: World) -> None:
    client = await world.client()
    request = request_bytes("POST", "/", chunks=[b"ping"])
    await client.send(request[:-5])
    await until(lambda: world.backend.conversations)
    await client.send(request[-5:])
    await world.take(client)
    world.got.append([request.body for request in world.backend.requests])


@case(
    "large bodies stream by themselves",
    script=answering(lambda r: response_bytes(200, r.body * 2)),
    settings=Settings(stream_over=1000),
    options={"stream_large_bodies": "1000"},
)
async def _large(world: World) -> None:
    client = await world.client()
    for size in (600, 1500):
        request = request_bytes("POST", "/", body=b"x" * size)
        await client.send(request[:-500])
        await asyncio.sleep(0.02)  # so that the proxy sees an upload that is under way
        await client.send(request[-500:])
        await world.take(client)


@case(
    "a chunked upload turns out to be large",
    settings=Settings(stream_over=1000),
    options={"stream_large_bodies": "1000"},
)
async def _late(world: World) -> None:
    client = await world.client()
    request = request_bytes("POST", "/", chunks=[b"x" * 700] * 3)
    await client.send(request[:-5])
    await until(lambda: world.backend.conversations)
    await client.send(request[-5:])
    await world.take(client)
    world.got.append([request.body for request in world.backend.requests])


# Addons that answer, change, wait, kill


class Replies:
    """Answers in one hook."""

    def __init__(self, hook: str) -> None:
        setattr(self, hook, self.reply)

    def reply(self, flow: http.HTTPFlow) -> None:
        flow.response = http.Response.make(418, b"by addon", {"x-addon": "1"})


for _hook in ("requestheaders", "request", "response"):
    case(f"an addon answers in {_hook}", addon=lambda hook=_hook: Replies(hook))(one_post)


class Edits:
    """Changes requests and answers."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        flow.request.headers["x-added"] = "1"
        flow.request.headers.pop("x-client", None)

    def request(self, flow: http.HTTPFlow) -> None:
        flow.request.method = "PUT"
        flow.request.path = "/changed?more"
        flow.request.content = b"changed, and longer"

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.headers["x-added"] = "2"

    def response(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.status_code = 203
        flow.response.reason = "Changed"
        flow.response.content = flow.response.content[::-1] + b" changed"  # type: ignore[index]


@case("edits", addon=Edits)
async def _edits(world: World) -> None:
    await one_post(world)
    [request] = world.backend.requests
    world.got.append((request.method, request.target, request.body, request.header("x-added"), request.header("x-client")))


class Kills:
    """Kills in one hook."""

    def __init__(self, hook: str, stream: bool = False) -> None:
        self.stream = stream
        setattr(self, hook, self.kill)

    def kill(self, flow: http.HTTPFlow) -> None:
        flow.kill()


for _hook in HOOKS[:4]:
    case(f"an addon kills in {_hook}", addon=lambda hook=_hook: Kills(hook))(one_post)


class Slow:
    """Awaits in every hook."""

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        await asyncio.sleep(0.01)

    request = responseheaders = response = requestheaders


@case("addons that await", addon=Slow)
async def _slow(world: World) -> None:
    await _several(world)


class Raises:
    """Fails in every hook."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        raise ValueError("a bug of an addon's")

    request = responseheaders = response = requestheaders


case("addons that raise", addon=Raises)(one_post)


class Intercepts:
    """Intercepts in one hook."""

    def __init__(self, hook: str) -> None:
        self.flow: http.HTTPFlow | None = None
        setattr(self, hook, self.hold)

    def hold(self, flow: http.HTTPFlow) -> None:
        flow.intercept()
        self.flow = flow


def intercepted(hook: str) -> None:
    """Make a case of a person who intercepts in a hook, and resumes."""

    @case(f"a person resumes in {hook}", addon=lambda: Intercepts(hook))
    async def resume(world: World) -> None:
        client = await world.client()
        await client.send(request_bytes("POST", "/", body=b"ping"))
        await until(lambda: world.addon.flow is not None)
        await asyncio.sleep(0.02)  # so that what must not go on would have gone on
        world.got.append(world.recorder.names[-1])
        world.addon.flow.resume()
        await world.take(client)


for _hook in HOOKS[:4]:
    intercepted(_hook)


# Ends that are none


class Waits:
    """Waits in one hook until it is told."""

    def __init__(self, hook: str) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        setattr(self, hook, self.wait)

    async def wait(self, flow: http.HTTPFlow) -> None:
        self.reached.set()
        await self.go.wait()


def left(hook: str) -> None:
    """Make a case of a client that leaves while an addon waits."""

    @case(f"the client leaves while {hook} waits", addon=lambda: Waits(hook))
    async def leave(world: World) -> None:
        client = await world.client()
        await client.send(request_bytes("POST", "/", body=b"ping"))
        await world.addon.reached.wait()
        client.abort()
        await until(lambda: world.recorder.disconnected == 1)
        world.addon.go.set()


for _hook in HOOKS[:4]:
    left(_hook)


@case("the client leaves inside its upload")
async def _leaves_uploading(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("POST", "/", [("content-length", "9")], b"ping"))
    await until(lambda: "requestheaders" in world.recorder.names)
    client.abort()


@case("the client leaves inside an upload that streams", addon=lambda: Stream(request=True))
async def _leaves_streaming(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("POST", "/", [("content-length", "9")], b"ping"))
    await until(lambda: "server_connected" in world.recorder.names)
    client.abort()


async def hangs(talk: Conversation) -> None:
    """Never answer."""
    await talk.request()
    await talk.gone()


async def hangs_inside(talk: Conversation) -> None:
    """Answer in part."""
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\nx-upstream: 1\r\ncontent-length: 9\r\n\r\nhell")
    await talk.gone()


@case("the client leaves before the answer", script=hangs)
async def _leaves_waiting(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: world.backend.requests)
    client.abort()


@case("leaves inside the answer, buffered", script=hangs_inside)
async def _leaves_inside(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: "responseheaders" in world.recorder.names)
    client.abort()


@case("leaves inside the answer, streamed", script=hangs_inside, addon=lambda: Stream(response=True))
async def _leaves_inside_stream(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("GET", "/"))
    await client.head()
    client.abort()


@case("leaves with a half-close", script=hangs)
async def _half_closes(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: world.backend.requests)
    client.half_close()
    world.got.append(await client.closed())


NO_ANSWER = ("client_connected", "requestheaders", "request", "server_connect")

case("refused", refused=True, got=(503,))(one_get)


async def resets(talk: Conversation) -> None:
    """Reset the connection when the request is there."""
    await talk.request()
    talk.reset()


async def cuts(talk: Conversation) -> None:
    """Reset the connection inside the answer, once the head has been seen."""
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\nx-upstream: 1\r\ncontent-length: 9\r\n\r\nhell")
    await asyncio.sleep(0.05)  # a reset takes with it what has not been read
    talk.reset()


case("reset before the head", script=resets, got=(503,))(one_get)
case("cut inside a buffered body", script=cuts, got=(502,))(one_get)
case("cut inside a streamed body", script=cuts, addon=lambda: Stream(response=True))(one_get)

REFUSED = ("client_connected", "requestheaders", "responseheaders", "response", "client_disconnected")
LIMIT = {"settings": Settings(stream_over=None, body_limit=1000), "options": {"body_size_limit": "1000"}}


@case("a body over the limit", hooks=REFUSED, got=(413,), **LIMIT)
async def _too_large(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("POST", "/", [("content-length", "2000")], b"x" * 100))
    await world.take(client)


@case("a chunked body over the limit", hooks=REFUSED, got=(413,), **LIMIT)
async def _grows_too_large(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("POST", "/", chunks=[b"x" * 700] * 2)[:-5])
    await world.take(client)


@case("malformed", hooks=("client_connected", "client_disconnected"), got=(400,))
async def _malformed(world: World) -> None:
    client = await world.client()
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n")
    await world.take(client)


async def answers_early(talk: Conversation) -> None:
    """Answer on the head alone."""
    await talk.head()
    await talk.answer(200, b"early")
    await talk.gone()


@case(
    "an early answer",
    script=answers_early,
    addon=lambda: Stream(request=True),
    hooks=(
        "client_connected", "requestheaders", "server_connect", "server_connected", "responseheaders", "response",
        "client_disconnected",
    ),
)  # fmt: skip
async def _early(world: World) -> None:
    client = await world.client()
    await client.send(request_bytes("POST", "/", [("content-length", "8")], b"ping"))
    await world.take(client)
    await client.send(b"pong")
    if "request" not in world.recorder.names:
        client.abort()


UNLIKE = dict.fromkeys((name for name in CASES if name.startswith("events that")), {"answer stream"})
"""Facts that differ on purpose, by case."""


@pytest.mark.parametrize("name", CASES)
async def test_addons_see_the_same(name: str, manifests: Any) -> None:
    """The same hooks in the same order, the same facts at each, and the client gets the same."""
    case = CASES[name]
    worlds: list[World] = []
    for kind in ("stock", "ours"):
        recorder, addon = Recorder(), case.addon()
        async with Backend(case.script) as backend:
            port = 9 if case.refused else backend.port
            addons = (recorder, addon)
            proxy = stock(addons, port, case.options) if kind == "stock" else ours(manifests, addons, port, case.settings)
            async with proxy as listening:
                world = World(listening, backend, recorder, addon)
                await run_in(world, case)
        worlds.append(world)
    theirs, our = worlds
    assert our.recorder.names == list(case.hooks or theirs.recorder.names)
    if case.got is None:
        assert our.got == theirs.got
    else:
        assert tuple(got[1] for got in our.got) == case.got
    if case.hooks is None:
        for stock_seen, our_seen in zip(theirs.recorder.seen, our.recorder.seen, strict=True):
            hidden = UNLIKE.get(name, set())
            expected = {key: value for key, value in stock_seen.facts.items() if key not in hidden}
            seen = {key: value for key, value in our_seen.facts.items() if key not in hidden}
            assert seen == expected, our_seen.hook
    if hasattr(our.addon, "pieces"):
        assert b"".join(our.addon.pieces) == b"".join(theirs.addon.pieces)


def test_every_difference_is_of_a_case() -> None:
    """The table names cases, and every case that differs stands in it."""
    different = {name for name, case in CASES.items() if case.hooks is not None or case.got is not None or name in UNLIKE}
    assert set(DIFFERENCES) == different
