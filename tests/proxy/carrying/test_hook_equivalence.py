"""The same addons under mitmproxy's own reverse mode and under ours: exchanges that come to a good end.

Every case runs twice, with a scripted backend and a raw client; what the addon saw and the client got is compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Conversation, Received, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.equivalence import HOOKS, Case, World, different, run_looked_at_or_not, see_the_same
from mirrorgate.testing.in_loop import until

type Act = Callable[[World], Awaitable[None]]

DIFFERENCES = {
    "events that stream": "an event stream streams without being asked to, so `stream` is set when addons look",
    "events that an addon reads": "as above",
    "events that an addon changes": "as above",
}
"""What differs on purpose, by case, and why."""

CASES: dict[str, Case] = {}


def case(name: str, **more: Any) -> Callable[[Act], Act]:
    """Make a case of what a client does."""

    def make(act: Act) -> Act:
        assert name not in CASES
        CASES[name] = Case(name, act, **more)
        return act

    return make


# What clients do


async def one_get(world: World) -> None:
    """Ask once."""
    await world.ask(await world.client(), "GET", "/path?query")


async def one_post(world: World) -> None:
    """Ask once, with a body."""
    await world.ask(await world.client(), "POST", "/path", headers=[("x-client", "1")], body=b"ping")


case("a get")(one_get)
case("a post")(one_post)
case("a chunked answer", script=answering(response_bytes(200, b"hello", chunked=True)))(one_get)


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


EVENTS: dict[str, Any] = {"script": events, "unlike": frozenset({"answer stream"})}

case("events that stream", addon=lambda: Stream(response=True), **EVENTS)(one_get)
case("events that an addon reads", addon=lambda: Stream(response=Stream.note), **EVENTS)(one_get)
case("events that an addon changes", addon=lambda: Stream(response=Stream.swell), **EVENTS)(one_get)


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
    world.got.append(
        (request.method, request.target, request.body, request.header("x-added"), request.header("x-client"))
    )


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


@pytest.mark.parametrize("name", CASES)
async def test_addons_see_the_same(name: str, manifests: Any) -> None:
    """The same hooks in the same order, the same facts at each, and the client gets the same."""
    await see_the_same(CASES[name], manifests)


def test_every_difference_is_of_a_case() -> None:
    """The table names cases, and every case that differs stands in it."""
    assert set(DIFFERENCES) == different(CASES)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.addon is object])
async def test_it_makes_no_difference_whether_somebody_looks(name: str, manifests: Any) -> None:
    """With a flow or with its sketch, the backend and the client get the same."""
    route = manifests.route(f"[{{backendRefs: [{manifests.to_server('server')}]}}]")
    seen, unseen = await run_looked_at_or_not(
        CASES[name], lambda port: manifests.snapshot(route, manifests.server("server", port))
    )
    assert unseen.got == seen.got
    assert [_lasting(asked) for asked in unseen.backend.requests] == [
        _lasting(asked) for asked in seen.backend.requests
    ]


def _lasting(asked: Received) -> Received:
    """Return a request without what differs from run to run."""
    return replace(asked, headers=tuple((n, v) for n, v in asked.headers if n.lower() not in ("x-request-id", "host")))
