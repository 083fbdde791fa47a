"""HTTP/2 to upstreams: many requests on a connection, the server's limits, and how streams and connections end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import H2Error
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Backend as RawBackend
from mirrorgate.testing.backends import Conversation
from mirrorgate.testing.clients import Client, request_bytes
from mirrorgate.testing.http2_client import Http2Client
from mirrorgate.testing.in_loop import GatewayInLoop, until

Pairs = list[tuple[str, str]]


@dataclass(slots=True)
class Asked:
    """A request as the server got it."""

    server: Server
    connection: H2Connection
    writer: asyncio.StreamWriter
    number: int
    fields: Pairs
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    whole: bool = False
    reset: int | None = None

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.fields if each == name), None)

    def flush(self) -> None:
        self.writer.write(self.connection.data_to_send())

    def head(self, *fields: tuple[str, str], status: int = 200, ended: bool = False) -> None:
        self.connection.send_headers(self.number, [(":status", str(status)), *fields], end_stream=ended)
        self.flush()

    def say(self, data: bytes, *, ended: bool = False) -> None:
        self.connection.send_data(self.number, data, end_stream=ended)
        self.flush()

    def answer(self, body: bytes = b"", *fields: tuple[str, str], status: int = 200) -> None:
        self.head(*fields, status=status, ended=not body)
        if body:
            self.say(body, ended=True)

    def refuse(self, code: int) -> None:
        self.connection.reset_stream(self.number, code)
        self.flush()


class Server:
    """An HTTP/2 server that keeps what it was asked until the test answers, or answers at once."""

    def __init__(self, *, streams: int | None = None, reply: Any = None, granting: bool = True) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self.granting = granting
        self._streams = streams
        self._reply = reply
        self._writers: list[asyncio.StreamWriter] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def until(self, count: int) -> list[Asked]:
        """Wait for so many whole requests."""
        async with asyncio.timeout(10):
            while sum(asked.whole for asked in self.asked) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.asked

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        connection = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        connection.initiate_connection()
        if self._streams is not None:
            connection.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: self._streams})
        writer.write(connection.data_to_send())
        streams: dict[int, Asked] = {}
        try:
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    self._take(event, connection, writer, streams)
                writer.write(connection.data_to_send())
                self._changed.set()
        except (ConnectionError, H2Error):
            writer.close()

    def _take(
        self, event: events.Event, connection: H2Connection, writer: asyncio.StreamWriter, streams: dict[int, Asked]
    ) -> None:
        if isinstance(event, events.RequestReceived):
            assert event.stream_id is not None
            fields = [(str(name), str(value)) for name, value in event.headers or ()]
            streams[event.stream_id] = Asked(self, connection, writer, event.stream_id, fields)
            self.asked.append(streams[event.stream_id])
        elif isinstance(event, events.DataReceived):
            streams[event.stream_id or 0].body += event.data or b""
            if self.granting:
                connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, events.TrailersReceived):
            streams[event.stream_id or 0].trailers = [(str(name), str(value)) for name, value in event.headers or ()]
        elif isinstance(event, events.StreamEnded):
            streams[event.stream_id or 0].whole = True
            if self._reply is not None:
                self._reply(streams[event.stream_id or 0])
        elif isinstance(event, events.StreamReset):
            streams[event.stream_id or 0].reset = int(event.error_code or 0)


@dataclass(slots=True)
class Rig:
    gateway: GatewayInLoop
    server: Server

    @property
    def cluster(self) -> Any:
        [pool] = self.gateway.plane.pools.values()
        return pool.cluster

    async def ask(self, *, count: int = 1) -> list[asyncio.Task[Any]]:
        """Begin requests, each over a client connection of its own."""

        async def one() -> Any:
            async with await Client.connect(self.gateway.port) as client:
                return await client.request("GET", "/")

        return [asyncio.get_running_loop().create_task(one()) for _ in range(count)]


@pytest.fixture
async def start(manifests: Any) -> AsyncIterator[Any]:
    stack = AsyncExitStack()
    rigs: list[Rig] = []

    async def begin(server: Server, *, policy: str = "", rule: str = "", settings: Settings | None = None) -> Rig:
        await stack.enter_async_context(server)
        backend = manifests.server("server", server.port).replace(
            "spec: {", "spec: {appProtocols: [gateway.envoyproxy.io/h2c], "
        )
        texts = [manifests.route(f"[{{{rule}backendRefs: [{manifests.to_server('server')}]}}]"), backend]
        if policy:
            texts.append(manifests.policy("BackendTrafficPolicy", policy))
        gateway = GatewayInLoop(manifests.snapshot(*texts), settings=settings)
        rigs.append(Rig(await stack.enter_async_context(gateway), server))
        return rigs[-1]

    async with stack:
        yield begin
        for rig in rigs:
            await rig.gateway.settled()


async def test_http1_becomes_http2_and_back(start: Any) -> None:
    """Method, path, Host and fields arrive as HTTP/2 has them, and the answer as HTTP/1.1 does."""
    rig = await start(Server(reply=lambda asked: asked.answer(b"hello", ("x-one", "1"))))
    async with await Client.connect(rig.gateway.port) as client:
        headers = [("Host", "a.test"), ("X-Upper", "1"), ("TE", "trailers"), ("Connection", "keep-alive, TE")]
        answer = await client.request("POST", "/p?q", headers, b"body")
        again = await client.request("GET", "/")
    assert (answer.status, answer.body, answer.head.header("x-one")) == (200, b"hello", "1")
    assert again.status == 200
    asked = rig.server.asked[0]
    assert asked.fields[:4] == [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/p?q")]
    assert (asked.header("x-upper"), asked.header("te"), asked.header("content-length")) == ("1", "trailers", "4")
    assert asked.header("host") is None
    assert asked.header("connection") is None
    assert asked.body == b"body"
    assert rig.server.connections == 1


async def test_grpc_passes(start: Any) -> None:
    """An HTTP/2 client's streamed messages, its TE, and the status in the trailers."""

    def reply(asked: Asked) -> None:
        asked.head(("content-type", "application/grpc"))
        asked.say(asked.body[::-1])
        asked.connection.send_headers(asked.number, [("grpc-status", "0")], end_stream=True)

    rig = await start(Server(reply=reply))
    async with await Http2Client.connect(rig.gateway.port) as client:
        headers = [("te", "trailers"), ("content-type", "application/grpc")]
        answer = await client.request("POST", "/pkg.Service/Method", headers=headers, body=b"\x00\x00\x00\x00\x01x")
    assert (answer.status, answer.body, answer.trailers) == (200, b"x\x01\x00\x00\x00\x00", [("grpc-status", "0")])
    assert rig.server.asked[0].header("te") == "trailers"


async def test_grpc_streams_both_ways(start: Any) -> None:
    """A server may answer each message before the next one comes."""

    class Talking(Server):
        def _take(self, event: events.Event, *rest: Any) -> None:
            super()._take(event, *rest)
            if isinstance(event, events.DataReceived) and event.data:
                asked = self.asked[0]
                if len(asked.body) == len(event.data):
                    asked.head(("content-type", "application/grpc"))
                asked.say(event.data.upper())

    rig = await start(Talking(reply=lambda asked: asked.say(b"", ended=True)))
    async with await Http2Client.connect(rig.gateway.port) as client:
        stream = client.begin("POST", "/s/m", headers=[("content-type", "application/grpc+proto")], ended=False)
        for number, message in enumerate((b"one", b"two", b"three"), 1):
            client.more(stream, message, ended=number == 3)
            await client.until(lambda number=number: len(stream.pieces) >= number)
        await client.until_over(stream)
    assert stream.body == b"ONETWOTHREE"


async def test_one_connection_carries_many(start: Any) -> None:
    """Requests beside each other share a connection, and answers come in any order."""
    rig = await start(Server())
    tasks = await rig.ask(count=20)
    asked = await rig.server.until(20)
    assert (rig.server.connections, rig.cluster.active, rig.cluster.connections) == (1, 20, 1)
    for each in reversed(asked):
        each.answer(b"%d" % each.number)
    assert {(await task).status for task in tasks} == {200}
    assert rig.cluster.active == 0


async def test_limit_of_the_server_opens_further_connections(start: Any) -> None:
    """Over SETTINGS_MAX_CONCURRENT_STREAMS a further connection is opened, and over all limits is overflow."""
    policy = "circuitBreaker: {maxConnections: 2, maxPendingRequests: 2}"
    rig = await start(Server(streams=2), policy=policy)
    tasks = []
    for count in range(1, 5):
        tasks += await rig.ask()
        await rig.server.until(count)
    assert rig.server.connections == 2
    tasks += await rig.ask(count=2)
    await until(lambda: rig.cluster.pending == 2)
    [refused] = await rig.ask()
    assert (await refused).status == 503
    for number in range(6):
        (await rig.server.until(number + 1))[number].answer(b"x")
    assert [(await task).status for task in tasks] == [200] * 6


async def test_settings_that_change(start: Any) -> None:
    """A server that allows more serves those that wait."""
    rig = await start(Server(streams=1), policy="circuitBreaker: {maxConnections: 1}")
    tasks = await rig.ask()
    await rig.server.until(1)
    tasks += await rig.ask(count=2)
    await until(lambda: rig.cluster.pending == 2)
    first = rig.server.asked[0]
    first.connection.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 3})
    first.flush()
    for asked in await rig.server.until(3):
        asked.answer()
    assert [(await task).status for task in tasks] == [200] * 3


@pytest.mark.parametrize(
    ("code", "details"), [(7, "remote_refused_stream_reset"), (2, "remote_reset"), (8, "remote_reset")]
)
async def test_reset_is_the_failure_of_one(start: Any, code: int, details: str) -> None:
    """A stream that the server takes back is Envoy's 503, and the connection goes on."""
    rig = await start(Server())
    [task] = await rig.ask()
    [asked] = await rig.server.until(1)
    asked.refuse(code)
    answer = await task
    assert answer.status == 503
    assert answer.body.decode().endswith(details.removesuffix("_reset").replace("_", " ") + " reset")
    assert (rig.gateway.done[0].flag, details in rig.gateway.done[0].details) == ("UR", True)
    [task] = await rig.ask()
    (await rig.server.until(2))[1].answer()
    assert (await task).status == 200
    assert rig.server.connections == 1


async def test_reset_inside_an_answer(start: Any) -> None:
    """The client's answer is cut."""
    rig = await start(Server(), settings=Settings(stream_over=0))
    async with await Client.connect(rig.gateway.port) as client:
        await client.send(request_bytes("GET", "/"))
        [asked] = await rig.server.until(1)
        asked.head()
        asked.say(b"abc")
        assert (await client.head()).status == 200
        asked.refuse(2)
        assert await client.closed() in (True, False)
    [done] = await rig.gateway.exchanges(1)
    assert done.flag == "UPE"


async def test_goaway_lets_requests_end(start: Any) -> None:
    """What the server has begun with is answered; further requests go over another connection."""
    rig = await start(Server())
    tasks = await rig.ask()
    [first] = await rig.server.until(1)
    first.writer.write(GoAwayFrame(0, last_stream_id=first.number, error_code=0).serialize())
    [pool] = rig.gateway.plane.pools.values()
    await until(lambda: not pool.cluster.ready(str(next(iter(pool.cluster.endpoints())))))
    tasks += await rig.ask()
    second = (await rig.server.until(2))[1]
    first.answer(b"first")
    second.answer(b"second")
    assert [(await task).body for task in tasks] == [b"first", b"second"]
    assert rig.server.connections == 2


async def test_goaway_with_the_rest_behind_it(start: Any) -> None:
    """A server that stops sends its GOAWAY and goes on answering: in one piece, and in later ones."""
    rig = await start(Server())
    tasks = await rig.ask(count=2)
    first, second = await rig.server.until(2)
    goaway = GoAwayFrame(0, last_stream_id=second.number, error_code=0).serialize()
    first.connection.send_headers(first.number, [(":status", "200")])
    before = first.connection.data_to_send()
    first.connection.send_data(first.number, b"first", end_stream=True)
    first.writer.write(before + goaway + first.connection.data_to_send())
    assert (await tasks[0]).body == b"first"
    second.answer(b"second")
    assert (await tasks[1]).body == b"second"
    assert {done.flag for done in rig.gateway.done} == {"-"}


async def test_goaway_gives_back_what_was_not_begun(start: Any) -> None:
    """A request above the last stream is refused, for a retry to send it elsewhere."""
    rig = await start(Server())
    [task] = await rig.ask()
    [asked] = await rig.server.until(1)
    asked.writer.write(GoAwayFrame(0, last_stream_id=0, error_code=0).serialize())
    assert (await task).status == 503
    assert "refused" in rig.gateway.done[0].details


async def test_connection_that_is_lost(start: Any) -> None:
    """Everything that it carries fails, and the next request gets another."""
    rig = await start(Server())
    tasks = await rig.ask(count=3)
    await rig.server.until(3)
    rig.server.hang_up()
    assert [(await task).status for task in tasks] == [503] * 3
    assert {done.flag for done in rig.gateway.done} == {"UC"}
    [task] = await rig.ask()
    (await rig.server.until(4))[3].answer()
    assert (await task).status == 200


async def test_server_of_http1(start: Any) -> None:
    """A server that speaks no HTTP/2 is a failure to connect, told at once."""

    async def script(talk: Conversation) -> None:
        await talk.read()
        await talk.say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    server = Server()
    rig = await start(server)
    async with RawBackend(script) as raw:
        endpoint = rig.gateway.snapshot.table.listeners[0].matches[0].rule.backends[0].destination.endpoints[0]
        object.__setattr__(endpoint, "port", raw.port)
        [task] = await rig.ask()
        assert (await task).status == 503


async def test_client_that_leaves(start: Any) -> None:
    """Its stream is taken back with CANCEL, and the connection is kept."""
    rig = await start(Server())
    client = await Client.connect(rig.gateway.port)
    await client.send(request_bytes("GET", "/"))
    [asked] = await rig.server.until(1)
    await client.close()
    await until(lambda: asked.reset == 8)
    [task] = await rig.ask()
    (await rig.server.until(2))[1].answer()
    assert (await task).status == 200
    assert rig.server.connections == 1


@pytest.mark.parametrize("size", [65536, 3_000_000])
async def test_bodies_pass_to_the_byte(start: Any, size: int) -> None:
    """Bodies larger than the windows go both ways, buffered and streamed."""

    def reply(asked: Asked) -> None:
        asked.answer(str(len(asked.body)).encode())

    body = bytes(range(250)) * (size // 250)
    for over in (None, 0):
        rig = await start(Server(reply=reply), settings=Settings(stream_over=over))
        async with await Client.connect(rig.gateway.port) as client:
            answer = await client.request("POST", "/", [], body, chunks=[body[:1000], body[1000:]])
        assert answer.body == str(len(body)).encode()
        assert rig.server.asked[0].body == body


async def test_slow_server_holds_its_client(start: Any) -> None:
    """An upload that the server opens no window for is not read further than the buffers between."""
    rig = await start(Server(granting=False), settings=Settings(stream_over=0))
    client = await Client.connect(rig.gateway.port)
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50000000\r\n\r\n")
    sent = 0

    async def send() -> None:
        nonlocal sent
        while True:
            await client.send(b"x" * 65536)
            sent += 65536

    sending = asyncio.get_running_loop().create_task(send())
    await until(lambda: rig.server.asked and len(rig.server.asked[0].body) == 65535)
    [link] = rig.gateway.plane.connections
    await until(lambda: "body" in link._paused)
    assert sent < 20_000_000
    sending.cancel()
    rig.server.hang_up()
    assert (await client.answer()).status == 503
    client.abort()


async def test_request_limit_of_a_connection(start: Any) -> None:
    """`maxRequestsPerConnection` counts streams."""
    policy = "circuitBreaker: {maxRequestsPerConnection: 2}"
    rig = await start(Server(reply=lambda asked: asked.answer(b"x")), policy=policy)
    for _ in range(5):
        [task] = await rig.ask()
        assert (await task).status == 200
    assert rig.server.connections == 3


async def test_malformed_answer(start: Any) -> None:
    """A head that HTTP/2 forbids is 502, and costs its stream."""
    rig = await start(Server())
    [task] = await rig.ask()
    [asked] = await rig.server.until(1)
    asked.head(("connection", "close"))
    assert (await task).status == 502
    [task] = await rig.ask()
    (await rig.server.until(2))[1].answer()
    assert (await task).status == 200


async def test_answer_longer_than_announced(start: Any) -> None:
    """No byte behind Content-Length reaches a client, which would take it for its next answer (RFC 9113, 8.1.1)."""
    rig = await start(Server(), settings=Settings(stream_over=0))
    async with await Client.connect(rig.gateway.port) as client:
        await client.send(request_bytes("GET", "/"))
        [asked] = await rig.server.until(1)
        asked.head(("content-length", "3"))
        asked.say(b"abc")
        assert (await client.head()).header("content-length") == "3"
        assert await client.read() == b"abc"
        asked.say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        assert await client.read() == b""
    [done] = await rig.gateway.exchanges(1)
    assert done.flag == "UPE"


async def test_slow_clients_hold_only_their_own_streams(start: Any) -> None:
    """However many clients of a connection do not read, the others get their answers."""
    rig = await start(Server(), settings=Settings(stream_over=0))

    async def pump(asked: Asked) -> None:
        asked.head()
        while True:
            room = min(asked.connection.local_flow_control_window(asked.number), 16384)
            if room:
                asked.say(b"x" * room)
            await asyncio.sleep(0 if room else 0.001)

    async with await Http2Client.connect(rig.gateway.port) as client:
        client.granting = False
        client.session.increment_flow_control_window(10_000_000)
        streams = [client.begin("GET", "/") for _ in range(6)]
        pumps = [asyncio.get_running_loop().create_task(pump(asked)) for asked in await rig.server.until(6)]
        await client.until(lambda: all(len(stream.body) == 65535 for stream in streams))
        [link] = rig.gateway.plane.connections
        await until(lambda: not any(stream.writable for stream in link._streams.values()))
        [task] = await rig.ask()
        (await rig.server.until(7))[6].answer(b"y" * 10_000)
        assert len((await asyncio.wait_for(task, 10)).body) == 10_000
        assert rig.server.connections == 1
        for each in pumps:
            each.cancel()


async def test_uploads_take_turns(start: Any) -> None:
    """A server's window is shared by those that wait for it, whoever came first."""
    rig = await start(Server(granting=False), settings=Settings(stream_over=0))
    async with await Http2Client.connect(rig.gateway.port) as client:
        large = client.begin("POST", "/large", ended=False)
        sending = asyncio.get_running_loop().create_task(client.upload(large, b"x" * 3_000_000))
        await until(lambda: rig.server.asked and len(rig.server.asked[0].body) == 65535)
        first = rig.server.asked[0]
        client.begin("POST", "/small", body=b"y" * 1000)
        await until(lambda: len(rig.server.asked) == 2)
        first.connection.increment_flow_control_window(1_000_000, first.number)
        first.flush()
        first.connection.increment_flow_control_window(20_000)
        first.flush()
        await until(lambda: rig.server.asked[1].whole, timeout=5)
        sending.cancel()
        rig.server.hang_up()


async def test_protocol_that_changes(start: Any, manifests: Any) -> None:
    """A server that is declared to speak HTTP/1.1 from now on is asked over no connection of HTTP/2."""
    rig = await start(Server(reply=lambda asked: asked.answer(b"x")))
    [task] = await rig.ask()
    assert (await task).status == 200
    route = manifests.route(f"[{{backendRefs: [{manifests.to_server('server')}]}}]")
    rig.gateway.adopt(manifests.snapshot(route, manifests.server("server", rig.server.port)))
    [task] = await rig.ask()
    await task  # the server understands no HTTP/1.1
    assert (rig.server.connections, len(rig.server.asked)) == (2, 1)
