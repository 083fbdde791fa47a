"""Requests that are sent again: what the backend gets, what the client gets, and what addons hear of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.admission.limits import Limits
from mirrorgate.events import SentAgain
from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Conversation, Script, answering, response_bytes
from mirrorgate.testing.clients import WireError, request_bytes
from mirrorgate.testing.in_loop import until

SOON = "retry: {perRetry: {backOff: {baseInterval: 1ms}}"
"""A policy whose back-off is over at once; the brace is left open for more."""
LATER = "retry: {retryOn: {triggers: [5xx]}, perRetry: {backOff: {baseInterval: 600s}}}"
"""A policy whose back-off does not end while a test runs."""
STREAM = Settings(stream_over=0)


@pytest.fixture
def dead() -> Iterator[int]:
    """Return a port that refuses connections, and that nobody else gets."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


class Hooks:
    """Notes which hooks of flows and of server connections fire."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.servers: list[str] = []
        self.attempts: list[object] = []

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        self.seen.append("requestheaders")

    def request(self, flow: http.HTTPFlow) -> None:
        self.seen.append("request")

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        self.seen.append("responseheaders")

    def response(self, flow: http.HTTPFlow) -> None:
        self.seen.append("response")
        self.attempts.append(flow.metadata.get("mirrorgate.attempts"))

    def error(self, flow: http.HTTPFlow) -> None:
        self.seen.append("error")

    def server_connect(self, data: Any) -> None:
        self.servers.append("server_connect")

    def server_connected(self, data: Any) -> None:
        self.servers.append("server_connected")

    def server_connect_error(self, data: Any) -> None:
        self.servers.append("server_connect_error")

    def server_disconnected(self, data: Any) -> None:
        self.servers.append("server_disconnected")


def failing(times: int, failure: bytes | None = response_bytes(503, b"busy")) -> Script:
    """Make a script that fails so many requests, with an answer or (`None`) with a reset, and then answers."""
    left = [times]

    async def script(talk: Conversation) -> None:
        while True:
            request = await talk.request()
            left[0] -= 1
            if left[0] >= 0 and failure is None:
                talk.reset()
                return
            await talk.say(response_bytes(200, request.body) if left[0] < 0 else failure or b"")

    return script


async def test_a_failed_answer_is_not_seen(run: Any) -> None:
    """Addons hear of the request once and of the last answer only; its connections are told of one by one."""
    hooks = Hooks()
    running = await run(failing(2), hooks, policy=SOON + "}")
    client = await running.client()
    answer = await client.request("POST", "/", body=b"hello")
    assert (answer.status, answer.body) == (200, b"hello")
    assert [request.body for request in running.backend.requests] == [b"hello"] * 3
    assert hooks.seen == ["requestheaders", "request", "responseheaders", "response"]
    assert hooks.attempts == [3]
    done = await running.done()
    assert (done.status, done.flag, done.attempts, done.details) == (200, "-", 3, "via_upstream")
    assert hooks.servers.count("server_connect") == hooks.servers.count("server_connected") == 3
    told = [event for event in running.gateway.events if isinstance(event, SentAgain)]
    assert told == [SentAgain(done.cluster, done.endpoint, "503")] * 2
    counters = running.cluster.retries.counters
    assert (counters.begun, counters.success, counters.overflow, counters.limit_exceeded) == (2, 1, 0, 0)
    assert running.cluster.retries.active == 0


async def test_the_last_answer_is_the_backends_own(run: Any) -> None:
    """Retries are used up: body and headers untouched, flag `URX`, and the connection of the client goes on."""
    running = await run(failing(99), policy=SOON + "}")
    client = await running.client()
    answer = await client.request("GET", "/")
    assert (answer.status, answer.body) == (503, b"busy")
    done = await running.done()
    assert (done.flag, done.details, done.attempts) == ("URX", "via_upstream", 3)
    assert running.cluster.retries.counters.limit_exceeded == 1
    assert (await client.request("GET", "/")).status == 503


async def test_nothing_is_retried_that_was_not_asked_for(run: Any) -> None:
    """Without a policy, and for a status that is not among its triggers."""
    for policy in ("", "retry: {retryOn: {triggers: [retriable-4xx, reset]}}"):
        running = await run(failing(1), policy=policy)
        client = await running.client()
        assert (await client.request("GET", "/")).status == 503
        assert (await running.done()).flag == "-"
        assert len(running.backend.requests) == 1


async def test_resets_are_retried(run: Any) -> None:
    """A connection that ends before the head, where the policy says so; the reply tells of retries used up."""
    on = ", retryOn: {triggers: [reset]}}"
    running = await run(failing(2, None), policy=SOON + on)
    client = await running.client()
    assert (await client.request("POST", "/", body=b"x")).body == b"x"
    running = await run(failing(9, None), policy=SOON + on)
    client = await running.client()
    answer = await client.request("POST", "/", body=b"x")
    text = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "
    assert (answer.status, answer.body.decode()) == (503, text + "connection termination")
    assert (await running.done()).flag == "URX,UC"


async def test_another_endpoint_is_asked(run: Any, dead: int) -> None:
    """A host that refuses is avoided in the next try, for every balancer, and in a pool."""
    for balancer in ("LeastRequest", "RoundRobin", "Random"):
        hooks = Hooks()
        policy = f"loadBalancer: {{type: {balancer}}}, {SOON}}}"
        running = await run(answering(response_bytes()), hooks, policy=policy, also=(dead,))
        client = await running.client()
        statuses = [(await client.request("GET", "/")).status for _ in range(12)]
        assert statuses == [200] * 12
        done = (await running.gateway.exchanges(12))[:12]
        assert {event.endpoint for event in done} == {f"127.0.0.1:{running.backend.port}"}
        assert {event.attempts for event in done} == {1, 2}
        assert "server_connect_error" in hooks.servers
    running = await run(answering(response_bytes()), policy=SOON + "}", pool=True, also=(dead,))
    client = await running.client()
    assert {(await client.request("GET", "/")).status for _ in range(8)} == {200}


async def test_a_share_whose_endpoints_have_failed_goes_to_another(run: Any, dead: int, manifests: Any) -> None:
    """Envoy's rule is one cluster: a backendRef that is down does not take its share of the requests down."""
    running = await run(
        answering(response_bytes()),
        refs=", " + manifests.to_server("other", ", weight: 1000"),
        policy=SOON + "}",
        texts=(manifests.server("other", dead),),
    )
    client = await running.client()
    assert [(await client.request("GET", "/")).status for _ in range(6)] == [200] * 6
    done = (await running.gateway.exchanges(6))[-1]
    assert (done.pool, done.attempts) == ("Backend default/server", 2)


async def test_refused_by_all(run: Any, dead: int) -> None:
    """Envoy's text and flags when no connection comes about at all."""
    hooks = Hooks()
    running = await run(answering(b""), hooks, policy=SOON + "}", port=dead)
    client = await running.client()
    answer = await client.request("GET", "/")
    assert answer.status == 503
    assert answer.body.endswith(b"before headers. retried and the latest reset reason: remote connection failure")
    done = await running.done()
    assert (done.flag, done.attempts) == ("URX,UF", 3)
    assert hooks.seen == ["requestheaders", "request", "error"]
    assert hooks.servers == ["server_connect", "server_connect_error"] * 3
    told = [event.reason for event in running.gateway.events if isinstance(event, SentAgain)]
    assert told == ["connect_failure"] * 2


async def test_a_try_has_its_time(run: Any) -> None:
    """The per-try timeout ends what hangs before its head, and the next try gets the answer."""
    asked = []

    async def script(talk: Conversation) -> None:
        asked.append(await talk.request())
        if len(asked) == 1:
            await talk.gone()
        else:
            await talk.answer(200, b"ok")

    policy = (
        "timeout: {http: {requestTimeout: 60s}}, retry: {retryOn: {triggers: [reset]},"
        " perRetry: {timeout: 50ms, backOff: {baseInterval: 1ms}}}"
    )
    running = await run(script, policy=policy)
    client = await running.client()
    assert (await client.request("GET", "/")).body == b"ok"
    assert (await running.done()).attempts == 2


async def test_tries_that_all_hang(run: Any) -> None:
    """A 504, flags `URX,UT`, as measured; a try's time does not run once its answer has begun."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.gone()

    policy = (
        "retry: {numRetries: 1, retryOn: {triggers: [5xx]}, perRetry: {timeout: 20ms, backOff: {baseInterval: 1ms}}}"
    )
    running = await run(script, policy=policy)
    client = await running.client()
    answer = await client.request("GET", "/")
    assert (answer.status, answer.body) == (504, b"upstream request timeout")
    done = await running.done()
    assert (done.flag, done.details, done.attempts) == ("URX,UT", "upstream_per_try_timeout", 2)


async def test_the_requests_timeout_spans_all_tries(run: Any) -> None:
    """It ends the wait for the next try, too, with the answer that it always has."""
    running = await run(failing(9), policy=f"timeout: {{http: {{requestTimeout: 50ms}}}}, {LATER}")
    client = await running.client()
    answer = await client.request("GET", "/")
    assert (answer.status, answer.body) == (504, b"upstream request timeout")
    done = await running.done()
    assert (done.flag, done.details, done.attempts) == ("UT", "response_timeout", 1)
    assert running.cluster.retries.active == 0


async def test_no_place_is_held_between_tries_but_that_of_a_retry(run: Any) -> None:
    """Another request takes the slot meanwhile; a client that leaves ends the wait, and everything is free."""
    limits = "circuitBreaker: {maxParallelRequests: 1, maxParallelRetries: 1}"
    running = await run(failing(1), policy=f"{limits}, {LATER}")
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: running.gateway.plane.pools and running.cluster.retries.active == 1)
    assert (running.cluster.active, running.cluster.pending) == (0, 0)
    other = await running.client()
    assert (await other.request("GET", "/")).status == 200
    running.backend.script = failing(1)
    other = await running.client()
    client.abort()
    done = (await running.gateway.exchanges(2))[-1]
    assert (done.flag, done.attempts) == ("DC", 1)
    assert running.cluster.retries.active == 0


async def test_a_flow_that_is_killed_between_two_tries(run: Any) -> None:
    """It is not sent again: its connection is closed without an answer, and addons hear of the error."""
    hooks = Hooks()

    class Kill:
        def request(self, flow: http.HTTPFlow) -> None:
            self.flow = flow

        def server_disconnected(self, data: Any) -> None:
            self.flow.kill()

    running = await run(failing(9), hooks, Kill(), policy=SOON + "}")
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    with pytest.raises((WireError, ConnectionError)):
        await client.answer()
    done = await running.done()
    assert (done.flag, done.attempts, len(running.backend.requests)) == ("LR", 1, 1)
    assert hooks.seen == ["requestheaders", "request", "error"]


async def test_no_place_for_a_retry(run: Any) -> None:
    """The answer is the backend's own, with the flag `UO`; with a retry budget of nothing as well."""
    for limits in ("maxParallelRetries: 0", "retryBudget: {percent: {numerator: 0}, minRetryConcurrency: 0}"):
        running = await run(failing(9), policy=f"circuitBreaker: {{{limits}}}, {SOON}}}")
        client = await running.client()
        assert (await client.request("GET", "/")).body == b"busy"
        done = await running.done()
        assert (done.flag, done.details, done.attempts) == ("UO", "via_upstream", 1)
        assert running.cluster.retries.counters.overflow == 1


async def test_a_retry_that_overflows(run: Any) -> None:
    """It is refused like any request, and the text says that it was one."""
    running = await run(failing(9), policy=SOON + "}")
    plane = running.gateway.plane

    class Close:
        def server_disconnected(self, data: Any) -> None:
            [pool] = plane.pools.values()
            pool.configure(Limits(pending=0), pool.settings)

    running.gateway.context.master.addons.add(Close())
    client = await running.client()
    answer = await client.request("GET", "/")
    text = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: overflow"
    assert (answer.status, answer.body.decode()) == (503, text)
    done = await running.done()
    assert (done.flag, done.attempts) == ("UO", 2)


async def test_every_try_counts_for_its_endpoint(run: Any) -> None:
    """A failure breaker learns from answers that are thrown away as from any other, and is asked before each try."""
    breaker = """
apiVersion: mirrorgate.dev/v1alpha1
kind: FailureBreakerPolicy
metadata: {name: breaker}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: route}]
  scope: Cluster
  minimumCalls: 3
  window: {calls: 3}
"""
    running = await run(failing(99), policy=SOON + "}", texts=(breaker,))
    running.gateway.adopt(running.gateway.snapshot)
    client = await running.client()
    assert (await client.request("GET", "/")).body == b"busy"
    assert len(running.backend.requests) == 3
    assert (await client.request("GET", "/")).status == 503
    done = await running.done(2)
    assert (done.attempts, done.refusal != "", len(running.backend.requests)) == (1, True, 3)


async def test_a_drain_ends_the_wait(run: Any) -> None:
    """What waits is tried at once, and for the last time."""
    running = await run(failing(1), policy=LATER)
    client = await running.client()
    await client.send(request_bytes("POST", "/", body=b"x"))
    await until(lambda: running.gateway.plane.pools and running.cluster.retries.active == 1)
    drained = asyncio.ensure_future(running.gateway.plane.drain(10.0))
    assert (await client.answer()).body == b"x"
    assert await drained
    assert running.cluster.retries.active == 0


async def test_a_drain_begins_no_retry(run: Any) -> None:
    """A failure that comes while the gateway leaves is the answer."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def script(talk: Conversation) -> None:
        await talk.request()
        asked.set()
        await answer.wait()
        await talk.answer(503, b"busy")

    running = await run(script, policy=LATER)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await asked.wait()
    drained = asyncio.ensure_future(running.gateway.plane.drain(10.0))
    answer.set()
    assert (await client.answer()).status == 503
    assert await drained


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_streamed_upload_is_repeated(run: Any, chunked: bool) -> None:
    """What has gone out is kept up to Envoy's buffer limit, and the rest follows it in the next try."""
    hooks = Hooks()

    async def script(talk: Conversation) -> None:
        if len(running.backend.conversations) > 1:
            request = await talk.request()
            await talk.answer(200, request.body + str(request.trailers).encode())
            return
        await talk.head()
        first.append(await talk.chunk() if chunked else await talk.exactly(4))
        await talk.answer(503, b"busy")
        await talk.gone()

    first: list[bytes] = []
    running = await run(script, hooks, policy=SOON + "}", settings=STREAM)
    client = await running.client()
    if chunked:
        data = request_bytes("POST", "/", chunks=[b"ping", b"pong"], trailers=[("sum", "1")])
        cut = data.index(b"4\r\npong")
    else:
        data = request_bytes("PUT", "/", body=b"pingpong")
        cut = len(data) - 4
    await client.send(data[:cut])
    await until(lambda: len(running.backend.conversations) == 2)
    await client.send(data[cut:])
    answer = await client.answer()
    assert answer.body == b"pingpong" + (b"(('sum', '1'),)" if chunked else b"()")
    assert first == [b"ping"]
    assert hooks.seen == ["requestheaders", "request", "responseheaders", "response"]


async def test_a_large_streamed_upload_is_not_repeated(run: Any) -> None:
    """Above the buffer limit the answer stays what it is, without a flag; a buffered body of any size is repeated."""
    body = b"x" * 100_000
    running = await run(failing(1), policy=SOON + "}", settings=STREAM)
    client = await running.client()
    assert (await client.request("POST", "/", body=body)).status == 503
    done = await running.done()
    assert (done.flag, done.attempts) == ("-", 1)
    assert running.cluster.retries.counters.abandoned == 1
    running = await run(failing(1), policy=SOON + "}")
    client = await running.client()
    assert (await client.request("POST", "/", body=body)).body == body


async def test_a_route_retries_in_its_own_words(run: Any) -> None:
    """`HTTPRoute` rule `retry` wins over the policy's, and a `backendRequest` timeout is one of a try."""
    rule = "retry: {codes: [500], attempts: 1, backoff: 1ms}"
    running = await run(failing(1, response_bytes(500)), rule=rule, policy="retry: {numRetries: 0}")
    client = await running.client()
    assert (await client.request("GET", "/")).status == 200
    running = await run(failing(1), rule=rule)
    client = await running.client()
    assert (await client.request("GET", "/")).status == 503

    async def script(talk: Conversation) -> None:
        await talk.request()
        if len(running.backend.conversations) == 1:
            await talk.gone()
        await talk.answer(200)

    running = await run(script, rule=f"{rule}, timeouts: {{request: 60s, backendRequest: 50ms}}")
    client = await running.client()
    assert (await client.request("GET", "/")).status == 200
    assert (await running.done()).attempts == 2


async def test_an_answer_that_has_begun_is_never_retried(run: Any) -> None:
    """Neither a stream that breaks, nor a body that does, nor a tunnel."""

    async def script(talk: Conversation) -> None:
        request = await talk.request()
        if request.target == "/stream":
            await talk.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\nab")
        elif request.target == "/body":
            await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab")
        else:
            await talk.say(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        talk.reset()

    running = await run(script, policy="retry: {retryOn: {triggers: [5xx, reset, gateway-error]}}")
    for path in ("/stream", "/body", "/tunnel"):
        client = await running.client()
        headers = [("connection", "upgrade"), ("upgrade", "websocket")] if path == "/tunnel" else []
        await client.send(request_bytes("GET", path, headers))
        assert (await client.head()).status == {"/stream": 200, "/body": 502, "/tunnel": 101}[path]
    await until(lambda: len(running.gateway.done) == 3)
    assert [request.target for request in running.backend.requests] == ["/stream", "/body", "/tunnel"]


async def test_a_switch_that_fails_is_retried(run: Any) -> None:
    """Before a tunnel there is a request like any other."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        if len(running.backend.conversations) == 1:
            await talk.answer(503)
            return
        await talk.say(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        await talk.say(await talk.read())

    running = await run(script, policy=SOON + "}")
    client = await running.client()
    await client.send(request_bytes("GET", "/", [("connection", "upgrade"), ("upgrade", "websocket")]))
    assert (await client.head()).status == 101
    await client.send(b"hi")
    assert await client.read() == b"hi"
