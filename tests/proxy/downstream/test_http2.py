"""HTTP/2 from clients: exchanges beside each other, windows, limits, resets, GOAWAY, and what mitmproxy sees."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.proxy.downstream.http2_limits import Http2Limits
from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.clients import Client
from mirrorgate.testing.http2_client import Http2Client, Http2Stream
from mirrorgate.testing.in_loop import until

ECHO = answering(lambda request: response_bytes(body=repr((request.target, request.headers, request.body)).encode()))
SIZE = answering(lambda request: response_bytes(body=str(len(request.body)).encode()))
PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, INTERNAL_ERROR, NO_ERROR = 1, 7, 8, 11, 2, 0
GOOD = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")]


class Gate:
    """Holds an answer back until it is released."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.release = asyncio.Event()

    async def whole(self, talk: Conversation) -> None:
        """Answer one request, when it may."""
        await talk.request()
        self.asked.set()
        await self.release.wait()
        await talk.answer(200, b"whole")


async def connect(running: Any) -> Http2Client:
    return await Http2Client.connect(running.gateway.port)


async def test_request_reaches_the_upstream_in_http1(run: Any) -> None:
    """Pseudo-header fields become a request line and Host, crumbs of Cookie one field; the answer comes back."""
    running = await run(ECHO)
    async with await connect(running) as client:
        headers = [("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("te", "trailers")]
        answer = await client.request("POST", "/p?q=1", headers=headers, body=b"hello")
    target, fields, body = eval(answer.body)
    assert (answer.status, target, body) == (200, "/p?q=1", b"hello")
    assert ("host", "test") in fields
    assert ("cookie", "a=1; b=2") in fields
    assert "te" not in dict(fields)
    assert answer.header("connection") is None
    assert (await running.done()).protocol == "HTTP/2.0"


async def test_requests_are_carried_beside_each_other(run: Any) -> None:
    """Answers come in the order in which the upstream gives them, not in that of the requests."""
    gates = [asyncio.Event() for _ in range(20)]

    async def gated(talk: Conversation) -> None:
        request = await talk.request()
        await gates[int(request.target[1:])].wait()
        await talk.answer(200, request.target.encode())

    running = await run(gated)
    async with await connect(running) as client:
        streams = [client.begin("GET", f"/{number}") for number in range(20)]
        for number in reversed(range(20)):
            gates[number].set()
            await client.until_over(streams[number])
            assert streams[number].body == b"/%d" % number
        assert [stream.status for stream in streams] == [200] * 20
    await running.done(20)


async def test_streams_flow_beside_each_other(run: Any) -> None:
    """Pieces of two event streams arrive as they come, in turns."""
    steps = asyncio.Queue[bytes]()

    async def events(talk: Conversation) -> None:
        request = await talk.request()
        name = request.target.encode()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(3):
            await steps.get()
            await talk.say(b"%x\r\n%b\r\n" % (len(name), name))
        await talk.say(b"0\r\n\r\n")

    running = await run(events)
    async with await connect(running) as client:
        one, two = client.begin("GET", "/1"), client.begin("GET", "/2")
        for number in range(1, 7):
            steps.put_nowait(b"")
            await client.until(lambda number=number: len(one.pieces) + len(two.pieces) >= number)
        await client.until_over(one)
        await client.until_over(two)
    assert one.body == b"/1/1/1"
    assert two.body == b"/2/2/2"
    await running.done(2)


@pytest.mark.parametrize("size", [1, 65535, 65536, 3_000_000])
async def test_bodies_pass_to_the_byte(run: Any, size: int) -> None:
    """Bodies larger than any window go both ways."""
    running = await run(answering(lambda request: response_bytes(body=request.body)))
    body = bytes(range(251)) * (size // 251 + 1)
    async with await connect(running) as client:
        stream = client.begin("POST", "/", ended=False)
        await client.upload(stream, body)
        await client.until_over(stream)
    assert stream.body == body


async def test_upload_of_unknown_length(run: Any) -> None:
    """A streamed body without a length goes on in chunks, with its trailers."""
    seen: list[Any] = []

    async def keep(talk: Conversation) -> None:
        seen.append(await talk.request())
        await talk.answer(200, b"")

    running = await run(keep, settings=Settings(stream_over=0))
    async with await connect(running) as client:
        stream = client.begin("POST", "/", ended=False)
        client.more(stream, b"first")
        client.more(stream, b"second")
        client.session.send_headers(stream.number, [("x-sum", "1")], end_stream=True)
        client.flush()
        await client.until_over(stream)
    assert seen[0].body == b"firstsecond"
    assert seen[0].header("transfer-encoding") == "chunked"
    assert seen[0].trailers == (("x-sum", "1"),)


async def test_trailers_of_the_answer(run: Any) -> None:
    """Trailers follow a streamed body and a buffered one."""
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n%b\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"
    running = await run(
        answering(lambda r: reply % (b"" if r.target == "/b" else b"content-type: text/event-stream\r\n"))
    )
    async with await connect(running) as client:
        for path in ("/b", "/s"):
            answer = await client.request("GET", path)
            assert (answer.body, answer.trailers, answer.ended) == (b"abc", [("x-sum", "7")], True)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_answers_without_a_body(run: Any, method: str, status: int) -> None:
    """They end with their head."""
    running = await run(
        answering(
            lambda r: b"HTTP/1.1 %d X\r\n%b\r\n" % (status, b"content-length: 9\r\n" if r.method == "HEAD" else b"")
        )
    )
    async with await connect(running) as client:
        answer = await client.request(method, "/")
    assert (answer.status, answer.body, answer.ended) == (status, b"", True)


async def test_continue(run: Any) -> None:
    """A client that waits for 100 gets it, and then the answer."""
    running = await run(SIZE)
    async with await connect(running) as client:
        stream = client.begin("POST", "/", headers=[("expect", "100-continue"), ("content-length", "4")], ended=False)
        await client.until(lambda: stream.informational == [100])
        client.more(stream, b"body", ended=True)
        await client.until_over(stream)
    assert stream.body == b"4"


async def test_slow_client_holds_only_its_own_upstream(run: Any) -> None:
    """A stream whose window is not opened holds its upstream back; others on the connection go on."""
    said = 0

    async def endless(talk: Conversation) -> None:
        nonlocal said
        request = await talk.request()
        if request.target == "/small":
            await talk.answer(200, b"small")
            return
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while True:
            await talk.say(b"x" * 65536)
            said += 65536

    running = await run(endless)
    async with await connect(running) as client:
        client.session.increment_flow_control_window(10_000_000)
        client.granting = False
        big = client.begin("GET", "/big")
        await client.until(lambda: len(big.body) == 65535)
        small = await client.request("GET", "/small")
        assert small.body == b"small"
        [link] = running.gateway.plane.connections
        [held] = [stream for stream in link._streams.values() if not stream.writable]
        assert held.unsent < 2 * 1024 * 1024
        stopped = said
        client.session.increment_flow_control_window(5_000_000, big.number)
        client.flush()
        await client.until(lambda: len(big.body) == 5_065_535)
        assert said > stopped


async def test_held_upload_does_not_grow(run: Any) -> None:
    """A client whose upstream does not read is stopped by its window, and told nothing else."""
    read = asyncio.Event()

    async def deaf(talk: Conversation) -> None:
        await talk.head()
        await read.wait()
        await talk.exactly(8_000_000)
        await talk.answer(200, b"all")

    running = await run(deaf, settings=Settings(stream_over=0))
    async with await connect(running) as client:
        stream = client.begin("POST", "/", headers=[("content-length", "8000000")], ended=False)
        sending = asyncio.get_running_loop().create_task(client.upload(stream, b"x" * 8_000_000))

        def link() -> Any:
            return next(iter(running.gateway.plane.connections))

        await until(lambda: any(s._held for s in getattr(link(), "_streams", {}).values()))
        await until(lambda: client.session.local_flow_control_window(stream.number) == 0)
        assert not sending.done()
        read.set()
        await sending
        assert (await client.until_over(stream)).body == b"all"


async def test_request_that_is_given_up(run: Any) -> None:
    """A reset frees the place at once, tells addons, and leaves the other streams alone."""
    held = asyncio.Event()

    async def script(talk: Conversation) -> None:
        request = await talk.request()
        if request.target == "/held":
            held.set()
            await talk.gone()
        else:
            await talk.answer(200, b"fine")

    errors: list[str] = []

    class Look:
        def error(self, flow: http.HTTPFlow) -> None:
            errors.append(flow.error.msg)  # type: ignore[union-attr]

    running = await run(script, Look())
    async with await connect(running) as client:
        stream = client.begin("GET", "/held")
        await held.wait()
        client.give_up(stream)
        done = await running.done()
        assert done.flag == "DC"
        assert errors == ["Client disconnected."]
        assert (await client.request("GET", "/")).body == b"fine"


async def test_connection_that_is_lost(run: Any) -> None:
    """All streams of a connection end with it."""
    asked = 0

    async def silent(talk: Conversation) -> None:
        nonlocal asked
        await talk.request()
        asked += 1
        await talk.gone()

    running = await run(silent)
    async with await connect(running) as client:
        for _ in range(5):
            client.begin("GET", "/")
        await until(lambda: asked == 5)
    await running.done(5)
    assert {done.flag for done in running.gateway.done} == {"DC"}


async def test_upstream_that_breaks_off(run: Any) -> None:
    """A broken answer is a reset of its stream: before the head it is Envoy's 503."""

    async def break_off(talk: Conversation) -> None:
        request = await talk.request()
        if request.target == "/late":
            await talk.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\nabc")
        talk.reset()

    running = await run(break_off)
    async with await connect(running) as client:
        early = await client.request("GET", "/early")
        assert (early.status, early.ended) == (503, True)
        assert early.body.startswith(b"upstream connect error or disconnect/reset before headers")
        late = await client.request("GET", "/late")
        assert (late.status, late.reset) == (200, INTERNAL_ERROR)
        assert client.goaway is None


async def test_overflow_as_envoy_answers_it(run: Any) -> None:
    """The circuit breaker's answer has Envoy's fields, text and order over HTTP/2, too."""
    running = await run(answering(b""), policy="circuitBreaker: {maxParallelRequests: 0}")
    async with await connect(running) as client:
        answer = await client.request("POST", "/", body=b"x")
    assert answer.status == 503
    assert [name for name, _ in answer.headers] == ["content-length", "content-type", "date"]
    assert answer.body == b"upstream connect error or disconnect/reset before headers. reset reason: overflow"
    assert (await running.done()).flag == "UO"


async def test_local_reply_before_the_body(run: Any) -> None:
    """A reply that does not wait for the request's body ends the stream; the connection goes on."""
    running = await run(ECHO, rule="matches: [{path: {value: /here}}]")
    async with await connect(running) as client:
        stream = client.begin("POST", "/nowhere", ended=False)
        await client.until(lambda: stream.reset is not None)
        assert (stream.status, stream.ended, stream.reset) == (404, True, NO_ERROR)
        assert (await client.request("GET", "/here")).status == 200


async def test_addons_see_what_mitmproxy_shows(run: Any) -> None:
    """Every hook fires, with HTTP/2's version and authority; answers and kills of addons do what they do elsewhere."""
    hooks: list[tuple[str, str]] = []

    class Look:
        def requestheaders(self, flow: http.HTTPFlow) -> None:
            hooks.append(("requestheaders", flow.request.http_version))

        def request(self, flow: http.HTTPFlow) -> None:
            hooks.append(("request", flow.request.authority))
            if flow.request.path == "/answered":
                flow.response = http.Response.make(418, b"by addon", {"Connection": "close", "X-Upper": "1"})
            elif flow.request.path == "/killed":
                flow.kill()

        def responseheaders(self, flow: http.HTTPFlow) -> None:
            hooks.append(("responseheaders", ""))

        def response(self, flow: http.HTTPFlow) -> None:
            assert flow.response is not None
            flow.response.headers["x-addon"] = "1"

    running = await run(ECHO, Look())
    async with await connect(running) as client:
        plain = await client.request("GET", "/")
        assert plain.header("x-addon") == "1"
        assert hooks == [("requestheaders", "HTTP/2.0"), ("request", "test"), ("responseheaders", "")]
        answered = await client.request("GET", "/answered")
        assert (answered.status, answered.body, answered.header("x-upper")) == (418, b"by addon", "1")
        killed = await client.request("GET", "/killed")
        assert killed.reset == CANCEL
        assert client.goaway is None


async def test_http1_on_the_same_port(run: Any) -> None:
    """A preface in pieces is HTTP/2, and what only begins like one is HTTP/1.1."""
    running = await run(SIZE)
    async with await Client.connect(running.gateway.port) as client:
        await client.send(b"P", b"OST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab", pause=0.01)
        assert (await client.answer()).body == b"2"
    async with await Client.connect(running.gateway.port) as client:
        await client.send(b"PRI * HTTP", b"/2.0\r\n\r\nSM\r", b"\n\r\n" + SettingsFrame(0).serialize(), pause=0.01)
        assert (await client.read())[3] == SettingsFrame.type


@pytest.mark.parametrize(
    "fields",
    [
        GOOD[1:],
        [*GOOD, (":method", "GET")],
        [*GOOD, (":protocol", "websocket")],
        [GOOD[0], ("x-a", "1"), *GOOD[1:]],
        [*GOOD, ("X-Upper", "1")],
        [*GOOD, ("connection", "close")],
        [*GOOD, ("transfer-encoding", "chunked")],
        [*GOOD, ("te", "gzip")],
        [*GOOD, ("host", "other")],
        [*GOOD, ("x-a", "a\r\nb: c")],
        [*GOOD, ("x a", "1")],
        [*GOOD, ("content-length", "1x")],
        [*GOOD, ("content-length", "3")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/a b")],
        [(":method", "CONNECT"), (":authority", "test")],
    ],
)
async def test_malformed_request_costs_its_stream(run: Any, fields: list[tuple[str, str]]) -> None:
    """What RFC 9113, 8 forbids is a reset, and the requests beside it go on."""
    running = await run(ECHO)
    async with await connect(running) as client:
        bad = await client.until_over(client.begin_with(fields))
        assert (bad.reset, bad.status) == (PROTOCOL_ERROR, 0)
        assert (await client.request("GET", "/")).status == 200
    assert [done.method for done in running.gateway.done if done.id] == ["GET"]


@pytest.mark.parametrize("length", ["2", "9"])
async def test_wrong_length_costs_its_stream(run: Any, length: str) -> None:
    """A body that is not as long as announced ends in 400, and never in an upstream that waits or is misled."""
    running = await run(SIZE)
    async with await connect(running) as client:
        bad = client.begin("POST", "/", headers=[("content-length", length)], ended=False)
        client.more(bad, b"four", ended=True)
        await client.until_over(bad)
        assert bad.status == 400 or bad.reset is not None
        assert (await client.request("GET", "/")).status == 200


async def test_large_head_is_answered(run: Any) -> None:
    """A head over the limit is 431; one far over it ends the connection before it is unfolded."""
    running = await run(ECHO, settings=Settings(max_head=4096))
    async with await connect(running) as client:
        large = await client.request("GET", "/", headers=[("x-large", "a" * 5000)])
        assert large.status == 431
        assert (await client.request("GET", "/")).status == 200
        client.begin("GET", "/", headers=[("x-bomb", "a" * 9000)])
        await client.until_closed()
        assert client.goaway == ENHANCE_YOUR_CALM


async def test_too_many_streams(run: Any) -> None:
    """Requests over the limit are refused one by one, so that a client may send them again."""
    release = asyncio.Event()

    async def gated(talk: Conversation) -> None:
        await talk.request()
        await release.wait()
        await talk.answer(200, b"done")

    running = await run(gated, settings=Settings(http2=Http2Limits(streams=3)))
    async with await connect(running) as client:
        streams = [client.begin("GET", "/") for _ in range(5)]
        await client.until(lambda: all(stream.reset == REFUSED_STREAM for stream in streams[3:]))
        release.set()
        for stream in streams[:3]:
            assert (await client.until_over(stream)).status == 200
    await running.done(3)


async def calmed(running: Any, client: Http2Client) -> None:
    """Wait for the end of a connection that asks for too much."""
    await client.until_closed()
    assert client.goaway == ENHANCE_YOUR_CALM
    async with await connect(running) as other:
        assert (await other.request("GET", "/")).status == 200


def flood(client: Http2Client, frames: bytes) -> None:
    client.send_raw(frames)


async def test_rapid_reset(run: Any) -> None:
    """A client that gives requests up as fast as it asks is disconnected (CVE-2023-44487)."""
    running = await run(ECHO, settings=Settings(http2=Http2Limits(resets=20, resets_per_second=0)))
    async with await connect(running) as client:
        for _ in range(50):
            client.give_up(client.begin("GET", "/"))
        await calmed(running, client)


@pytest.mark.parametrize("kind", ["ping", "settings", "empty"])
async def test_floods_of_empty_frames(run: Any, kind: str) -> None:
    """PING, SETTINGS and DATA that carry nothing are counted (CVE-2019-9512, -9515, -9518)."""
    running = await run(ECHO, settings=Settings(http2=Http2Limits(controls=50, controls_per_second=0)))
    async with await connect(running) as client:
        stream = client.begin("POST", "/", ended=False)
        frame = {"ping": PingFrame(0, b"12345678"), "settings": SettingsFrame(0), "empty": DataFrame(stream.number)}
        flood(client, frame[kind].serialize() * 200)
        await calmed(running, client)


async def test_flood_of_continuations(run: Any) -> None:
    """A head in ever more frames ends the connection (CVE-2024-27316)."""
    running = await run(ECHO)
    async with await connect(running) as client:
        flood(client, HeadersFrame(1, b"\x82").serialize() + ContinuationFrame(1, b"").serialize() * 1000)
        await client.until_closed()
    assert [done for done in running.gateway.done if done.id] == []


async def test_head_without_end(run: Any) -> None:
    """A head that trickles in is given up on."""
    running = await run(ECHO, settings=Settings(head_timeout=0.05))
    async with await connect(running) as client:
        assert (await client.request("GET", "/")).status == 200
        flood(client, HeadersFrame(3, b"\x82").serialize())
        await client.until_closed()
        assert client.goaway == ENHANCE_YOUR_CALM


async def test_idle_connection_is_closed(run: Any) -> None:
    """A connection without requests goes away in good order."""
    running = await run(ECHO, settings=Settings(idle_timeout=0.05))
    async with await connect(running) as client:
        await client.until_closed()
        assert client.goaway == NO_ERROR


async def test_the_goaway_is_not_lost_to_what_comes_behind_it(run: Any) -> None:
    """A client that has not seen it yet goes on sending: that is dropped for a while, and answered by no reset."""
    running = await run(ECHO)
    async with await connect(running) as client:
        client.send_raw(HeadersFrame(2, b"\x82", flags=["END_HEADERS"]).serialize())  # a stream of the server's
        await client.until_closed()
        assert client.goaway == PROTOCOL_ERROR
        client.send_raw(PingFrame(0, bytes(8)).serialize() * 100)
        assert running.gateway.plane.connections


async def test_drain_lets_requests_end(run: Any) -> None:
    """GOAWAY names the last request, which still gets its answer; one that comes later is refused."""
    gate = Gate()
    running = await run(gate.whole)
    async with await connect(running) as client:
        stream = client.begin("GET", "/")
        await gate.asked.wait()
        draining = asyncio.get_running_loop().create_task(running.gateway.plane.drain())
        await client.until(lambda: client.goaway is not None)
        assert (client.goaway, client.last_stream) == (NO_ERROR, stream.number)
        gate.release.set()
        await client.until_closed()
        assert (stream.status, stream.body, stream.ended) == (200, b"whole", True)
        assert await draining


async def test_upload_behind_a_goodbye(run: Any) -> None:
    """A client's GOAWAY is no end of what it still sends, in the same piece or later."""
    running = await run(answering(lambda request: response_bytes(body=request.body)))
    async with await connect(running) as client:
        stream = client.begin("POST", "/", ended=False)
        client.session.send_data(stream.number, b"one ")
        client.send_raw(GoAwayFrame(0, last_stream_id=0, error_code=0).serialize() + client.session.data_to_send())
        await asyncio.sleep(0)
        client.more(stream, b"two", ended=True)
        assert (await client.until_over(stream)).body == b"one two"


async def test_client_that_says_goodbye_gets_its_answers(run: Any) -> None:
    """A client's GOAWAY ends nothing that is under way."""
    gate = Gate()
    running = await run(gate.whole)
    async with await connect(running) as client:
        stream = client.begin("GET", "/")
        await gate.asked.wait()
        client.send_raw(b"\x00\x00\x08\x07\x00" + bytes(12))
        gate.release.set()
        await client.until_over(stream)
        assert stream.body == b"whole"


async def test_client_that_never_takes_its_answer(run: Any) -> None:
    """An answer that no window lets out counts as under way until the client takes it or leaves."""
    running = await run(answering(lambda r: response_bytes(body=b"x" * 100)))
    async with await connect(running) as client:
        client.session.update_settings({4: 10})  # SETTINGS_INITIAL_WINDOW_SIZE
        client.flush()
        stream: Http2Stream = client.begin("GET", "/")
        await client.until(lambda: stream.status == 200)
        await client.until(lambda: len(stream.body) >= 10)
        assert not stream.ended
        assert running.cluster.active == 1
        client.session.increment_flow_control_window(90, stream.number)
        client.flush()
        await client.until_over(stream)
        assert stream.body == b"x" * 100
    await running.done()
