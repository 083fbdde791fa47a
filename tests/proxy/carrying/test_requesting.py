"""The way up: routes, bodies, what addons change or answer, and refusals before anything is sent on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Backend, Conversation, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

OK = answering(lambda request: response_bytes(body=b"%d" % len(request.body)))


async def test_requests_are_passed_on_with_the_gateways_fields(run: Any) -> None:
    """Method, target, body and the client's fields; without hop-by-hop fields and those a client must not set."""
    running = await run(OK)
    client = await running.client()
    fields = [
        ("Host", "example.com:81"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("x-request-id", "mine"),
        ("x-gateway-destination-endpoint", "10.0.0.9:80"),
        ("x-envoy-internal", "true"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("x-kept", "a"),
        ("x-kept", "b"),
    ]
    assert (await client.request("PUT", "/a?b=%2f", fields, b"body")).status == 200
    [request] = running.backend.requests
    assert (request.method, request.target, request.body) == ("PUT", "/a?b=%2f", b"body")
    assert request.header("x-request-id") not in (None, "mine")
    assert [field for field in request.headers if field[0] != "x-request-id"] == [
        ("Host", "example.com:81"),
        ("x-kept", "a"),
        ("x-kept", "b"),
        ("x-forwarded-for", "10.0.0.1,127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("content-length", "4"),
    ]


async def test_old_requests_are_passed_on_as_new_ones(run: Any) -> None:
    """HTTP/1.0 without Host: HTTP/1.1 with one, and a connection of its own for the client."""
    running = await run(OK)
    client = await running.client()
    await client.send(b"POST /a HTTP/1.0\r\ncontent-length: 2\r\n\r\nab")
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"2")
    assert answer.head.header("connection") == "close"
    assert await client.closed()
    [request] = running.backend.requests
    assert (request.version, request.header("host")) == ("HTTP/1.1", f"127.0.0.1:{running.backend.port}")


async def test_an_absolute_target_decides_about_route_and_host(run: Any, manifests: Any) -> None:
    """The Host beside it is not believed by anybody."""
    running = await run(OK, rule="matches: [{headers: [{name: host, value: right}]}]")
    client = await running.client()
    answer = await client.request("GET", "http://right/a?b", [("host", "wrong")])
    assert answer.status == 200
    [request] = running.backend.requests
    assert (request.target, request.header("host")) == ("/a?b", "right")


@pytest.mark.parametrize("body", [b"", b"0123456789"])
async def test_chunked_requests_are_buffered_and_sized(run: Any, body: bytes) -> None:
    """Small ones: addons see them whole."""
    running = await run(OK)
    client = await running.client()
    pieces = [body[:3], body[3:]] if body else []
    assert (await client.request("POST", "/", chunks=pieces)).body == b"%d" % len(body)
    [request] = running.backend.requests
    assert (request.header("content-length"), request.header("transfer-encoding")) == (
        str(len(body)) if body else None,
        None,
    )


async def test_trailers_are_passed_on(run: Any) -> None:
    """A buffered request with trailers is chunked again."""
    running = await run(OK)
    client = await running.client()
    for chunks in ([b"abc"], []):
        await client.request("POST", "/", chunks=chunks, trailers=[("sum", "1")])
        request = running.backend.requests[-1]
        assert (request.body, request.trailers) == (b"".join(chunks), (("sum", "1"),))


async def test_without_a_route_the_body_is_not_waited_for(run: Any) -> None:
    """404 and close while it is still coming; 404 and go on when it is there."""
    running = await run(OK, rule="matches: [{path: {value: /only}}]")
    client = await running.client()
    for _ in range(2):
        answer = await client.request("POST", "/other", body=b"abc")
        assert (answer.status, answer.body, answer.head.header("connection")) == (404, b"", None)
    await client.send(request_bytes("POST", "/other", [("content-length", "1000")], b"x"))
    assert (await client.answer()).head.header("connection") == "close"
    done = await running.done(3)
    assert (done.flag, done.details, done.refusal) == ("NR", "route_not_found", "no_route")
    assert await client.closed() is not None


async def test_100_continue_is_sent_when_the_body_is_wanted(run: Any) -> None:
    """Once, before the body, and not on to the upstream."""
    running = await run(OK)
    client = await running.client()
    await client.send(request_bytes("POST", "/", [("expect", "100-continue"), ("content-length", "3")]))
    assert (await client.head()).status == 100
    await client.send(b"abc")
    assert (await client.answer()).body == b"3"
    assert running.backend.requests[0].header("expect") is None
    answer = await client.request("POST", "/", [("expect", "100-continue")], b"abc")
    assert (answer.informational, answer.body) == ((), b"3")


async def test_100_continue_is_not_sent_for_a_body_that_is_refused(run: Any) -> None:
    """Too large, or for nobody, or of an old client: the final answer comes instead."""
    running = await run(
        OK, rule="matches: [{path: {value: /only}}]", settings=Settings(stream_over=None, body_limit=10)
    )
    for target, length, version, status in (("/only", 11, "1.1", 413), ("/other", 3, "1.1", 404)):
        client = await running.client()
        fields = [("expect", "100-continue"), ("content-length", str(length))]
        await client.send(request_bytes("POST", target, fields, version=version))
        answer = await client.answer()
        assert (answer.status, answer.informational) == (status, ())
    client = await running.client()
    await client.send(request_bytes("POST", "/only", [("expect", "100-continue")], b"abc", version="1.0"))
    assert (await client.answer()).informational == ()


@pytest.mark.parametrize("known", [True, False])
async def test_bodies_over_the_limit_are_413(run: Any, known: bool) -> None:
    """Before they are read where their length is known, while they come where not; the connection ends."""
    running = await run(OK, settings=Settings(stream_over=None, body_limit=1000))
    client = await running.client()
    if known:
        await client.send(request_bytes("POST", "/", [("content-length", "1001")]))
    else:
        await client.send(request_bytes("POST", "/", chunks=[b"x" * 600] * 2)[:-5])
    answer = await client.answer()
    assert (answer.status, answer.head.header("connection")) == (413, "close")
    assert answer.body == b"the request body is larger than 1000 bytes"
    done = await running.done()
    assert (done.refusal, done.details) == ("body_too_large", "request_payload_too_large")
    assert running.backend.conversations == []


async def test_large_bodies_stream_unless_a_rule_needs_them(run: Any) -> None:
    """A rule that leads to an InferencePool reads the model, whatever the size."""
    settings = Settings(stream_over=1000)
    streams: list[object] = []

    class Look:
        def request(self, flow: http.HTTPFlow) -> None:
            streams.append((flow.request.stream, flow.request.raw_content is None))

    for pool, streamed in ((False, True), (True, False)):
        running = await run(OK, Look(), pool=pool, settings=settings)
        client = await running.client()
        for request in (
            request_bytes("POST", "/", body=b"x" * 2000),
            request_bytes("POST", "/", chunks=[b"x" * 900] * 3),
        ):
            await client.send(request[:1900])
            await until(lambda running=running: running.gateway.plane.connections)
            await client.send(request[1900:])
            assert (await client.answer()).status == 200
        assert streams == [(streamed, streamed)] * 2
        streams.clear()


async def test_a_chunked_body_streams_once_it_is_large(run: Any) -> None:
    """What was buffered until then goes on with it; a body of any size passes."""
    size = 0

    async def script(talk: Conversation) -> None:
        nonlocal size
        await talk.head()
        while piece := await talk.chunk():
            size += len(piece)
        await talk.answer(200, b"%d" % size)
        await talk.gone()

    running = await run(script, settings=Settings(stream_over=100_000, body_limit=200_000))
    client = await running.client()
    await client.send(request_bytes("POST", "/", chunks=[b"x" * 150_000])[:-5])
    await until(lambda: size == 150_000)
    await client.send(b"30d40\r\n" + b"x" * 200_000 + b"\r\n0\r\n\r\n")
    assert (await client.answer()).body == b"350000"
    assert (await running.done()).bytes_received == 350_000


class Slow:
    """Waits in `requestheaders` until it is told."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.waits = asyncio.Event()

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        self.waits.set()
        await self.go.wait()


async def test_a_body_does_not_pile_up_while_an_addon_waits(run: Any) -> None:
    """The client is not read beyond a bounded part; then the limit applies as ever."""
    slow = Slow()
    running = await run(OK, slow, settings=Settings(stream_over=None, body_limit=5_000_000))
    client = await running.client(timeout=30)
    sending = asyncio.ensure_future(
        client.send(request_bytes("POST", "/", [("content-length", "4000000")]), b"x" * 4_000_000)
    )
    await slow.waits.wait()
    [connection] = running.gateway.plane.connections
    await until(lambda: "body" in connection._paused)
    assert connection.carrier.inbound.buffered < 1_000_000
    slow.go.set()
    assert (await client.answer()).body == b"4000000"
    await sending


class Change:
    """Changes requests: what to do is in the request's target."""

    def __init__(self) -> None:
        self.port = 0

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if flow.request.path == "/early":
            flow.request.path = "/only"

    def request(self, flow: http.HTTPFlow) -> None:
        match flow.request.path:
            case "/path":
                flow.request.path = "/only?changed"
            case "/method":
                flow.request.method = "DELETE"
                flow.request.path = "/only"
            case "/body":
                flow.request.path = "/only"
                flow.request.content = b"a longer body"
                flow.request.headers["x-added"] = "1"
            case "/empty":
                flow.request.path = "/only"
                flow.request.content = None
            case "/host":
                flow.request.headers["host"] = "special"
            case "/address":
                flow.request.host, flow.request.port = "127.0.0.1", self.port
            case "/nowhere":
                flow.request.host = "a..b"


ONLY = "matches: [{path: {value: /only}}, {headers: [{name: host, value: special}]}]"


async def test_addons_change_requests(run: Any) -> None:
    """And they are routed as changed: path, method, body and Host."""
    running = await run(OK, Change(), rule=ONLY)
    client = await running.client()
    assert (await client.request("GET", "/unchanged")).status == 404
    for target in ("/early", "/path", "/method", "/body", "/empty", "/host"):
        answer = await client.request("POST", target, body=b"abc")
        assert answer.status == 200, target
    seen = [(request.method, request.target, request.body) for request in running.backend.requests]
    assert seen == [
        ("POST", "/only", b"abc"),
        ("POST", "/only?changed", b"abc"),
        ("DELETE", "/only", b"abc"),
        ("POST", "/only", b"a longer body"),
        ("POST", "/only", b""),
        ("POST", "/host", b"abc"),
    ]
    assert running.backend.requests[3].header("x-added") == "1"
    assert running.backend.requests[4].header("content-length") == "0"
    assert running.backend.requests[5].header("host") == "special"


async def test_a_changed_request_may_have_no_route(run: Any) -> None:
    """The route of what was asked does not stand for what is asked now."""

    class Away:
        def request(self, flow: http.HTTPFlow) -> None:
            flow.request.path = "/away"

    running = await run(OK, Away(), rule=ONLY)
    assert (await (await running.client()).request("GET", "/only")).status == 404
    assert running.backend.conversations == []


async def test_an_address_that_an_addon_sets_is_used_as_it_is(run: Any) -> None:
    """As a cluster of its own, route or none; it is forgotten once nobody uses it."""
    change = Change()
    running = await run(OK, change, rule=ONLY)
    async with Backend(answering(response_bytes(body=b"elsewhere"))) as other:
        change.port = other.port
        client = await running.client()
        assert (await client.request("GET", "/address")).body == b"elsewhere"
        done = await running.done()
        assert (done.cluster, done.endpoint) == (f"direct/127.0.0.1:{other.port}", f"127.0.0.1:{other.port}")
        assert (done.route, done.rule) == ("", 0)
    plane = running.gateway.plane
    await until(lambda: plane.pools[done.cluster].cluster.idle)
    plane._sweep()
    assert done.cluster not in plane.pools


async def test_an_address_that_is_none_is_a_connect_failure(run: Any) -> None:
    """A bug of an addon's ends its own flow."""
    running = await run(OK, Change())
    client = await running.client()
    assert (await client.request("GET", "/nowhere")).status == 503
    assert (await client.request("GET", "/fine")).status == 200


async def test_an_addon_answers(run: Any) -> None:
    """In either hook; nothing is sent on, no place is taken, and the connection is kept."""

    class Reply:
        def requestheaders(self, flow: http.HTTPFlow) -> None:
            if flow.request.path == "/head":
                flow.response = http.Response.make(201, b"from the head")

        def request(self, flow: http.HTTPFlow) -> None:
            if flow.request.path == "/whole":
                flow.response = http.Response.make(202, flow.request.content or b"", {"Connection": "keep-alive"})
            elif flow.request.path == "/bare":
                flow.response = http.Response.make(204)

        def response(self, flow: http.HTTPFlow) -> None:
            assert flow.response is not None
            flow.response.headers["x-seen"] = "1"

    running = await run(OK, Reply())
    client = await running.client()
    for target, status, body in (("/head", 201, b"from the head"), ("/whole", 202, b"abc"), ("/bare", 204, b"")):
        answer = await client.request("POST", target, body=b"abc")
        assert (answer.status, answer.body, answer.head.header("x-seen")) == (status, body, "1")
        assert answer.head.header("content-length") == (None if status == 204 else str(len(body)))
    assert (await client.request("HEAD", "/head")).head.header("content-length") == "13"
    done = await running.done(4)
    assert (done.details, done.flag, done.cluster) == ("set_by_addon", "-", "httproute/default/route/rule/0")
    assert running.gateway.plane.pools == {}


async def test_an_answer_of_an_addon_waits_for_the_body(run: Any) -> None:
    """As in mitmproxy: the whole request is read first, also when an addon has asked for streaming besides."""

    class Reply:
        def requestheaders(self, flow: http.HTTPFlow) -> None:
            flow.request.stream = True
            flow.response = http.Response.make(200, b"set")

    running = await run(OK, Reply())
    client = await running.client()
    request = request_bytes("POST", "/", body=b"abc")
    await client.send(request[:-1])
    await until(lambda: running.gateway.plane.connections)
    assert running.gateway.done == []
    await client.send(request[-1:])
    assert (await client.answer()).body == b"set"


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
async def test_an_exchange_that_is_killed_ends_without_an_answer(run: Any, hook: str) -> None:
    """The connection is closed and nothing is sent on."""
    hooks: list[str] = []

    class Kill:
        def error(self, flow: http.HTTPFlow) -> None:
            assert flow.error is not None
            hooks.append(flow.error.msg)

    kill = Kill()
    setattr(kill, hook, lambda flow: flow.kill())
    running = await run(OK, kill)
    client = await running.client()
    await client.send(request_bytes("POST", "/", body=b"abc"))
    assert await client.read() == b""
    done = await running.done()
    assert (done.status, done.flag, done.details) == (0, "LR", "killed")
    assert hooks == ["Connection killed."]
    assert running.backend.conversations == []


async def test_a_model_that_no_rule_knows_is_refused_in_the_apis_shape(run: Any) -> None:
    """A body that is no inference request, on an inference path."""
    running = await run(OK, pool=True)
    answer = await (await running.client()).request("POST", "/v1/chat/completions", body=b"{")
    assert (answer.status, answer.head.header("content-type")) == (400, "application/json")
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert (await running.done()).refusal == "bad_inference_request"


@pytest.mark.parametrize("addon", [None, "requestheaders", "request"])
async def test_a_head_that_is_repeated_is_sent_on_as_the_first_was(run: Any, addon: str | None) -> None:
    """With each request's own length, path and identifier; what an addon has done to one is done to that one only."""
    seen = 0

    def change(self: object, flow: http.HTTPFlow) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            flow.request.headers["x-own"] = "changed"
            flow.request.path = "/changed"

    class Look:
        def done(self) -> None: ...

    if addon:
        setattr(Look, addon, change)
    running = await run(OK, Look())
    client = await running.client()
    fields = [("Host", "example.com"), ("X-Forwarded-For", "10.0.0.1"), ("x-own", "a"), ("x-request-id", "mine")]
    sizes = [4, 4, 700, 4, 0, 70_000, 1]
    for size in sizes:
        answer = await client.request("POST", "/a", fields, b"x" * size)
        assert (answer.status, answer.body) == (200, b"%d" % size)
    requests = running.backend.requests
    changed = [addon is not None and number == 2 for number in range(len(sizes))]
    assert [request.target for request in requests] == ["/changed" if each else "/a" for each in changed]
    assert [[field for field in request.headers if field[0] != "x-request-id"] for request in requests] == [
        [
            ("Host", "example.com"),
            ("x-own", "changed" if each else "a"),
            ("x-forwarded-for", "10.0.0.1,127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("content-length", str(size)),
        ]
        for size, each in zip(sizes, changed, strict=True)
    ]
    identifiers = {request.header("x-request-id") for request in requests}
    assert len(identifiers) == len(sizes)
    assert "mine" not in identifiers
    await running.gateway.exchanges(len(sizes))
    assert [done.bytes_received for done in await running.gateway.exchanges(len(sizes))] == sizes
