"""The same addons under mitmproxy's own reverse mode and under ours: clients that leave, upstreams that break.

Every case runs twice, with a scripted backend and a raw client; what the addon saw and the client got is compared.
Where the two differ on purpose, `DIFFERENCES` says why, and what ours does is stated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Conversation
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.equivalence import HOOKS, Case, World, different, see_the_same
from mirrorgate.testing.in_loop import until

type Act = Callable[[World], Awaitable[None]]

DIFFERENCES = {
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

CASES: dict[str, Case] = {}


def case(name: str, **more: Any) -> Callable[[Act], Act]:
    """Make a case of what a client does."""

    def make(act: Act) -> Act:
        assert name not in CASES
        CASES[name] = Case(name, act, **more)
        return act

    return make


async def one_get(world: World) -> None:
    """Ask once."""
    await world.ask(await world.client(), "GET", "/path?query")


class Stream:
    """Streams requests, answers, or both."""

    def __init__(self, *, request: bool = False, response: bool = False) -> None:
        self._request = request
        self._response = response

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        flow.request.stream = self._request

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.stream = self._response


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


@pytest.mark.parametrize("name", CASES)
async def test_addons_see_the_same(name: str, manifests: Any) -> None:
    """The same hooks in the same order, the same facts at each, and the client gets the same."""
    await see_the_same(CASES[name], manifests)


def test_every_difference_is_of_a_case() -> None:
    """The table names cases, and every case that differs stands in it."""
    assert set(DIFFERENCES) == different(CASES)
