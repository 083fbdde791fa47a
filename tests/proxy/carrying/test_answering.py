"""The way down: framing, streaming, edits of addons, and clients that read slowly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
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
