"""A leg ends by its answer or by a named outcome, whatever the candidate does."""

import asyncio
import contextlib
import json
import socket
from typing import Any

import pytest

from mirrorgate.records import Target
from mirrorgate.shadow.answering import DISCARD_LIMIT, Answer, LegOutcome
from mirrorgate.shadow.connecting import ConnectionPool
from mirrorgate.shadow.holding import Holding
from mirrorgate.shadow.pacing import Pace
from mirrorgate.shadow.sending import run_leg
from mirrorgate.shadow.uploading import Upload

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Client:
    """Runs legs with a pool and a holding of their own."""

    def __init__(self, pace: Pace | None = None, holding: Holding | None = None) -> None:
        self.pool = ConnectionPool(asyncio.get_running_loop(), pace or Pace(1 << 32))
        self.holding = holding or Holding()

    async def leg(self, target: Target, body: bytes | Upload | None = b"{}", method: str = "POST") -> Answer:
        upload = body if isinstance(body, Upload) else Upload(body)
        async with asyncio.timeout(30):
            answer = await run_leg(self.pool, self.holding, method, target, upload)
        assert self.holding.held == answer.kept
        self.holding.give(answer.kept)
        return answer


@pytest.fixture
async def client() -> Any:
    client = Client()
    yield client
    client.pool.close()
    await asyncio.sleep(0)


async def test_the_request_is_written_exactly_as_it_was_given(serve: Any, new: Any, client: Client) -> None:
    """Fields keep order, case and value; nothing is added but the framing, and framing of others is replaced."""
    seen: list[tuple[bytes, bytes]] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        seen.append(await new.read_request(reader))
        writer.write(new.chat("hi"))
        await reader.read()

    head = [
        (b"hOsT", b"model.example:1"),
        (b"X-B", b"2"),
        (b"x-a", b"1"),
        (b"X-B", b"3"),
        (b"content-length", b"99"),
        (b"Transfer-Encoding", b"gzip"),
        (b"Expect", b"100-continue"),
    ]
    answer = await client.leg(new.target(await serve(handler), head=head, path="/v1/chat/completions?a=b%20c"), b"{}")
    assert answer.outcome is LegOutcome.COMPLETE
    assert seen == [
        (
            b"POST /v1/chat/completions?a=b%20c HTTP/1.1\r\n"
            b"hOsT: model.example:1\r\nX-B: 2\r\nx-a: 1\r\nX-B: 3\r\ncontent-length: 2\r\n\r\n",
            b"{}",
        )
    ]


async def test_connections_are_used_again(serve: Any, new: Any, client: Client) -> None:
    """Legs one after the other share a connection; an answer that ends it opens another."""
    connections = 0

    async def handler(reader: Reader, writer: Writer) -> None:
        nonlocal connections
        connections += 1
        while True:
            head, _ = await new.read_request(reader)
            if b"x-close" in head:
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                return
            writer.write(new.chat("hi"))

    target = new.target(await serve(handler))
    for _ in range(3):
        assert (await client.leg(target)).status == 200
    assert connections == 1
    assert client.pool.idle == 1
    closing = new.target(target.port, head=[(b"x-close", b"1")])
    assert (await client.leg(closing)).outcome is LegOutcome.COMPLETE
    assert (await client.leg(target)).status == 200
    assert connections == 2


async def test_a_connection_that_died_unused_is_not_the_candidates_fault(serve: Any, new: Any, client: Client) -> None:
    """A request on a kept connection that the server closes unanswered is sent once more on a new one."""
    connections = 0

    async def handler(reader: Reader, writer: Writer) -> None:
        nonlocal connections
        connections += 1
        await new.read_request(reader)
        writer.write(new.chat("hi"))
        if connections == 1:
            await new.read_request(reader)
            return
        await reader.read()

    target = new.target(await serve(handler))
    assert (await client.leg(target)).status == 200
    assert (await client.leg(target)).status == 200
    assert connections == 2


async def test_each_piece_has_its_time(serve: Any, new: Any, client: Client) -> None:
    """Pieces that the server writes apart are pieces with later and later times, counted from the leg's begin."""
    go = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await new.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"data: a\n\n", b"data: b\n\n", b"data: [DONE]\n\n"):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.write(b"0\r\n\r\n")
        await go.wait()

    answer = await client.leg(new.target(await serve(handler)))
    go.set()
    assert b"".join(answer.chunks) == b"data: a\n\ndata: b\n\ndata: [DONE]\n\n"
    assert len(answer.times) == 3
    assert 0 < answer.sent <= answer.head_at <= answer.times[0] < answer.times[1] < answer.times[2] <= answer.finished


async def test_a_streamed_upload_is_chunked_and_sent_while_it_comes(serve: Any, new: Any, client: Client) -> None:
    """The candidate has the first piece before the client has sent the second."""
    first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def handler(reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first.set_result(head + await reader.readexactly(8))
        assert await reader.readuntil(b"0\r\n\r\n") == b"5\r\nworld\r\n0\r\n\r\n"
        writer.write(new.chat("hi"))
        await reader.read()

    upload = Upload(None)
    target = new.target(await serve(handler), head=[(b"Host", b"a")])
    leg = asyncio.get_running_loop().create_task(client.leg(target, upload))
    upload.push(b"hel")
    async with asyncio.timeout(10):
        seen = await first
    assert seen == (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n")
    upload.push(b"")
    upload.push(b"world")
    upload.end()
    assert (await leg).status == 200


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_model_is_rewritten_in_the_body(serve: Any, new: Any, client: Client, streamed: bool) -> None:
    """The candidate is asked for its own model; a streamed body is gathered for that and gets a length."""
    seen: list[tuple[bytes, bytes]] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        seen.append(await new.read_request(reader))
        writer.write(new.chat("hi"))
        await reader.read()

    body = b'{"model": "old", "messages": []}'
    upload = Upload(None if streamed else body)
    if streamed:
        upload.push(body[:10])
        upload.push(body[10:])
        upload.end()
    await client.leg(new.target(await serve(handler), model="new"), upload)
    head, sent = seen[0]
    assert json.loads(sent) == {"model": "new", "messages": []}
    assert b"content-length: %d\r\n" % len(sent) in head


async def test_a_body_that_has_no_model_to_rewrite_is_sent_as_it_is(serve: Any, new: Any, client: Client) -> None:
    """What is not a JSON object is the candidate's to judge."""
    seen: list[bytes] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        seen.append((await new.read_request(reader))[1])
        writer.write(new.chat("hi"))
        await reader.read()

    await client.leg(new.target(await serve(handler), model="new"), b"\x00 not JSON")
    assert seen == [b"\x00 not JSON"]


@pytest.mark.parametrize(
    ("head", "path"),
    [
        ([(b"X", b"a\r\nEvil: 1")], "/"),
        ([(b"X Y", b"a")], "/"),
        ([(b"X", b"a\x00")], "/"),
        ([], "/a b"),
        ([], "/a\r\nEvil: 1"),
        ([], "/\u20ac"),
    ],
)
async def test_what_would_not_be_one_head_is_not_sent(new: Any, client: Client, head: Any, path: str) -> None:
    """A line break in a field or a path ends the leg before a connection is opened."""
    answer = await client.leg(new.target(1, head=head, path=path))
    assert answer.outcome is LegOutcome.CANCELLED
    assert answer.detail


async def test_a_refused_connection(new: Any, client: Client) -> None:
    """Nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        answer = await client.leg(new.target(held.getsockname()[1]))
    assert (answer.outcome, answer.status) == (LegOutcome.REFUSED, 0)


async def test_a_name_that_does_not_resolve(new: Any, client: Client) -> None:
    """A host that is no host counts as refused."""
    for host in ("bad host", "a" * 300, ""):
        answer = await client.leg(new.target(1, host=host))
        assert answer.outcome is LegOutcome.REFUSED


async def test_a_connection_that_is_never_accepted(new: Any, client: Client) -> None:
    """A full backlog swallows the connection request; the connect timeout ends the wait."""
    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        answer = await client.leg(new.target(listener.getsockname()[1], connect_timeout=0.2))
    assert answer.outcome is LegOutcome.CONNECT_TIMEOUT


async def test_a_candidate_that_hangs(serve: Any, new: Any, client: Client) -> None:
    """Silence before the head is bounded by the leg's timeout."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.read()

    answer = await client.leg(new.target(await serve(handler), timeout=0.2, idle_timeout=0.05))
    assert (answer.outcome, answer.status) == (LegOutcome.TIMEOUT, 0)
    assert answer.finished >= 0.2


async def test_a_candidate_that_falls_silent(serve: Any, new: Any, client: Client) -> None:
    """Silence after the head is bounded by the idle timeout; what came before is kept."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await new.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await reader.read()

    answer = await client.leg(new.target(await serve(handler), idle_timeout=0.2))
    assert (answer.outcome, answer.status, answer.chunks) == (LegOutcome.IDLE_TIMEOUT, 200, [b"abc"])


async def test_a_candidate_that_trickles(serve: Any, new: Any, client: Client) -> None:
    """A byte now and then keeps the idle timeout away, not the leg's."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await new.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.01)

    answer = await client.leg(new.target(await serve(handler), timeout=0.4, idle_timeout=0.2))
    assert answer.outcome is LegOutcome.TIMEOUT
    assert answer.size > 2


async def test_a_candidate_that_floods(serve: Any, new: Any, client: Client) -> None:
    """An endless answer is cut off, and only its beginning is kept."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await new.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * (1 << 20))
            await writer.drain()

    answer = await client.leg(new.target(await serve(handler)))
    assert answer.outcome is LegOutcome.TOO_LARGE
    assert answer.kept == 16 * 1024 * 1024
    assert DISCARD_LIMIT - 1000 < answer.size < DISCARD_LIMIT + (1 << 20)


async def test_what_we_read_slowly_is_not_silent(serve: Any, new: Any) -> None:
    """An answer that is only counted is read as slowly as we like: that is no idle time of the candidate's."""
    client = Client(Pace(1 << 20), Holding(1000))
    size = 512 * 1024

    async def handler(reader: Reader, writer: Writer) -> None:
        await new.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(b"x" * size)
        await writer.drain()

    answer = await client.leg(new.target(await serve(handler), idle_timeout=0.05))
    client.pool.close()
    assert (answer.outcome, answer.detail) == (LegOutcome.TOO_LARGE, "")
    assert answer.size == size
    assert answer.finished > 0.05


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"])
async def test_a_candidate_that_resets(serve: Any, new: Any, client: Client, said: bytes) -> None:
    """A connection that is cut before or within the answer is a reset."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await new.read_request(reader)
        writer.write(said)
        await writer.drain()
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        writer.transport.abort()

    answer = await client.leg(new.target(await serve(handler)))
    assert answer.outcome is LegOutcome.RESET
    assert answer.detail


async def test_a_candidate_that_talks_nonsense(serve: Any, new: Any, client: Client) -> None:
    """What is not HTTP is a protocol error."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await new.read_request(reader)
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await reader.read()

    answer = await client.leg(new.target(await serve(handler)))
    assert answer.outcome is LegOutcome.PROTOCOL_ERROR


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_candidate_that_never_reads(serve: Any, new: Any, client: Client, streamed: bool) -> None:
    """A body of 30 MB to a server that reads nothing ends with the leg's timeout."""
    over = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()

    body = b"x" * 30_000_000
    upload = Upload(None, limit=len(body))
    upload.push(body)
    answer = await client.leg(new.target(await serve(handler), timeout=0.4), upload if streamed else body)
    over.set()
    assert (answer.outcome, answer.status) == (LegOutcome.TIMEOUT, 0)


async def test_an_answer_before_the_end_of_the_upload(serve: Any, new: Any, client: Client) -> None:
    """A refusal while the upload goes on is the answer; the connection is not used again."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    upload = Upload(None)
    upload.push(b"begin")
    answer = await client.leg(new.target(await serve(handler)), upload)
    assert (answer.outcome, answer.status, answer.chunks) == (LegOutcome.COMPLETE, 413, [b"no"])
    assert client.pool.idle == 0


async def test_a_cancelled_leg_cuts_its_connection_and_holds_nothing(serve: Any, new: Any, client: Client) -> None:
    """The candidate sees the end at once, and the bytes that were kept are uncounted."""
    ended = asyncio.Event()
    began = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await new.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        began.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended.set()

    leg = asyncio.get_running_loop().create_task(client.leg(new.target(await serve(handler))))
    async with asyncio.timeout(10):
        await began.wait()
        leg.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leg
        assert client.pool.idle == 0
        await ended.wait()
    assert client.holding.held == 0


async def test_a_get_has_no_framing(serve: Any, new: Any, client: Client) -> None:
    """A request without a body says nothing about one."""
    seen: list[bytes] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        seen.append((await new.read_request(reader))[0])
        writer.write(new.chat("hi"))
        await reader.read()

    target = new.target(await serve(handler), head=[], path="/v1/models")
    await client.leg(target, b"", "GET")
    assert seen == [b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % target.port]
