"""The way down: framing, streaming, edits of addons, broken answers, tunnels, and clients that read slowly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.clients import WireError, request_bytes
from mirrorgate.testing.in_loop import until

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_a_buffered_answer_is_framed_by_its_length(run: Any) -> None:
    """Chunked or not at the upstream; hop-by-hop fields stay there, and the connection is kept on both sides."""
    reply = OK + b"Connection: keep-alive, x-named\r\nx-named: 1\r\nx-kept: 1\r\ntransfer-encoding: chunked\r\n\r\n"
    running = await run(answering(reply + chunk(b"ab") + chunk(b"c") + b"0\r\n\r\n"))
    client = await running.client()
    for _ in range(2):
        answer = await client.request("GET", "/")
        names = [name.lower() for name, _ in answer.head.headers]
        assert (answer.status, answer.body, sorted(names)) == (200, b"abc", ["content-length", "date", "x-kept"])
    assert len(running.backend.conversations) == 1
    done = await running.done(2)
    assert (done.status, done.flag, done.details, done.bytes_sent) == (200, "-", "via_upstream", 3)


async def test_a_body_until_the_close_is_a_whole_answer(run: Any) -> None:
    """The upstream's connection ends, the client's goes on."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(OK + b"\r\nab", b"c")

    running = await run(script)
    client = await running.client()
    for _ in range(2):
        answer = await client.request("GET", "/")
        assert (answer.body, answer.head.header("content-length")) == (b"abc", "3")
    assert len(running.backend.conversations) == 2


async def test_a_body_until_a_reset_is_no_answer(run: Any) -> None:
    """A reset tells the truth: the body was cut."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(OK + b"\r\nab")
        await asked.wait()
        talk.reset()

    asked = asyncio.Event()
    seen = asyncio.Event()

    class Look:
        def responseheaders(self, flow: http.HTTPFlow) -> None:
            seen.set()

    running = await run(script, Look())
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await seen.wait()
    asked.set()
    answer = await client.answer()
    assert answer.status == 502
    assert (await running.done()).flag == "UPE"


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_keep_the_connection(run: Any, status: int) -> None:
    """Whatever length the upstream names; 204 must not name one (RFC 9110, 8.6)."""
    running = await run(answering(b"HTTP/1.1 %d X\r\ncontent-length: 5\r\n\r\n" % status))
    client = await running.client()
    for _ in range(2):
        answer = await client.request("GET", "/")
        assert (answer.status, answer.head.header("content-length")) == (status, "5" if status == 304 else None)
    assert len(running.backend.conversations) == 1


@pytest.mark.parametrize(
    ("framing", "expected"),
    [
        (b"content-length: 5\r\n", ("5", None)),
        (b"transfer-encoding: chunked\r\n", (None, "chunked")),
        (b"", (None, None)),
    ],
)
async def test_the_answer_to_head_has_the_fields_alone(run: Any, framing: bytes, expected: tuple[str, str]) -> None:
    """And the client can go on with its next request."""
    running = await run(answering(OK + framing + b"\r\n"))
    client = await running.client()
    for _ in range(2):
        answer = await client.request("HEAD", "/")
        assert (answer.head.header("content-length"), answer.head.header("transfer-encoding")) == expected
    assert len(running.backend.conversations) == 1 if framing else 2


async def test_trailers_are_passed_on(run: Any) -> None:
    """Of answers that are buffered or streamed, empty or not."""
    running = await run(answering(lambda request: CHUNKED + request.body + b"0\r\nsum: 1\r\n\r\n"))
    client = await running.client()
    for body in (b"", chunk(b"abc"), chunk(b"x" * 70_000)):
        answer = await client.request("POST", "/", body=body)
        assert answer.trailers == (("sum", "1"),)
        assert answer.body == (body[body.index(b"\r\n") + 2 : -2] if body else b"")


async def test_old_clients_get_no_chunks_and_no_trailers(run: Any) -> None:
    """HTTP/1.0: a length where it is known, the connection's end where not."""
    events = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    tail = chunk(b"data: 1\n\n") + b"0\r\nsum: 1\r\n\r\n"
    running = await run(answering(lambda request: (events if request.target == "/events" else CHUNKED) + tail))
    client = await running.client()
    await client.send(request_bytes("GET", "/", [("connection", "keep-alive")], version="1.0"))
    answer = await client.answer()
    assert (answer.head.header("content-length"), answer.head.header("connection")) == ("9", "keep-alive")
    await client.send(request_bytes("GET", "/events", [("connection", "keep-alive")], version="1.0"))
    answer = await client.answer()
    assert (answer.head.header("transfer-encoding"), answer.head.header("connection")) == (None, "close")
    assert answer.body == b"data: 1\n\n"
    assert await client.closed()


async def test_events_stream_and_are_timed(run: Any) -> None:
    """Each piece goes on when it comes; TTFT and the gaps are measured."""
    go = asyncio.Semaphore(0)

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(OK + b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(3):
            await go.acquire()
            await talk.say(chunk(b"data: %d\n\n" % number))
        await talk.say(b"0\r\n\r\n")
        await talk.gone()

    running = await run(script)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    assert (await client.head()).header("content-type") == "text/event-stream; charset=utf-8"
    for number in range(3):
        go.release()
        piece = await client.chunk()
        assert piece is not None
        assert piece.data == b"data: %d\n\n" % number
    done = await running.done()
    assert done.streamed
    assert done.ttft is not None
    assert done.itl is not None
    assert (done.bytes_sent, done.status) == (27, 200)


async def test_token_usage_is_read_from_the_end(run: Any) -> None:
    """Of an event stream without the client's asking more than its model."""
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'
    head = OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    running = await run(answering(head + chunk(usage) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"), pool=True)
    client = await running.client()
    await client.request("POST", "/v1/chat/completions", body={"model": "m", "messages": []})
    done = await running.done()
    assert (done.model, done.prompt_tokens, done.completion_tokens) == ("m", 7, 3)


@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
async def test_large_answers_stream(run: Any, framing: str) -> None:
    """Over `stream_over` bytes, known before or found out later; the flow has no content then."""
    body = b"x" * 300_000
    head = {"length": b"content-length: 300000\r\n", "chunks": b"transfer-encoding: chunked\r\n", "close": b""}[framing]
    contents: list[Any] = []

    class Look:
        def response(self, flow: http.HTTPFlow) -> None:
            assert flow.response is not None
            contents.append((flow.response.stream, flow.response.raw_content))

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(OK + head + b"\r\n" + (chunk(body) + b"0\r\n\r\n" if framing == "chunks" else body))

    running = await run(script, Look(), settings=Settings(stream_over=100_000))
    answer = await (await running.client()).request("GET", "/")
    assert answer.body == body
    assert answer.head.header("content-length") == ("300000" if framing == "length" else None)
    assert contents == [(True, None)]


async def test_streamed_bodies_are_stored_on_demand(run: Any) -> None:
    """As with mitmproxy's `store_streamed_bodies`."""
    contents: list[Any] = []

    class Look:
        def response(self, flow: http.HTTPFlow) -> None:
            assert flow.response is not None
            contents.append((flow.request.raw_content, flow.response.raw_content))

    running = await run(
        answering(response_bytes(body=b"pong" * 10)), Look(), settings=Settings(stream_over=0, store_streamed=True)
    )
    client = await running.client()
    await client.send(request_bytes("POST", "/", body=b"ping" * 10)[:-5])
    await client.send(b"gping"[-5:])
    assert (await client.answer()).body == b"pong" * 10
    assert contents == [(b"ping" * 10, b"pong" * 10)]


class Edit:
    """Changes answers: what to do is in the request's target."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        if flow.request.path == "/stream":
            flow.response.headers["content-length"] = "6"
            flow.response.stream = lambda piece: [piece, piece] if piece else b""
        elif flow.request.path == "/upper":
            flow.response.stream = lambda piece: piece.upper() if piece else b"!"
            del flow.response.headers["content-length"]
        elif flow.request.path == "/raises":
            flow.response.stream = lambda piece: 1 / 0  # type: ignore[return-value]

    def response(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        if flow.request.path == "/edit":
            flow.response.status_code = 418
            flow.response.reason = "Teapot"
            flow.response.headers["x-edited"] = "1"
            flow.response.headers["content-length"] = "77777"
            flow.response.data.content = b"longer than before"
        elif flow.request.path == "/empty":
            flow.response.status_code = 204
        elif flow.request.path == "/filled":
            flow.response.status_code = 200
            flow.response.content = b"filled"


async def test_addons_edit_answers(run: Any) -> None:
    """Status, reason, fields and body; the framing is always the gateway's."""
    running = await run(answering(response_bytes(body=b"abc")), Edit())
    client = await running.client()
    answer = await client.request("GET", "/edit")
    assert (answer.status, answer.head.reason, answer.head.header("x-edited")) == (418, "Teapot", "1")
    assert answer.body == b"longer than before"
    answer = await client.request("GET", "/empty")
    assert (answer.status, answer.head.reason, answer.head.header("content-length")) == (204, "No Content", None)
    assert (await client.request("GET", "/stream")).body == b"abcabc"
    assert (await client.request("GET", "/raises")).body == b"abc"


async def test_an_addon_fills_an_answer_that_had_no_body(run: Any) -> None:
    """A 304 that becomes a 200 is framed by what the addon has put in."""
    running = await run(answering(b"HTTP/1.1 304 Not Modified\r\n\r\n"), Edit())
    answer = await (await running.client()).request("GET", "/filled")
    assert (answer.status, answer.body) == (200, b"filled")


async def test_a_stream_function_may_end_with_more(run: Any) -> None:
    """What it returns for the empty piece at the end is sent, too."""
    running = await run(answering(response_bytes(body=b"abc")), Edit())
    answer = await (await running.client()).request("GET", "/upper")
    assert (answer.body, answer.head.header("transfer-encoding")) == (b"ABC!", "chunked")


async def test_what_the_upstream_is_asked_decides_about_its_answer(run: Any) -> None:
    """An addon that turns HEAD into GET or back changes the upstream's framing, not the client's."""

    class Turn:
        def request(self, flow: http.HTTPFlow) -> None:
            flow.request.method = "GET" if flow.request.method == "HEAD" else "HEAD"

    running = await run(
        answering(lambda r: OK + b"content-length: 3\r\n\r\n" + (b"abc" if r.method == "GET" else b"")), Turn()
    )
    client = await running.client()
    answer = await client.request("HEAD", "/")
    assert (answer.status, answer.head.header("content-length")) == (200, "3")
    assert (await client.request("GET", "/")).body == b""
    assert len(running.backend.conversations) == 1


BROKEN = {
    "nothing": b"",
    "half a head": OK[:9],
    "a sized body": OK + b"content-length: 9\r\n\r\nab",
    "a chunked body": CHUNKED + b"5\r\nab",
    "a bad chunk": CHUNKED + b"zz\r\n",
    "no HTTP": b"220 smtp.example.com\r\n",
    "both framings": OK + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("reset", [False, True])
async def test_broken_answers_that_were_buffered_are_errors(run: Any, reply: bytes, reset: bool) -> None:
    """Before a byte went to the client: 503 where there was no head, 502 else; the client's connection goes on."""
    hooks: list[str] = []

    class Look:
        def responseheaders(self, flow: http.HTTPFlow) -> None:
            hooks.append("responseheaders")

        def error(self, flow: http.HTTPFlow) -> None:
            hooks.append("error")
            assert flow.error is not None

        def response(self, flow: http.HTTPFlow) -> None:
            hooks.append("response")

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(reply)
        if reset:
            talk.reset()

    running = await run(script, Look())
    client = await running.client()
    answer = await client.request("GET", "/")
    no_head = reply in (b"", OK[:9])
    assert answer.status == (503 if no_head else 502)
    assert hooks[-1] == "error"
    assert hooks.count("error") == 1
    assert "response" not in hooks
    done = await running.done()
    assert (done.status, done.flag) == ((503, "UC") if no_head else (502, "UPE"))
    assert (await client.request("GET", "/")).status == answer.status


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("framing", [b"content-length: 9\r\n", b"transfer-encoding: chunked\r\n"])
async def test_broken_answers_that_stream_are_cut(run: Any, framing: bytes, reset: bool) -> None:
    """The client has the status already: its connection ends without the body's end."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        piece = chunk(b"data: 1\n\n")[:-2] if b"chunked" in framing else b"data: 1"
        await talk.say(OK + b"content-type: text/event-stream\r\n" + framing + b"\r\n" + piece)
        await seen.wait()
        if reset:
            talk.reset()

    seen = asyncio.Event()
    running = await run(script)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    assert (await client.head()).status == 200
    seen.set()
    rest = b""
    while piece := await client.read():
        rest += piece
    assert rest.startswith(b"9\r\ndata: 1" if b"chunked" in framing else b"data: 1")
    assert not rest.endswith(b"0\r\n\r\n")
    done = await running.done()
    assert (done.status, done.flag) == (200, "UPE")
    assert done.details == "upstream_reset_after_response_started{protocol_error}"


async def test_bytes_behind_an_answer_end_the_connection(run: Any) -> None:
    """They are nobody's answer: the next request gets a connection of its own."""
    running = await run(answering(response_bytes(body=b"one") + response_bytes(body=b"smuggled")))
    client = await running.client()
    assert [(await client.request("GET", "/")).body for _ in range(2)] == [b"one", b"one"]
    assert len(running.backend.conversations) == 2


async def test_an_answer_before_the_upload_ends_is_sent_at_once(run: Any) -> None:
    """With `connection: close`; the rest of the upload is dropped, and the upstream's connection is not used again."""

    async def script(talk: Conversation) -> None:
        await talk.head()
        await talk.answer(429, b"later")
        await talk.gone()

    running = await run(script, settings=Settings(stream_over=0))
    client = await running.client()
    await client.send(request_bytes("POST", "/", [("content-length", "1000000")], body=b"x" * 1000))
    answer = await client.answer()
    assert (answer.status, answer.body, answer.head.header("connection")) == (429, b"later", "close")
    await client.send(b"x" * 1000)
    assert await client.closed() is not None
    assert (await running.done()).status == 429
    assert running.cluster.connections == 0


@pytest.mark.parametrize("buffered", [True, False])
async def test_a_client_that_does_not_read_stops_the_upstream(run: Any, buffered: bool) -> None:
    """The gateway holds a bounded part of the answer, and the place, until the client has the last byte."""
    size = 40_000_000
    wrote = 0

    async def script(talk: Conversation) -> None:
        nonlocal wrote
        await talk.request()
        await talk.say(OK + b"content-length: %d\r\n\r\n" % size)
        talk.timeout = 60
        while wrote < size:
            await talk.say(b"x" * 100_000)
            wrote += 100_000
        await talk.gone()

    running = await run(script, settings=Settings(stream_over=None if buffered else 1_000_000))
    client = await running.client(receive_buffer=100_000, timeout=60)
    client.stop_reading()
    await client.send(request_bytes("GET", "/"))
    [connection] = await _connections(running)
    if buffered:
        await until(lambda: connection.unsent > 0, 30)
        assert wrote == size
    else:
        await until(lambda: not connection.writable, 30)
        before = -1
        while before != wrote:
            before = wrote
            await asyncio.sleep(0.05)  # what is under way in the kernels' buffers arrives; more must not follow
        assert wrote < 20_000_000
        assert connection.unsent < 2_000_000
    assert running.cluster.active == 1
    client.resume_reading()
    assert len((await client.answer()).body) == size
    done = await running.done()
    assert (done.status, done.bytes_sent) == (200, size)


async def _connections(running: Any) -> list[Any]:
    await until(lambda: running.gateway.plane.connections)
    return list(running.gateway.plane.connections)


UPGRADE = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "x"), ("sec-websocket-version", "13")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nsec-websocket-accept: y\r\n\r\n"


async def echo(talk: Conversation) -> None:
    """Grant a switch of protocols with a greeting behind its head, and say everything again."""
    await talk.request()
    await talk.say(SWITCH + b"hello")
    while data := await talk.read():
        await talk.say(data)


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
    await client.send(request_bytes("GET", "/first") + request_bytes("GET", "/", UPGRADE) + request_bytes("GET", "/none"))
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
    assert len(connection._reader.held) < 1_000_000
    go.set()
    assert (await client.head()).status == 101
    assert await client.reader.readexactly(3) == b"all"
    await sending


async def test_a_client_that_leaves_inside_an_answer_frees_the_place(run: Any) -> None:
    """At once, and the upstream sees its connection end."""
    gone = asyncio.Event()

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(OK + b"content-type: text/event-stream\r\n\r\ndata: 1\n\n")
        await talk.gone()
        gone.set()

    running = await run(script)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    assert (await client.head()).status == 200
    assert running.cluster.active == 1
    client.abort()
    await gone.wait()
    done = await running.done()
    assert (done.status, done.flag, done.refusal) == (200, "DC", "client_left")
    assert running.cluster.active == 0


async def test_an_answer_that_never_comes_to_its_end_is_seen(run: Any) -> None:
    """By the raw client, too: what it gets is no whole answer."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"data: 1\n\n"))

    running = await run(script)
    client = await running.client()
    with pytest.raises(WireError):
        await client.request("GET", "/")
