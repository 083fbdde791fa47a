"""Switches of protocols: a websocket is a tunnel of bytes, with backpressure, that either side may end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

UPGRADE = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-key", "x"),
    ("sec-websocket-version", "13"),
]
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nsec-websocket-accept: y\r\n\r\n"
)


async def echo(talk: Conversation) -> None:
    """Grant a switch of protocols with a greeting behind its head, and say everything again."""
    await talk.request()
    await talk.say(SWITCH + b"hello")
    while data := await talk.read():
        await talk.say(data)


async def _connections(running: Any) -> list[Any]:
    await until(lambda: running.gateway.plane.connections)
    return list(running.gateway.plane.connections)


async def test_websockets_are_tunnels(run: Any) -> None:
    """Bytes pass as they are, those that came with the heads included; either side's end ends it."""
    hooks: list[str] = []

    class Look:
        def request(self, flow: http.HTTPFlow) -> None:
            hooks.append("request")

        async def response(self, flow: http.HTTPFlow) -> None:
            await asyncio.sleep(0)
            assert flow.response is not None
            hooks.append(f"response {flow.response.status_code}")

        def error(self, flow: http.HTTPFlow) -> None:
            hooks.append("error")

    running = await run(echo, Look())
    client = await running.client()
    await client.send(request_bytes("GET", "/chat", UPGRADE) + b"early")
    head = await client.head()
    assert (head.status, head.header("upgrade"), head.header("connection")) == (101, "websocket", "upgrade")
    assert head.header("sec-websocket-accept") == "y"
    assert running.backend.requests[0].header("upgrade") == "websocket"
    said = await client.reader.readexactly(10)
    assert said == b"helloearly"
    await client.send(b"more")
    assert await client.reader.readexactly(4) == b"more"
    client.half_close()
    assert await client.closed()
    done = await running.done()
    assert (done.status, done.flag, done.bytes_received, done.bytes_sent) == (101, "-", 9, 14)
    assert hooks == ["request", "response 101"]


@pytest.mark.parametrize("way", ["server closes", "server resets", "client resets"])
async def test_tunnels_end_on_both_sides(run: Any, way: str) -> None:
    """However one of them ends."""
    go = asyncio.Event()

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(SWITCH)
        await go.wait()
        if way == "server resets":
            talk.reset()
        elif way == "client resets":
            await talk.gone()

    running = await run(script)
    client = await running.client()
    await client.send(request_bytes("GET", "/", UPGRADE))
    assert (await client.head()).status == 101
    go.set()
    if way == "client resets":
        client.abort()
    else:
        await client.closed()
    done = await running.done()
    assert done.status == 101
    await until(lambda: not running.cluster.connections)


async def test_tunnels_have_backpressure(run: Any) -> None:
    """In both directions: who does not read stops the other."""
    wrote = 0

    async def script(talk: Conversation) -> None:
        nonlocal wrote
        await talk.request()
        await talk.say(SWITCH)
        talk.timeout = 60
        while wrote < 40_000_000:
            await talk.say(b"x" * 100_000)
            wrote += 100_000

    running = await run(script)
    client = await running.client(receive_buffer=100_000)
    await client.send(request_bytes("GET", "/", UPGRADE))
    assert (await client.head()).status == 101
    client.stop_reading()
    [connection] = await _connections(running)
    await until(lambda: not connection.writable, 30)
    assert connection.unsent < 2_000_000
    carrier = connection.carrier
    for _ in range(400):  # the server reads nothing
        client.writer.write(b"y" * 100_000)
    await until(lambda: "body" in connection._paused, 30)
    assert carrier.upstream._transport.get_write_buffer_size() < 2_000_000
    assert wrote < 30_000_000
    client.abort()
    assert (await running.done()).flag == "DC"


@pytest.mark.parametrize("held", [b"", b"GET /next HTTP/1.1\r\nhost: test\r\n\r\n"])
async def test_a_switch_that_is_not_granted_is_an_answer(run: Any, held: bytes) -> None:
    """What the client has sent behind its request is the next one."""
    running = await run(answering(lambda request: response_bytes(426, request.target.encode())))
    client = await running.client()
    await client.send(request_bytes("GET", "/first", UPGRADE) + held)
    assert (await client.answer()).body == b"/first"
    if held:
        assert (await client.answer()).body == b"/next"


async def test_a_switch_may_be_pipelined(run: Any) -> None:
    """What follows it stays the tunnel's while the requests before it are answered."""

    async def script(talk: Conversation) -> None:
        assert (await talk.request()).target == "/first"
        await talk.answer(200, b"first")
        await echo(talk)

    running = await run(script)
    client = await running.client()
    await client.send(
        request_bytes("GET", "/first") + request_bytes("GET", "/", UPGRADE) + request_bytes("GET", "/none")
    )
    assert (await client.answer()).body == b"first"
    assert (await client.head()).status == 101
    early = request_bytes("GET", "/none")
    assert await client.reader.readexactly(5 + len(early)) == b"hello" + early


async def test_an_addon_refuses_a_switch(run: Any) -> None:
    """The client gets the addon's answer, the upstream a closed connection."""

    class Refuse:
        def response(self, flow: http.HTTPFlow) -> None:
            flow.response = http.Response.make(403, b"no tunnels")

    running = await run(echo, Refuse())
    client = await running.client()
    await client.send(request_bytes("GET", "/", UPGRADE))
    answer = await client.answer()
    assert (answer.status, answer.body) == (403, b"no tunnels")
    await until(lambda: not running.cluster.connections)


async def test_a_switch_that_nobody_asked_for_is_a_protocol_error(run: Any) -> None:
    """The upstream is out of step."""
    running = await run(echo)
    assert (await (await running.client()).request("GET", "/")).status == 502
    assert (await running.done()).flag == "UPE"


async def test_a_flood_behind_a_switch_that_waits_is_held(run: Any) -> None:
    """The client is not read while the upstream has not answered."""
    go = asyncio.Event()

    async def script(talk: Conversation) -> None:
        await talk.request()
        await go.wait()
        await talk.say(SWITCH)
        got = 0
        while got < 10_000_000:
            got += len(await talk.read())
        await talk.say(b"all")

    running = await run(script)
    client = await running.client(timeout=30)
    sending = asyncio.ensure_future(client.send(request_bytes("GET", "/", UPGRADE), b"x" * 10_000_000))
    [connection] = await _connections(running)
    await until(lambda: "upgrade" in connection._paused)
    assert len(connection.reader.held) < 1_000_000
    go.set()
    assert (await client.head()).status == 101
    assert await client.reader.readexactly(3) == b"all"
    await sending
