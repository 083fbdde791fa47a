"""Chunks that are passed on as they came: what clients, books and copies get is what the long way gives them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy import http

from mirrorgate.proxy.carrying.carrier import Carrier
from mirrorgate.proxy.carrying.relaying import PieceRelay, Relay
from mirrorgate.proxy.upstream.http1 import Upstream
from mirrorgate.testing.backends import Backend, Conversation
from mirrorgate.testing.clients import Client, request_bytes
from mirrorgate.testing.http2_client import Http2Client
from mirrorgate.testing.in_loop import GatewayInLoop, until

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'


def chunk(data: bytes) -> bytes:
    """Return one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Looks:
    """An addon that looks at answers: nothing is relayed then."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Be there."""


class Kept:
    """Stands where a capture and its tapes stand: keeps the pieces that it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def begin(self, began: float) -> Kept:
        """Take every exchange."""
        return self

    def answer(self, pieces: list[bytes]) -> None:
        """Keep pieces."""
        self.pieces += pieces

    def finish(self, carrier: Carrier) -> None:
        """Take note of nothing."""


async def streaming(gateway: GatewayInLoop, version: str = "1.1") -> tuple[Client, Upstream]:
    """Ask for a stream, of which the head has come; return the client and the server's connection."""
    client = await Client.connect(gateway.port)
    close = [("connection", "close")]
    await client.send(request_bytes("POST", "/v1/chat/completions", close, body=b'{"model":"m"}', version=version))
    await client.head()
    [connection] = gateway.plane.connections
    upstream = connection.carrier.upstream  # type: ignore[attr-defined]
    assert isinstance(upstream, Upstream)
    return client, upstream


async def head_alone(talk: Conversation) -> None:
    """Begin a stream and leave the rest of it to the test."""
    await talk.request()
    await talk.say(HEAD)
    await talk.gone()


async def came_out(
    snapshot_to: Callable[[int], Any], reads: list[bytes], *addons: object, tapped: bool, version: str = "1.1"
) -> Any:
    """Return what the client, the books and a tape get of an answer that comes in these reads."""
    kept = Kept()
    async with Backend(head_alone) as backend, GatewayInLoop(snapshot_to(backend.port), *addons) as gateway:
        if tapped:
            gateway.plane.capture = kept  # type: ignore[assignment]
        client, upstream = await streaming(gateway, version)
        transport = upstream._transport
        assert isinstance(transport, asyncio.Transport)
        kind = Upstream if addons else PieceRelay if tapped or version == "1.0" else Relay
        assert type(transport.get_protocol()) is kind
        for read in reads:
            if not transport.is_closing():
                transport.get_protocol().data_received(read)  # type: ignore[attr-defined]
        if not gateway.done:
            transport.abort()
        body = await client.reader.read()
        await client.close()
        [done] = await gateway.exchanges(1)
        books = (done.bytes_sent, done.status, done.flag, done.details, done.prompt_tokens, done.completion_tokens)
        timed = (done.streamed, done.ttft is None, done.itl is None)
        return body, books, timed, kept.pieces


SIZE_LINES = st.sampled_from([b"%x\r\n", b"%x\r\n", b"%x\r\n", b"%X\r\n", b"0%x\r\n", b"%x;a=b\r\n"])
CHUNKS = st.builds(
    lambda line, body: line % len(body) + body + b"\r\n",
    SIZE_LINES,
    st.one_of(
        st.sampled_from([USAGE, b"data: [DONE]\n\n", b"\r\n", b"0\r\n\r\n", b"a" * 10, b"b" * 171, b"c" * 256]),
        st.binary(min_size=1, max_size=40),
    ),
)
ENDS = st.sampled_from([b"0\r\n\r\n", b"0\r\nsum: 1\r\n\r\n", b"", b"zz\r\n", b"5\r\nabcdeXX0\r\n\r\n", b"3\r\nab"])


@settings(max_examples=60)
@given(st.lists(CHUNKS, max_size=8), ENDS, st.booleans(), st.sampled_from(["1.1", "1.1", "1.0"]), st.data())
def test_the_way_of_a_chunk_does_not_matter(
    snapshot_to: Any, chunks: list[bytes], end: bytes, tapped: bool, version: str, draw: st.DataObject
) -> None:
    """Whatever comes, and however it is cut: the same bytes, the same books, the same copies."""
    stream = b"".join(chunks) + end
    ends = [sum(map(len, chunks[:n])) for n in range(1, len(chunks) + 1)]
    joined = draw.draw(st.sets(st.sampled_from(ends), max_size=2)) if ends else set()
    cut = draw.draw(st.sets(st.integers(0, len(stream)), max_size=3))
    at = sorted({0, len(stream), *ends, *cut} - joined | {0, len(stream)})
    reads = [stream[a:b] for a, b in itertools.pairwise(at)]
    relayed = asyncio.run(came_out(snapshot_to, reads, tapped=tapped, version=version))
    read = asyncio.run(came_out(snapshot_to, reads, Looks(), tapped=tapped, version=version))
    assert relayed == read


@pytest.fixture(scope="session")
def snapshot_to(manifests: Any) -> Callable[[int], Any]:
    """Return a configuration that leads to a pool of one server."""
    route = manifests.route(f"[{{backendRefs: [{manifests.to_pool('p')}]}}]")
    return lambda port: manifests.snapshot(manifests.pool("p", port), route)


async def test_whole_chunks_go_past_the_connection(snapshot_to: Any) -> None:
    """All but the first, and what is no whole chunk; and behind that whole ones again."""
    went: list[bytes] = []
    async with Backend(head_alone) as backend, GatewayInLoop(snapshot_to(backend.port)) as gateway:
        client, upstream = await streaming(gateway)
        transport = upstream._transport
        assert isinstance(transport, asyncio.Transport)
        protocol = transport.get_protocol()
        assert isinstance(protocol, Relay)
        read = upstream.data_received
        upstream.data_received = lambda data: (went.append(data), read(data))[1]  # type: ignore[method-assign]
        one, two = chunk(b"data: 1\n\n"), chunk(b"data: 22\n\n")
        for data in (one, one, two, one + two, one, two[:4], two[4:], one, b"0\r\n\r\n"):
            protocol.data_received(data)
        assert went == [one, one + two, two[:4], two[4:], b"0\r\n\r\n"]
        assert transport.get_protocol() is upstream
        joined, parts = chunk(b"data: 1\n\ndata: 22\n\n"), chunk(two[3:4]) + chunk(two[4:-2])
        assert await client.reader.read() == 2 * one + two + joined + one + parts + one + b"0\r\n\r\n"
        [done] = await gateway.exchanges(1)
        assert (done.flag, done.bytes_sent) == ("-", 5 * 9 + 3 * 10)
        await client.close()


@pytest.mark.parametrize("size", [1, 15, 16, 255, 256, 4095, 4096, 20_000])
async def test_a_read_that_only_looks_like_a_chunk_is_none(snapshot_to: Any, size: int) -> None:
    """One byte more or less than its line says is the server's mistake, and no client gets it."""
    for wrong in (b"%x\r\n%b\r\n" % (size + 1, b"b" * size), b"%x\r\n%b\r\n" % (size, b"b" * (size + 1))):
        body, books, _, _ = await came_out(snapshot_to, [chunk(b"a"), chunk(b"a" * size), wrong], tapped=False)
        assert body.startswith(chunk(b"a") + chunk(b"a" * size))
        assert (books[1], books[2]) == (200, "UPE")


async def step(talk: Conversation, go: asyncio.Semaphore, data: bytes) -> None:
    """Say this when the test lets it."""
    await go.acquire()
    await talk.say(data)


async def three_events(talk: Conversation, go: asyncio.Semaphore) -> None:
    """Answer a request with a stream's head and three chunks, each when the test lets it."""
    await talk.request()
    await talk.say(HEAD)
    for number in range(3):
        await step(talk, go, chunk(b"data: %d\n\n" % number))


async def test_the_connection_carries_the_next_request(run: Any) -> None:
    """Whose answer is relayed again, on the same connections; one that comes unasked is nobody's."""
    go = asyncio.Semaphore(0)

    async def script(talk: Conversation) -> None:
        while True:
            await three_events(talk, go)
            await step(talk, go, b"0\r\n\r\n")

    running = await run(script)
    client = await running.client()
    for _ in range(2):
        await client.send(request_bytes("GET", "/"))
        await client.head()
        for number in range(3):
            go.release()
            piece = await client.chunk()
            assert piece is not None
            assert piece.data == b"data: %d\n\n" % number
        go.release()
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"
    done = await running.done(2)
    assert (done.bytes_sent, done.flag) == (27, "-")
    assert len(running.backend.conversations) == 1
    await running.backend.conversations[0].say(chunk(b"data: unasked\n\n"))
    await until(lambda: running.cluster.connections == 0)


async def test_a_client_of_http2_gets_what_is_in_the_chunks(run: Any) -> None:
    """A piece of each, and the end of its stream."""
    go = asyncio.Semaphore(0)

    async def script(talk: Conversation) -> None:
        await three_events(talk, go)
        await step(talk, go, b"0\r\n\r\n")

    running = await run(script)
    async with await Http2Client.connect(running.gateway.port) as client:
        stream = client.begin("GET", "/")
        for number in range(3):
            go.release()
            await client.until(lambda number=number: len(stream.pieces) > number)
            [link] = running.gateway.plane.connections
            [carried] = link._streams.values()
            assert type(carried.carrier.upstream._transport.get_protocol()) is PieceRelay
        go.release()
        await client.until_over(stream)
    assert stream.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    done = await running.done()
    assert (done.bytes_sent, done.flag) == (27, "-")
    assert done.itl is not None


async def test_a_client_that_leaves_a_relayed_stream_is_booked(run: Any) -> None:
    """With what it was sent, and the server is left at once."""
    go = asyncio.Semaphore(0)

    async def script(talk: Conversation) -> None:
        await three_events(talk, go)
        await talk.gone()

    running = await run(script)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await client.head()
    for _ in range(3):
        go.release()
        await client.chunk()
    await client.close()
    done = await running.done()
    assert (done.flag, done.bytes_sent, done.streamed) == ("DC", 27, True)
    assert done.itl is not None


async def test_a_client_that_does_not_read_stops_a_relayed_server(run: Any) -> None:
    """Its backlog is bounded as ever, and all of it arrives once the client reads."""
    size, count = 4000, 2000
    sent = 0

    async def script(talk: Conversation) -> None:
        nonlocal sent
        await talk.request()
        await talk.say(HEAD)
        for _ in range(count):
            await talk.say(chunk(b"x" * size))
            sent += 1
            await asyncio.sleep(0)
        await talk.say(b"0\r\n\r\n")

    running = await run(script)
    client = await running.client()
    client.writer.transport.pause_reading()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: running.backend.requests and sent)
    [connection] = running.gateway.plane.connections
    await until(lambda: not connection.writable and not connection.carrier.upstream._transport.is_reading())
    assert sent < count
    client.writer.transport.resume_reading()
    answer = await client.answer()
    assert answer.body == b"x" * size * count
