"""TLS with clients: which certificate they see, how handshakes end, and that a stream is carried to the byte."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import connection, http, tls

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.proxy.tls_transport import TlsTransport, pieces_of
from mirrorgate.resources.loading import Document, load
from mirrorgate.snapshot import Snapshot
from mirrorgate.testing.backends import Backend, Conversation, answering, response_bytes
from mirrorgate.testing.certificates import Authority
from mirrorgate.testing.clients import Answer, Client, WireError
from mirrorgate.testing.in_loop import GatewayInLoop, until
from mirrorgate.testing.manifests import Object, as_yaml, backend, http_route, https_gateway, reference

ECHO = answering(lambda request: response_bytes(body=repr(request.headers).encode() + request.body))
BIG = 8 * 1024 * 1024


@dataclass(slots=True)
class Rig:
    """A gateway that terminates TLS for `one.test`, `*.wild.test` and, with another certificate, for all others."""

    authority: Authority
    gateway: GatewayInLoop
    backend: Backend

    async def connect(self, name: str, *protocols: str, **more: Any) -> Client:
        context = more.pop("context", None) or self.authority.client(*protocols)
        return await Client.connect(self.gateway.port, tls=context, server_name=name, **more)

    async def ask(self, name: str, host: str | None = None) -> Answer:
        async with await self.connect(name) as client:
            return await client.request("GET", "/", [("host", host or name)])

    async def names_shown(self, name: str, **more: Any) -> set[str]:
        """Return the names of the certificate that a client gets which asks for `name`."""
        async with await self.connect(name, **more) as client:
            return {value for _, value in client.writer.get_extra_info("peercert")["subjectAltName"]}


def objects(authority: Authority, port: int, *more: Object) -> list[Object]:
    """Return the manifests of the rig; `more` are Secrets instead of the usual ones."""
    secrets = {
        "one": authority.secret("one", "one.test"),
        "one-rsa": authority.secret("one-rsa", "one.test", rsa=True),
        "wild": authority.secret("wild", "*.wild.test", "wild.test"),
        "rest": authority.secret("rest", "rest.test", "two.test"),
    } | {each["metadata"]["name"]: each for each in more}
    listeners = {"one.test": ["one", "one-rsa"], "*.wild.test": ["wild"], "": ["rest"]}
    hosts = ["one.test", "a.wild.test", "rest.test"]
    route = http_route("route", reference("server"), hosts=hosts)
    return [*https_gateway(443, listeners), *secrets.values(), backend("server", port), route]


def snapshot(documents: list[Object], generation: int = 1) -> Snapshot:
    loaded = load([Document("test.yaml", as_yaml(documents))])
    assert not loaded.problems
    return Snapshot.of(loaded.inventory, generation)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def start(authority: Authority) -> AsyncIterator[Any]:
    stack = AsyncExitStack()
    rigs = []

    async def begin(script: Any = ECHO, *addons: object, settings: Settings | None = None) -> Rig:
        server = await stack.enter_async_context(Backend(script))
        found = snapshot(objects(authority, server.port))
        gateway = GatewayInLoop(found, *addons, settings=settings, mode="gateway:443/https")
        rigs.append(Rig(authority, await stack.enter_async_context(gateway), server))
        return rigs[-1]

    async with stack:
        yield begin
        for rig in rigs:
            await rig.gateway.settled()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("one.test", {"one.test"}),
        ("ONE.test", {"one.test"}),
        ("a.wild.test", {"*.wild.test", "wild.test"}),
        ("rest.test", {"rest.test", "two.test"}),
    ],
)
async def test_server_name_chooses_the_certificate(start: Any, name: str, shown: set[str]) -> None:
    """The most specific listener's certificate is shown: exact, wildcard, any."""
    rig = await start()
    assert await rig.names_shown(name) == shown


@pytest.mark.parametrize(("algorithm", "named"), [("ECDHE-RSA-AES128-GCM-SHA256", "RSA"), ("ECDSA", "ECDSA")])
async def test_client_gets_the_kind_of_key_that_it_knows(start: Any, algorithm: str, named: str) -> None:
    """Of an RSA and an ECDSA certificate, a client that knows one kind gets that one."""
    rig = await start()
    context = rig.authority.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(algorithm)
    async with await rig.connect("one.test", context=context) as client:
        assert named in client.writer.get_extra_info("cipher")[0]


@pytest.mark.parametrize(
    ("name", "host", "status"),
    [
        ("one.test", "one.test", 200),
        ("one.test", "ONE.test:443", 200),
        ("one.test", "a.wild.test", 421),
        ("one.test", "rest.test", 421),
        ("rest.test", "one.test", 421),
        ("rest.test", "rest.test", 200),
        ("rest.test", "two.test", 404),
        ("a.wild.test", "a.wild.test", 200),
        ("a.wild.test", "b.wild.test", 404),
    ],
)
async def test_request_for_another_listener_is_misdirected(start: Any, name: str, host: str, status: int) -> None:
    """A Host of another listener than the handshake chose is answered 421, one without a route 404."""
    rig = await start()
    context = rig.authority.client()
    context.check_hostname = False
    async with await rig.connect(name, context=context) as client:
        assert (await client.request("GET", "/", [("host", host)])).status == status
        again = await client.request("GET", "/", [("host", name)])
        assert again.status == 200, "the connection goes on"


async def test_upstream_and_addons_see_https(start: Any) -> None:
    """`x-forwarded-proto`, the flow's scheme and the fields of its client connection tell of TLS."""
    seen: list[Any] = []

    class Look:
        def tls_established_client(self, data: tls.TlsData) -> None:
            seen.append(data.conn)

        def request(self, flow: http.HTTPFlow) -> None:
            seen.append(flow)

    rig = await start(ECHO, Look())
    async with await rig.connect("one.test", "http/1.1") as client:
        answer = await client.request("GET", "/", [("host", "one.test")])
    assert b"('x-forwarded-proto', 'https')" in answer.body
    conn, flow = seen
    assert flow.client_conn is conn
    assert (flow.request.scheme, flow.request.pretty_url) == ("https", "https://one.test/")
    assert (conn.tls, conn.sni, conn.alpn, conn.tls_version) == (True, "one.test", b"http/1.1", "TLSv1.3")
    assert conn.tls_established
    assert conn.cipher


async def test_changed_secret_is_shown_to_new_clients(start: Any) -> None:
    """A renewed certificate is shown from the next handshake on; a connection that is open goes on."""
    rig = await start()
    async with await rig.connect("rest.test") as old:
        renewed = rig.authority.secret("rest", "rest.test", "renewed.test")
        rig.gateway.adopt(snapshot(objects(rig.authority, rig.backend.port, renewed), 2))
        assert await rig.names_shown("rest.test") == {"rest.test", "renewed.test"}
        assert (await old.request("GET", "/", [("host", "rest.test")])).status == 200


async def test_handshake_for_nobody(start: Any) -> None:
    """A name that no listener has ends the handshake with an alert, and no exchange is told of."""
    failed: list[connection.Client] = []

    class Look:
        def tls_failed_client(self, data: tls.TlsData) -> None:
            failed.append(data.conn)  # type: ignore[arg-type]

    rig = await start(ECHO, Look())
    documents = objects(rig.authority, rig.backend.port)
    del documents[1]["spec"]["listeners"][-1]
    rig.gateway.adopt(snapshot(documents, 2))
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        await rig.connect("nobody.test")
    await until(lambda: failed)
    assert failed[0].sni == "nobody.test"
    assert rig.gateway.plane.tls_failures == 1
    assert rig.gateway.done == []


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\nhost: one.test\r\n\r\n", b"\x16\x03\x01\x00\x05abcde", b"\x00" * 99]
)
async def test_noise_instead_of_a_handshake(start: Any, noise: bytes) -> None:
    """What is no handshake ends the connection, and nothing else."""
    rig = await start()
    async with await Client.connect(rig.gateway.port) as client:
        await client.send(noise)
        await client.closed()
    assert (await rig.ask("one.test")).status == 200
    assert rig.gateway.plane.tls_failures == 1


async def test_slow_handshake_is_ended(start: Any) -> None:
    """A client that opens a connection and says nothing does not keep it."""
    rig = await start(settings=Settings(handshake_timeout=0.05))
    async with await Client.connect(rig.gateway.port) as client:
        assert await client.closed()
    assert rig.gateway.plane.tls_failures == 1


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
async def test_old_versions_are_refused(start: Any, version: str) -> None:
    """TLS 1.2 is the least."""
    rig = await start()
    context = rig.authority.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await rig.connect("one.test", context=context)


async def test_large_bodies_pass_to_the_byte(start: Any) -> None:
    """Megabytes go both ways, over as many TLS records as it takes."""
    rig = await start(answering(lambda request: response_bytes(body=request.body)))
    body = bytes(range(256)) * (BIG // 256)
    async with await rig.connect("one.test") as client:
        assert (await client.request("POST", "/", [("host", "one.test")], body)).body == body


async def test_slow_client_holds_the_upstream_back(start: Any) -> None:
    """What a client does not read is not taken from the upstream either, beyond the buffers between them."""
    written = 0

    async def endless(conversation: Conversation) -> None:
        nonlocal written
        await conversation.request()
        await conversation.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
        while True:
            await conversation.say(b"x" * 65536)
            written += 65536

    rig = await start(endless)
    client = await rig.connect("one.test", receive_buffer=4096)
    await client.send(b"GET / HTTP/1.1\r\nhost: one.test\r\n\r\n")
    await client.head()
    client.stop_reading()
    [held] = rig.gateway.plane.connections
    await until(lambda: not held.writable)
    await until(lambda: held.unsent > 0)
    assert held.unsent < 4 * 1024 * 1024
    client.abort()


async def test_client_that_leaves_frees_its_place(start: Any) -> None:
    """A close in the middle of an answer ends the exchange at once."""
    begun = asyncio.Event()

    async def silent(conversation: Conversation) -> None:
        await conversation.request()
        begun.set()
        await conversation.reader.read()

    rig = await start(silent)
    client = await rig.connect("one.test")
    await client.send(b"GET / HTTP/1.1\r\nhost: one.test\r\n\r\n")
    await begun.wait()
    await client.close()
    [done] = await rig.gateway.exchanges(1)
    assert done.flag == "DC"


async def test_last_answer_ends_with_a_close_notify(start: Any) -> None:
    """An answer that lasts until the close ends in good order, so that a cut cannot pass for its end."""
    rig = await start(
        answering(lambda request: response_bytes(body=b"short", chunked=True)), settings=Settings(stream_over=0)
    )
    async with await rig.connect("one.test") as client:
        await client.send(b"GET / HTTP/1.0\r\nhost: one.test\r\n\r\n")
        answer = await client.answer()
    assert answer.body == b"short"


async def test_malformed_request_over_tls(start: Any) -> None:
    """A request that breaks the protocol is answered 400, and the connection closed."""
    rig = await start()
    async with await rig.connect("one.test") as client:
        await client.send(b"NOT HTTP\r\n\r\n")
        assert (await client.answer()).status == 400
        with pytest.raises(WireError):
            await client.answer()


@given(st.integers(0, 5 * 32 * 1024))
def test_pieces_are_the_whole_and_none_is_large(size: int) -> None:
    """Joined they are what was given; few bytes are given as they are."""
    data = random.Random(size).randbytes(size)
    pieces = list(pieces_of(data))
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= 32 * 1024 for piece in pieces) or not data
    assert len(pieces) == max(1, -(-size // (32 * 1024)))


class Hoarding:
    """A session that notes the most that its memory buffers have held; both ways it passes bytes on as they are."""

    def __init__(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self.most_in = self.most_out = 0

    def do_handshake(self) -> None: ...

    def pending(self) -> int:
        return 0

    def read(self, size: int) -> bytes:
        self.most_in = max(self.most_in, self._incoming.pending)
        return self._incoming.read(size)

    def write(self, data: bytes) -> int:
        written = self._outgoing.write(data)
        self.most_out = max(self.most_out, self._outgoing.pending)
        return written


class Above(asyncio.Protocol):
    """The protocol on top: it answers all that it got when it got the last byte of it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def tls_established(self, session: object) -> None: ...

    def tls_failed(self, session: object, message: str) -> None:
        raise AssertionError(message)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) == self._size:
            self._transport.write(bytes(self._received))


async def test_openssl_never_holds_a_whole_body() -> None:
    """Its buffers keep the room of the most that they ever held, for as long as a client idles."""
    data = random.Random(1).randbytes(1_000_000)
    sessions: list[Hoarding] = []

    class Contexts:
        def handshake(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, port: int, local: str | None) -> Hoarding:
            sessions.append(Hoarding(incoming, outgoing))
            return sessions[-1]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: TlsTransport(Above(len(data)), Contexts(), 443, 10.0),
        "127.0.0.1",
        0,  # type: ignore[arg-type]
    )
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.close()
        await writer.wait_closed()
    [session] = sessions
    assert 0 < session.most_in <= 32 * 1024
    assert 0 < session.most_out <= 32 * 1024
