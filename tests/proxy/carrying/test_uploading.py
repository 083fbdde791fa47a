"""Requests that stream: pieces go on as they come, with their framing, and wait where they must."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

STREAM = Settings(stream_over=0)


async def test_pieces_go_on_as_they_come(run: Any) -> None:
    """Chunked or sized as they came, with the trailers; `request` fires behind the last."""
    got: list[bytes] = []
    hooks: list[tuple[str, bool]] = []

    class Look:
        def request(self, flow: http.HTTPFlow) -> None:
            hooks.append((flow.request.method, flow.request.timestamp_end is not None))
            if flow.request.trailers:
                flow.request.trailers["x-seen"] = "1"

    async def script(talk: Conversation) -> None:
        while True:
            head = await talk.head()
            if head.header("transfer-encoding"):
                while piece := await talk.chunk():
                    got.append(piece)
                trailers = await talk._lines()
                await talk.answer(200, ",".join(trailers).encode())
            else:
                got.append(await talk.exactly(4))
                got.append(await talk.exactly(4))
                await talk.answer()

    running = await run(script, Look(), settings=STREAM)
    client = await running.client()
    request = request_bytes("POST", "/", chunks=[b"ping", b"pong"], trailers=[("sum", "1")])
    await client.send(request[:-22])
    await until(lambda: got == [b"ping"])
    assert hooks == []
    await client.send(request[-22:])
    assert (await client.answer()).body == b"sum: 1,x-seen: 1"
    await client.send(request_bytes("PUT", "/", [("content-length", "8")], b"ping"))
    await until(lambda: got[2:] == [b"ping"])
    await client.send(b"pong")
    assert (await client.answer()).status == 200
    assert got == [b"ping", b"pong"] * 2
    assert hooks == [("POST", True), ("PUT", True)]
    assert (await running.done(2)).bytes_received == 8


async def test_an_upload_waits_for_its_connection(run: Any) -> None:
    """A bounded part of it is held; then all of it goes on, in its order."""
    policy = "circuitBreaker: {maxConnections: 1, maxPendingRequests: 1, maxParallelRequests: 1}"
    go = asyncio.Event()

    async def script(talk: Conversation) -> None:
        while True:
            request = await talk.request()
            if request.target == "/first":
                await go.wait()
            await talk.answer(200, b"%d" % len(request.body))

    running = await run(script, policy=policy, settings=STREAM)
    first, second = await running.client(), await running.client(timeout=30)
    await first.send(request_bytes("GET", "/first"))
    await until(lambda: running.gateway.plane.pools and running.cluster.active == 1)
    size = 10_000_000
    body = bytes(range(256)) * (size // 256)
    sending = asyncio.ensure_future(
        second.send(request_bytes("POST", "/second", [("content-length", str(len(body)))]), body)
    )
    await until(lambda: running.cluster.pending == 1)
    [waiting] = [found for found in running.gateway.plane.connections if found.carrier.upload is not None]
    await until(lambda: "body" in waiting._paused)
    assert waiting.carrier.inbound.buffered < 1_000_000
    go.set()
    assert (await first.answer()).status == 200
    assert (await second.answer()).body == b"%d" % len(body)
    await sending
    assert running.backend.requests[1].body == body


async def test_a_request_without_a_body_streams_nothing(run: Any) -> None:
    """When an addon asks for it nevertheless."""

    class Ask:
        def requestheaders(self, flow: http.HTTPFlow) -> None:
            flow.request.stream = True

    running = await run(answering(response_bytes(body=b"ok")), Ask())
    client = await running.client()
    for _ in range(2):
        assert (await client.request("GET", "/")).body == b"ok"
    assert running.backend.requests[0].header("transfer-encoding") is None
    assert len(running.backend.conversations) == 1


@pytest.mark.parametrize("hook", ["kill", "answer"])
async def test_request_comes_too_late_for_some_things(run: Any, hook: str) -> None:
    """A kill there leaves the upstream without the end; an answer is ignored, as in mitmproxy."""
    ends: list[bool] = []

    class Late:
        def requestheaders(self, flow: http.HTTPFlow) -> None:
            flow.request.stream = True

        def request(self, flow: http.HTTPFlow) -> None:
            if hook == "kill":
                flow.kill()

    async def script(talk: Conversation) -> None:
        await talk.head()
        while await talk.chunk():
            pass
        ends.append(True)
        await talk.answer(200, b"upstream's")
        await talk.gone()

    running = await run(script, Late())
    client = await running.client()
    await client.send(request_bytes("POST", "/", chunks=[b"ping"]))
    if hook == "kill":
        assert await client.read() == b""
        assert (await running.done()).flag == "LR"
        assert ends == []
    else:
        assert (await client.answer()).body == b"upstream's"


async def test_a_refused_upload_is_dropped(run: Any) -> None:
    """The answer comes at once; what is still sent is read for a while, and the connection closed."""
    running = await run(answering(response_bytes()), policy="circuitBreaker: {maxPendingRequests: 0}", settings=STREAM)
    client = await running.client()
    await client.send(request_bytes("POST", "/", [("content-length", "1000000")], b"x" * 1000))
    answer = await client.answer()
    assert (answer.status, answer.head.header("connection")) == (503, "close")
    await client.send(b"x" * 10_000)
    assert await client.closed() is not None
    done = await running.done()
    assert (done.flag, done.refusal) == ("UO", "pending_overflow")
