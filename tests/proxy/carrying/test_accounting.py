"""Chaos by seed: clients leave, addons kill, upstreams break; in the end everything is given back and told of once."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Conversation, response_bytes
from mirrorgate.testing.clients import Client, WireError, request_bytes
from mirrorgate.testing.in_loop import until

EXCHANGES = 150
HOOKS = ("requestheaders", "request", "responseheaders", "response", "error")
SWITCH = b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"


class Chaos:
    """An addon that does anything at any hook, and counts hooks by flow."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.hooks: dict[str, Counter[str]] = {}
        self.connected = 0
        self.disconnected = 0
        self.servers = Counter[str]()
        for name in HOOKS:
            setattr(self, name, self._acting(name))

    def client_connected(self, client: object) -> None:
        self.connected += 1

    def client_disconnected(self, client: object) -> None:
        self.disconnected += 1

    def server_connected(self, data: Any) -> None:
        self.servers["connected"] += 1

    async def server_disconnected(self, data: Any) -> None:
        await asyncio.sleep(0)
        self.servers["disconnected"] += 1

    def _acting(self, name: str) -> Any:
        async def act(flow: http.HTTPFlow) -> None:
            self.hooks.setdefault(flow.id, Counter())[name] += 1
            dice = self.rng.random()
            if dice < 0.15:
                await asyncio.sleep(self.rng.random() * 0.01)
            elif dice < 0.18 and flow.killable:
                flow.kill()
            elif dice < 0.2 and name in HOOKS[:2]:
                flow.response = http.Response.make(418, b"addon")
            elif dice < 0.22:
                raise ValueError("a bug of an addon's")
            elif dice < 0.25 and name == "requestheaders":
                flow.request.stream = self.rng.choice((True, lambda piece: [piece, b"x"] if piece else b""))
            elif dice < 0.3 and name == "responseheaders" and flow.response is not None:
                flow.response.stream = self.rng.choice((True, False, lambda piece: piece))
            elif dice < 0.33 and name == "request":
                flow.request.path = "/edited"
            elif dice < 0.36 and name == "response" and flow.response is not None:
                flow.response.status_code = self.rng.choice((200, 204, 304, 500))
            elif dice < 0.38 and flow.killable:
                flow.intercept()
                asyncio.get_running_loop().call_later(0.005, _release, flow, self.rng.random() < 0.3)

        def act_fast(flow: http.HTTPFlow) -> Any:
            if self.rng.random() < 0.5:
                self.hooks.setdefault(flow.id, Counter())[name] += 1
                return None
            return act(flow)

        return act_fast


def _release(flow: http.HTTPFlow, kill: bool) -> None:
    """Do what a person does with a flow that is held."""
    if kill and flow.killable:
        flow.kill()
    else:
        flow.resume()


class Upstream:
    """A server that does anything."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    async def __call__(self, talk: Conversation) -> None:
        rng = self.rng
        while True:
            if rng.random() < 0.1:
                await talk.head()
                await self.strange(talk)
                return
            request = await talk.request()
            if rng.random() < 0.2:
                await asyncio.sleep(rng.random() * 0.01)
            dice = rng.random()
            if request.header("upgrade") == "websocket" and dice < 0.5:
                await talk.say(SWITCH + b"hi")
                if rng.random() < 0.5:
                    return
                while data := await talk.read():
                    await talk.say(data)
                return
            if dice < 0.12:
                await self.strange(talk)
                return
            body = rng.randbytes(rng.choice((0, 1, 100, 5000, 300_000)))
            if request.method == "HEAD":
                await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body))
            elif dice < 0.4:
                kind = b"text/event-stream" if rng.random() < 0.5 else b"text/plain"
                await talk.say(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % kind)
                for at in range(0, len(body), 1 + len(body) // 4):
                    piece = body[at : at + 1 + len(body) // 4]
                    await talk.say(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await asyncio.sleep(0)
                await talk.say(b"0\r\n" + (b"sum: 1\r\n" if rng.random() < 0.3 else b"") + b"\r\n")
            elif dice < 0.5:
                await talk.say(b"HTTP/1.1 200 OK\r\n\r\n" + body)
                return
            else:
                await talk.say(response_bytes(rng.choice((200, 404, 500)), body))

    async def strange(self, talk: Conversation) -> None:
        """End in a way that is no answer."""
        match self.rng.randrange(6):
            case 0:
                talk.reset()
            case 1:
                await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf")
            case 2:
                await talk.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\nhalf")
                talk.reset()
            case 3:
                await talk.say(b"nonsense\r\n\r\n")
            case 4:
                await talk.say(response_bytes(200, b"twice") * 2)
            case 5:
                await talk.gone()


async def customer(client: Client, rng: random.Random, count: int) -> int:
    """Send requests until there are enough of them, or the connection ends; returns how many were sent whole."""
    sent = 0
    while sent < count:
        batch = rng.choice((1, 1, 1, 2, 5))
        requests = []
        methods = []
        for _ in range(batch):
            method = rng.choice(("GET", "POST", "POST", "HEAD", "PUT"))
            size = rng.choice((0, 1, 500, 3000, 200_000)) if method in ("POST", "PUT") else 0
            body = rng.randbytes(size)
            headers = [("connection", "upgrade"), ("upgrade", "websocket")] if rng.random() < 0.05 and not size else []
            chunks = [body[: size // 2], body[size // 2 :]] if size > 1 and rng.random() < 0.5 else None
            requests.append(request_bytes(method, "/", headers, b"" if chunks else body, chunks=chunks))
            methods.append(method)
        data = b"".join(requests)
        dice = rng.random()
        if dice < 0.08:
            await client.send(data[: rng.randrange(len(data))])
            client.abort()
            return sent
        cut = rng.randrange(len(data))
        await client.send(data[:cut], data[cut:])
        sent += batch
        if dice < 0.2:
            await asyncio.sleep(rng.random() * 0.02)
            if dice < 0.14:
                client.abort()
            else:
                await client.close()
            return sent
        for method in methods:
            answer = await client.answer(method)
            if answer.status == 101:
                await client.send(b"data")
                await client.read()
                return sent
        if answer.head.header("connection") == "close":
            return sent
    return sent


RETRY = (
    "{retryOn: {triggers: [5xx, reset, connect-failure]},"
    " perRetry: {timeout: 20ms, backOff: {baseInterval: 2ms}}, numRetries: 3}"
)


@pytest.mark.parametrize("seed", range(7))
async def test_whatever_happens_everything_is_given_back(run: Any, seed: int) -> None:
    """Places, connections and tasks; one end for each flow and one event for each exchange, retried or not."""
    again = seed > 3
    rng = random.Random(seed)
    chaos = Chaos(rng)
    limits = ("2, maxPendingRequests: 3, maxParallelRequests: 2", "9, maxPendingRequests: 1024, maxParallelRequests: 8")
    running = await run(
        Upstream(rng),
        chaos,
        policy=f"circuitBreaker: {{maxConnections: {limits[seed % 2]}}}, timeout: {{http: {{requestTimeout: 200ms}}}}"
        + (f", retry: {RETRY}" if again else ""),
        settings=Settings(stream_over=rng.choice((0, 1000, 100_000)), body_limit=250_000),
    )

    async def one(number: int) -> None:
        with contextlib.suppress(WireError, ConnectionError, OSError):
            client = await running.client(timeout=20)
            await customer(client, random.Random(seed * 1000 + number), 5)
            await client.close()

    while len(chaos.hooks) < EXCHANGES:
        await asyncio.gather(*(one(rng.randrange(10**6)) for _ in range(10)))
    for client in running.clients:
        client.writer.transport.abort()
    await until(lambda: chaos.connected == chaos.disconnected)
    await running.gateway.settled()
    done = [event for event in running.gateway.done if event.id]
    assert {event.id for event in done} >= set(chaos.hooks)
    assert len(done) == len({event.id for event in done})
    for flow, hooks in chaos.hooks.items():
        ends = hooks["response"] + hooks["error"]
        assert ends == 1, (flow, hooks)
        assert max(hooks.values()) == 1, (flow, hooks)
    plane = running.gateway.plane
    plane.pools["httproute/default/route/rule/0"].close()
    await until(lambda: chaos.servers["connected"] == chaos.servers["disconnected"])
    await until(lambda: running.cluster.idle)
    flags = Counter(event.flag for event in done)
    assert {"-", "DC", "LR"} <= set(flags), flags
    assert any("UPE" in flag for flag in flags)
    assert any(event.attempts > 1 for event in done) is again
