"""Streams of a client's HTTP/2 connection that end in an unusual order: each costs itself, and nothing stays behind."""

from __future__ import annotations

import time
from typing import Any

from hyperframe.frame import RstStreamFrame
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.http2_client import Http2Client
from mirrorgate.testing.in_loop import until

SIZE = answering(lambda request: response_bytes(body=str(len(request.body)).encode()))
LARGE = [("x-large", "a" * 5000)]
PROTOCOL_ERROR, CANCEL = 1, 8


async def connect(running: Any) -> Http2Client:
    return await Http2Client.connect(running.gateway.port)


def link_of(running: Any) -> Any:
    [link] = running.gateway.plane.connections
    return link


async def without_window(running: Any) -> Http2Client:
    """Connect a client that lets no byte of a body out before it opens a window."""
    client = await connect(running)
    client.granting = False
    client.session.update_settings({4: 0})  # SETTINGS_INITIAL_WINDOW_SIZE
    client.flush()
    return client


async def test_large_head_without_a_window(run: Any) -> None:
    """The answer to a head over the limit waits for the client's window; the requests beside it go on."""
    running = await run(SIZE, settings=Settings(max_head=4096))
    async with await without_window(running) as client:
        large = client.begin("GET", "/", headers=LARGE)
        await client.until(lambda: large.status == 431 or large.over)
        fine = client.begin("GET", "/")
        await client.until(lambda: fine.status == 200)
        client.session.increment_flow_control_window(1, fine.number)
        client.flush()
        assert (await client.until_over(fine)).body == b"0"
        assert client.goaway is None


async def test_large_head_that_is_given_up(run: Any) -> None:
    """A head over the limit and its reset in one piece cost their stream."""
    running = await run(SIZE, settings=Settings(max_head=4096))
    async with await connect(running) as client:
        number = client.session.get_next_available_stream_id()
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/"), *LARGE]
        client.session.send_headers(number, fields, end_stream=True)
        client.send_raw(client.session.data_to_send() + RstStreamFrame(number, 8).serialize())
        assert (await client.request("GET", "/")).status == 200


async def test_malformed_trailers_leave_nothing_behind(run: Any) -> None:
    """A request whose trailers come with its head, and are malformed, does not keep its connection from draining."""
    running = await run(SIZE)
    async with await connect(running) as client:
        assert (await client.request("GET", "/")).status == 200
        number = client.session.get_next_available_stream_id()
        fields = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/")]
        client.session.send_headers(number, fields)
        client.session.send_headers(number, [("x-sum", "1\0")], end_stream=True)
        bad = client.begin("GET", "/")
        await client.until_over(bad)
        assert not link_of(running)._streams
        assert await running.gateway.plane.drain(timeout=5)


async def test_wrong_length_in_one_piece_is_not_sent_on(run: Any) -> None:
    """A request that comes whole, with another length than announced, never reaches an upstream (RFC 9113, 8.1.1)."""
    asked: list[str] = []

    def note(request: Any) -> bytes:
        asked.append(request.target)
        return response_bytes(body=b"")

    running = await run(answering(note))
    async with await connect(running) as client:
        await client.request("GET", "/first")  # leaves a connection that the next one would take at once
        number = client.session.get_next_available_stream_id()
        fields = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/bad")]
        client.session.send_headers(number, [*fields, ("content-length", "9")])
        client.session.send_data(number, b"four", end_stream=True)
        good = client.begin("GET", "/good")
        await client.until_over(good)
    assert asked == ["/first", "/good"]
    assert [done.status for done in running.gateway.done if not done.id] == [400]


async def test_upload_behind_an_answer_that_waits(run: Any) -> None:
    """What a client uploads when it has its answer, and does not take that, is kept nowhere."""
    running = await run(SIZE, pool=True, settings=Settings(body_limit=1000))
    async with await without_window(running) as client:
        stream = client.begin("POST", "/", headers=[("content-length", "2000000")], ended=False)
        await client.until(lambda: stream.status == 413)
        [waiting] = link_of(running)._streams.values()
        assert waiting.stuck
        await client.upload(stream, b"y" * 1_999_999, ended=False)
        await until(lambda: waiting.inbound.received == 1_999_999)
        assert not waiting.inbound.pieces


async def test_client_that_takes_its_answer_slowly(run: Any) -> None:
    """An answer of an addon's is sent for as long as the client takes some of it, and given up when it takes none."""

    class Answers:
        def request(self, flow: http.HTTPFlow) -> None:
            flow.response = http.Response.make(200, b"x" * 100)

    running = await run(SIZE, Answers())
    async with await without_window(running) as client:
        stream = client.begin("GET", "/")
        await client.until(lambda: stream.status == 200)
        await running.done()
        link = link_of(running)
        [waiting] = link._streams.values()
        for number in range(3):
            waiting.since -= 11.0  # as if so many seconds had passed
            client.session.increment_flow_control_window(1, stream.number)
            client.flush()
            await client.until(lambda number=number: len(stream.body) == number + 1)
            link.sweep(time.monotonic())
            assert waiting.stuck
            assert link._streams
        waiting.since -= 11.0
        link.sweep(time.monotonic())
        await client.until_over(stream)
        assert stream.reset == CANCEL
        assert not link._streams


async def test_stream_function_that_returns_text(run: Any) -> None:
    """An addon's mistake costs its exchange; the requests beside it go on."""

    class Mistaken:
        def requestheaders(self, flow: http.HTTPFlow) -> None:
            if flow.request.path == "/bad":
                flow.request.stream = lambda piece: piece.decode()  # type: ignore[assignment]

    running = await run(SIZE, Mistaken())
    running.gateway.bugs_expected = 1
    async with await connect(running) as client:
        bad = client.begin("POST", "/bad", headers=[("content-length", "8")], ended=False)
        await until(lambda: running.gateway.plane.pools and running.cluster.active == 1)
        client.more(bad, b"a", ended=False)
        await client.until_over(bad)
        assert bad.status == 500 or bad.reset is not None
        assert (await client.request("GET", "/")).status == 200


async def test_answers_take_turns(run: Any) -> None:
    """A window of the connection is shared by the answers that wait for it, whichever came first."""

    async def endless(talk: Conversation) -> None:
        request = await talk.request()
        if request.target == "/small":
            await talk.answer(200, b"small")
            return
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while True:
            await talk.say(b"x" * 65536)

    running = await run(endless)
    async with await connect(running) as client:
        client.granting = False
        large = client.begin("GET", "/large")
        await client.until(lambda: len(large.body) == 65535)
        small = client.begin("GET", "/small")
        await client.until(lambda: small.status == 200)
        client.session.increment_flow_control_window(1_000_000, large.number)
        client.session.increment_flow_control_window(20_000)
        client.flush()
        assert (await client.until_over(small)).body == b"small"
