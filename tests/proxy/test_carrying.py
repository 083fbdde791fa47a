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
            await until(lambda: waits.seen == ["requestheaders"])
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


@pytest.mark.parametrize("hook", ["requestheaders", "request", "responseheaders"])
async def test_an_addon_kills(run: Any, hook: str) -> None:
    """No answer, one `error`, and nothing is held."""
    waits = Waits(hook)
    waits.go.set()
    setattr(waits, hook, _killing(getattr(waits, hook)))
    running = await run(OK, waits)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    assert await client.read() == b""
    done = await running.done()
    assert (done.status, done.flag) == (0, "LR")
    assert waits.seen[-2:] == [hook, "error"] or waits.seen[-1] == "client_disconnected"
    assert waits.seen.count("error") == 1


def _killing(handler: Any) -> Any:
    async def kill(flow: http.HTTPFlow) -> None:
        await handler(flow)
        flow.kill()

    return kill


@pytest.mark.parametrize("stream", [False, True])
async def test_an_addon_kills_in_response(run: Any, stream: bool) -> None:
    """No `error` follows; a buffered answer is not sent, a streamed one has no end."""

    class Kill:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def responseheaders(self, flow: http.HTTPFlow) -> None:
            assert flow.response is not None
            flow.response.stream = stream

        def response(self, flow: http.HTTPFlow) -> None:
            flow.kill()
            self.seen.append("response")

        def error(self, flow: http.HTTPFlow) -> None:
            self.seen.append("error")

    kill = Kill()
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    running = await run(answering(reply), kill)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    got = b""
    while data := await client.read():
        got += data
    assert got.endswith(b"2\r\nok\r\n") if stream else got == b""
    await running.done()
    assert kill.seen == ["response"]


async def test_a_kill_outside_a_hook_counts_at_the_next(run: Any) -> None:
    """As in mitmproxy: what streams goes on until its end, which is not sent."""
    flows: list[http.HTTPFlow] = []
    go = asyncio.Event()

    class Look:
        def responseheaders(self, flow: http.HTTPFlow) -> None:
            flows.append(flow)

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        await go.wait()
        await talk.say(b"2\r\nok\r\n0\r\n\r\n")

    running = await run(script, Look())
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await client.head()
    flows[0].kill()
    go.set()
    assert await client.reader.readexactly(7) == b"2\r\nok\r\n"
    assert await client.read() == b""
    assert (await running.done()).flag == "LR"


class Intercepts:
    """Intercepts in one hook, as a person at mitmweb does."""

    def __init__(self, hook: str) -> None:
        self.flow: http.HTTPFlow | None = None
        self.updates = 0
        self.errors = 0
        setattr(self, hook, self.hold)

    def hold(self, flow: http.HTTPFlow) -> None:
        flow.intercept()
        self.flow = flow

    def update(self, flows: list[http.HTTPFlow]) -> None:
        self.updates += 1

    def error(self, flow: http.HTTPFlow) -> None:
        self.errors += 1


HOOKS = ["requestheaders", "request", "responseheaders", "response"]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("how", ["resume", "kill", "leave", "drain"])
async def test_a_person_intercepts(run: Any, hook: str, how: str) -> None:
    """And the wait ends by resuming, by killing, when the client leaves, and when the gateway stops."""
    person = Intercepts(hook)
    running = await run(OK, person, policy="timeout: {http: {requestTimeout: 50ms}}")
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: person.flow is not None)
    flow = person.flow
    assert flow is not None
    assert flow.intercepted
    assert running.gateway.done == []
    if how == "resume":
        flow.resume()
        assert (await client.answer()).body == b"ok"
    elif how == "kill":
        flow.kill()
        assert await client.read() == b""
    elif how == "leave":
        client.abort()
    else:
        assert await running.gateway.plane.drain(5)
        assert (await client.answer()).head.header("connection") == "close"
    done = await running.done()
    assert done.flag == {"resume": "-", "kill": "LR", "leave": "DC", "drain": "-"}[how]
    assert not flow.intercepted
    assert person.updates >= HOOKS.index(hook) + 1


async def test_time_that_a_person_takes_is_not_the_upstreams(run: Any) -> None:
    """Timeouts do not run out while a flow is held; an answer that comes meanwhile waits, too."""
    person = Intercepts("responseheaders")
    running = await run(OK, person, policy="timeout: {http: {requestTimeout: 20ms, streamIdleTimeout: 20ms}}")
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: person.flow is not None)
    await asyncio.sleep(0.1)  # five times the timeouts: this is what is tested
    assert running.gateway.done == []
    assert person.flow is not None
    person.flow.resume()
    assert (await client.answer()).body == b"ok"


@pytest.mark.parametrize(
    ("policy", "status", "flag", "details"),
    [
        ("timeout: {http: {requestTimeout: 30ms}}", 504, "UT", "response_timeout"),
        ("timeout: {http: {streamIdleTimeout: 30ms, requestTimeout: 0s}}", 504, "SI", "stream_idle_timeout"),
        ("timeout: {http: {maxStreamDuration: 30ms}}", 504, "UMSDR", "max_stream_duration"),
    ],
)
@pytest.mark.parametrize("started", [False, True])
async def test_what_takes_too_long_ends(
    run: Any, policy: str, status: int, flag: str, details: str, started: bool
) -> None:
    """With 504 before the head and a cut behind it; the upstream's connection is closed."""
    gone = asyncio.Event()

    async def script(talk: Conversation) -> None:
        await talk.request()
        if started:
            await talk.say(STREAM)
        await talk.gone()
        gone.set()

    running = await run(script, policy=policy)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    if started:
        assert (await client.head()).status == 200
        assert await client.closed()
    else:
        answer = await client.answer()
        assert (answer.status, answer.body) == (status, REPLIES[_refusal(flag)].body.encode())
        assert answer.head.header("connection") is None
    await gone.wait()
    done = await running.done()
    assert (done.status, done.flag, done.details) == (200 if started else status, flag, details)
    assert running.cluster.connections == 0


def _refusal(flag: str) -> Refusal:
    return next(refusal for refusal, reply in REPLIES.items() if reply.flag == flag and reply.status == 504)


async def test_bytes_keep_a_stream_alive(run: Any) -> None:
    """The idle timeout is between bytes, not for all of them."""
    running = await run(_ticking, policy="timeout: {http: {streamIdleTimeout: 150ms, requestTimeout: 0s}}")
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await client.head()
    assert await client.reader.readexactly(40) == b"tick\n" * 8
    assert (await running.done()).flag == "-"


async def _ticking(talk: Conversation) -> None:
    await talk.request()
    await talk.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 40\r\nconnection: close\r\n\r\n")
    for _ in range(8):
        await asyncio.sleep(0.05)  # the pause is what is tested
        await talk.say(b"tick\n")
    await talk.gone()


async def test_a_client_that_does_not_read_the_end_is_cut(run: Any) -> None:
    """It holds its place as long as it makes progress, and not for ever."""
    running = await run(
        answering(response_bytes(body=b"x" * 20_000_000)),
        policy="timeout: {http: {streamIdleTimeout: 100ms, requestTimeout: 0s}}",
        settings=Settings(stream_over=None),
    )
    client = await running.client(receive_buffer=50_000)
    client.stop_reading()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: running.gateway.plane.pools and running.cluster.active == 1)
    done = await running.done()
    assert (done.status, done.flag) == (200, "SI")
    assert running.cluster.active == 0


async def test_the_request_timeout_runs_from_the_end_of_the_upload(run: Any) -> None:
    """A slow upload does not use it up (measured on Envoy)."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.answer(200, b"ok")
        await talk.gone()

    running = await run(
        script, policy="timeout: {http: {requestTimeout: 100ms}}", settings=Settings(stream_over=0)
    )
    client = await running.client()
    await client.send(request_bytes("POST", "/", [("content-length", "4")], b"ab"))
    await asyncio.sleep(0.2)  # twice the timeout: this is what is tested
    await client.send(b"cd")
    assert (await client.answer()).status == 200


async def test_an_upload_that_stops_is_ended(run: Any) -> None:
    """While it is buffered no upstream is waited for, but the client is, and not for ever."""
    running = await run(OK, policy="timeout: {http: {streamIdleTimeout: 50ms}}")
    client = await running.client()
    await client.send(request_bytes("POST", "/", [("content-length", "4")], b"ab"))
    answer = await client.answer()
    assert (answer.status, answer.head.header("connection")) == (504, "close")
    assert (await running.done()).flag == "SI"


async def test_a_queue_is_not_waited_in_for_ever(run: Any) -> None:
    """The request timeout runs there as well."""
    running = await run(silent, policy=LIMITS + ", timeout: {http: {requestTimeout: 50ms}}")
    first, second = await running.client(), await running.client()
    await first.send(request_bytes("GET", "/"))
    await until(lambda: running.gateway.plane.pools and running.cluster.active == 1)
    answer = await second.request("GET", "/")
    assert answer.status == 504
    assert (await first.answer()).status == 504


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


@pytest.mark.parametrize("where", ["route", "plan", "started", "usage"])
async def test_a_bug_fails_closed(run: Any, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 (or a cut, once the answer has begun), counted, one `error` or `response`, and nothing is held."""
    waits = Waits("")
    running = await run(answering(STREAM.replace(b"\r\n\r\n", b"\r\ncontent-length: 9\r\n\r\n")), waits)

    def broken(*arguments: object, **more: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(running.gateway.plane.director, where, broken)
        client = await running.client()
        await client.send(request_bytes("GET", "/"))
        if where == "usage":
            head = await client.head()
            assert head.status == 200
        else:
            answer = await client.answer()
            assert (answer.status, answer.body) == (500, b"internal error")
        await client.closed()
        done = await running.done()
        assert (done.flag, done.refusal) == ("-", "internal")
        await until(lambda: waits.seen[-1] == "client_disconnected")
        assert waits.seen.count("error") + waits.seen.count("response") == 1
    running.gateway.bugs_expected = running.gateway.plane.bugs
    assert running.gateway.bugs_expected >= 1
    assert (await (await running.client()).request("GET", "/")).status == 200


async def test_a_subscriber_that_fails_stops_nobody(run: Any) -> None:
    """Neither the exchange nor the other subscribers."""

    def broken(event: object) -> None:
        raise RuntimeError("a bug of a subscriber")

    running = await run(OK)
    running.gateway.plane._subscribers.insert(0, broken)
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
