"""One exchange from its start to its release: whoever leaves, kills, hangs or breaks, everything is given back once."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.errors import REPLIES, Refusal
from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

OK = answering(response_bytes(body=b"ok"))
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n"


async def silent(talk: Conversation) -> None:
    """Take a request and never answer."""
    await talk.request()
    await talk.gone()


class Waits:
    """Waits in one hook until it is told, and notes every hook."""

    def __init__(self, hook: str) -> None:
        self.seen: list[str] = []
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self.flow: http.HTTPFlow | None = None

        for name in ("requestheaders", "request", "responseheaders", "response", "error"):
            setattr(self, name, self._waiting(name) if name == hook else self._noting(name))

    def client_disconnected(self, client: object) -> None:
        self.seen.append("client_disconnected")

    def _noting(self, name: str) -> Any:
        def note(flow: http.HTTPFlow) -> None:
            self.seen.append(name)

        return note

    def _waiting(self, name: str) -> Any:
        async def wait(flow: http.HTTPFlow) -> None:
            self.seen.append(name)
            self.flow = flow
            self.reached.set()
            await self.go.wait()

        return wait


LEAVES = {
    "requestheaders": ["requestheaders", "client_disconnected", "error"],
    "request": ["requestheaders", "request", "client_disconnected", "error"],
    "responseheaders": ["requestheaders", "request", "responseheaders", "client_disconnected", "error"],
    "response": ["requestheaders", "request", "responseheaders", "response", "client_disconnected"],
}


@pytest.mark.parametrize("hook", LEAVES)
async def test_a_client_leaves_while_an_addon_waits(run: Any, hook: str) -> None:
    """Places are free at once; addons hear of the end when the hook has returned, as in mitmproxy, and once."""
    waits = Waits(hook)
    running = await run(OK, waits)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await waits.reached.wait()
    client.abort()
    await until(lambda: "client_disconnected" in waits.seen)
    assert not any(pool.cluster.active for pool in running.gateway.plane.pools.values())
    assert running.gateway.done == []
    waits.go.set()
    done = await running.done()
    assert (done.flag, done.refusal) == ("DC", "client_left")
    assert waits.seen == LEAVES[hook]
    assert waits.flow is not None
    assert waits.flow.error is not None
    assert waits.flow.error.msg == "Client disconnected."
    assert not waits.flow.live


async def test_a_client_leaves_inside_its_upload(run: Any) -> None:
    """Buffered or streamed: `error`, and nobody upstream believes in a whole request."""
    got: list[bytes] = []

    async def script(talk: Conversation) -> None:
        await talk.head()
        got.append(await talk.read())
        await talk.gone()
        got.append(b"gone")

    for stream_over in (None, 0):
        waits = Waits("")
        running = await run(script, waits, settings=Settings(stream_over=stream_over))
        client = await running.client()
        await client.send(request_bytes("POST", "/", [("content-length", "9")], b"abc"))
        if stream_over == 0:
            await until(lambda: got)
        else:
            await until(lambda waits=waits: waits.seen == ["requestheaders"])
        client.abort()
        done = await running.done()
        assert (done.flag, done.bytes_received) == ("DC", 3)
        await until(lambda waits=waits: waits.seen == ["requestheaders", "error", "client_disconnected"])
    await until(lambda: got == [b"abc", b"gone"])


@pytest.mark.parametrize("stage", ["before the head", "inside a buffered body", "inside a stream"])
async def test_a_client_leaves_inside_the_answer(run: Any, stage: str) -> None:
    """The upstream's connection is closed at once."""
    reached, gone = asyncio.Event(), asyncio.Event()

    async def script(talk: Conversation) -> None:
        await talk.request()
        if stage == "inside a buffered body":
            await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        elif stage == "inside a stream":
            await talk.say(STREAM)
        reached.set()
        await talk.gone()
        gone.set()

    waits = Waits("")
    running = await run(script, waits)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await reached.wait()
    if stage != "before the head":
        await until(lambda: "responseheaders" in waits.seen)
    client.abort()
    await gone.wait()
    assert (await running.done()).flag == "DC"
    expected = ["requestheaders", "request", *(["responseheaders"] if stage != "before the head" else [])]
    await until(lambda: waits.seen == [*expected, "error", "client_disconnected"])
    assert running.cluster.connections == 0


async def test_a_client_that_only_stops_sending_is_gone(run: Any) -> None:
    """As in Envoy: a close and a half-close look the same."""
    running = await run(silent)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    client.half_close()
    assert await client.read() == b""
    assert (await running.done()).flag == "DC"


LIMITS = "circuitBreaker: {maxConnections: 1, maxPendingRequests: 1, maxParallelRequests: 1}"


async def test_a_client_leaves_the_queue(run: Any) -> None:
    """Its place goes to the next, and the upstream never sees its request."""
    go = asyncio.Event()

    async def script(talk: Conversation) -> None:
        while True:
            await talk.request()
            await go.wait()
            await talk.answer(200, b"ok")

    running = await run(script, policy=LIMITS)
    first, second, third, fourth = [await running.client() for _ in range(4)]
    await first.send(request_bytes("GET", "/1"))
    await until(lambda: running.gateway.plane.pools and running.cluster.active == 1)
    await second.send(request_bytes("GET", "/2"))
    await until(lambda: running.cluster.pending == 1)
    overflow = await third.request("GET", "/3")
    assert (overflow.status, overflow.body) == (503, REPLIES[Refusal.PENDING_OVERFLOW].body.encode())
    second.abort()
    await until(lambda: running.cluster.pending == 0)
    await fourth.send(request_bytes("GET", "/4"))
    await until(lambda: running.cluster.pending == 1)
    go.set()
    assert (await first.answer()).status == 200
    assert (await fourth.answer()).status == 200
    await running.done(4)
    assert [done.flag for done in running.gateway.done] == ["UO", "DC", "-", "-"]
    assert [request.target for request in running.backend.requests] == ["/1", "/4"]


async def test_a_refused_connection_is_told(run: Any) -> None:
    """503 with Envoy's words, `error` for addons, and the client's connection goes on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        waits = Waits("")
        running = await run(OK, waits, port=sock.getsockname()[1])
        client = await running.client()
        for _ in range(2):
            answer = await client.request("GET", "/")
            assert (answer.status, answer.body) == (503, REPLIES[Refusal.CONNECT_FAILURE].body.encode())
            assert answer.head.header("connection") is None
        done = await running.done(2)
        assert (done.flag, done.details) == ("UF", "upstream_reset_before_response_started{remote_connection_failure}")
        assert waits.seen == ["requestheaders", "request", "error"] * 2


async def test_a_subscriber_that_fails_stops_nobody(run: Any) -> None:
    """Neither the exchange nor the other subscribers."""

    def broken(event: object) -> None:
        raise RuntimeError("a bug of a subscriber")

    running = await run(OK)
    running.gateway.plane._subscribers.insert(0, (broken, ()))
    assert (await (await running.client()).request("GET", "/")).status == 200
    await running.done()


async def test_addons_that_raise_change_nothing(run: Any) -> None:
    """As in mitmproxy they are logged, and the flow goes on."""

    class Raises:
        def requestheaders(self, flow: http.HTTPFlow) -> None:
            raise ValueError("one")

        async def response(self, flow: http.HTTPFlow) -> None:
            await asyncio.sleep(0)
            raise ValueError("two")

    running = await run(OK, Raises())
    assert (await (await running.client()).request("GET", "/")).body == b"ok"


async def test_what_a_flow_says_of_the_gateway(run: Any) -> None:
    """Route, cluster and endpoint, which mitmweb and filters show; the connection data is live."""
    flows: list[http.HTTPFlow] = []

    class Look:
        def response(self, flow: http.HTTPFlow) -> None:
            assert flow.live
            assert flow.client_conn.connected
            assert flow.server_conn.connected
            flows.append(flow)

    running = await run(OK, Look())
    await (await running.client()).request("GET", "/")
    [flow] = flows
    endpoint = f"127.0.0.1:{running.backend.port}"
    assert {key: value for key, value in flow.metadata.items() if key.startswith("mirrorgate.")} == {
        "mirrorgate.route": "default/route",
        "mirrorgate.cluster": "httproute/default/route/rule/0",
        "mirrorgate.endpoint": endpoint,
    }
    assert flow.server_conn.peername == ("127.0.0.1", running.backend.port)
    await running.done()
    assert not flow.live


@pytest.mark.parametrize("first", ["requestheaders", "request", "responseheaders", "response"])
async def test_what_a_flow_says_does_not_depend_on_who_looks_first(run: Any, first: str) -> None:
    """A flow that is drawn late says the same of its way as one that was there from the beginning."""
    told: list[dict[str, Any]] = []

    class Look:
        def done(self) -> None: ...

    setattr(Look, first, lambda self, flow: told.append(flow.metadata))
    running = await run(OK, Look(), pool=True)
    body = b'{"model": "m"}'
    answer = await (await running.client()).request("POST", "/v1/completions", [("host", "example.com")], body)
    assert answer.status == 200
    done = await running.done()
    assert told == [
        {
            "mirrorgate.route": "default/route",
            "mirrorgate.cluster": done.cluster,
            "mirrorgate.endpoint": done.endpoint,
            "mirrorgate.model": "m",
        }
    ]
