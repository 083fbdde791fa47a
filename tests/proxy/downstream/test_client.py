"""One client connection: order, pipelining, malformed requests, idle and slow clients, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from typing import Any

import pytest
from mitmproxy import connection, http

from mirrorgate.proxy.carrying.carrier import Carrier
from mirrorgate.proxy.dataplane import Settings
from mirrorgate.proxy.downstream.client_side import Inbound
from mirrorgate.proxy.messages.heads import RequestHead, ResponseHead
from mirrorgate.proxy.messages.sketch import Sketch
from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.clients import WireError, request_bytes
from mirrorgate.testing.in_loop import until

ECHO = answering(lambda request: response_bytes(body=request.target.encode()))


async def only_connection(running: Any) -> Any:
    """Wait for the gateway's end of the only client connection."""
    await until(lambda: len(running.gateway.plane.connections) == 1)
    [found] = running.gateway.plane.connections
    return found


async def test_answers_come_in_the_order_of_the_requests(run: Any) -> None:
    """A burst of pipelined requests is carried one after another, whoever answers."""

    class Reply:
        def request(self, flow: http.HTTPFlow) -> None:
            if flow.request.path.endswith("3"):
                flow.response = http.Response.make(200, b"addon")

    running = await run(ECHO, Reply())
    client = await running.client()
    await client.send(b"".join(request_bytes("POST", f"/{number}", body=b"x") for number in range(200)))
    for number in range(200):
        body = (await client.answer()).body
        assert body == (b"addon" if str(number).endswith("3") else b"/%d" % number)
    await running.done(200)
    assert len(running.backend.conversations) == 1


async def test_the_next_request_waits_while_the_client_does_not_read(run: Any) -> None:
    """A client that pipelines and reads nothing does not fill the gateway's memory with answers."""

    class Reply:
        def request(self, flow: http.HTTPFlow) -> None:
            flow.response = http.Response.make(200, b"x" * 20_000)

    running = await run(ECHO, Reply())
    client = await running.client(receive_buffer=10_000)
    client.stop_reading()
    sending = asyncio.ensure_future(client.send(*[request_bytes("GET", "/") * 1000] * 4))
    found = await only_connection(running)
    await until(lambda: not found.writable and found._queue)
    before = 0
    while before != len(running.gateway.done):
        before = len(running.gateway.done)
        await asyncio.sleep(0.05)  # what is under way comes to its end; more must not begin
    assert found.unsent < 200_000
    assert len(found._queue) < 10_000
    client.resume_reading()
    for _ in range(before + 100):
        assert len((await client.answer()).body) == 20_000
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


MALFORMED = b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"


async def test_a_malformed_request_ends_the_connection(run: Any) -> None:
    """400 without a flow, behind the answers to what came before it; nothing behind it is read."""
    hooks: list[str] = []

    class Look:
        def requestheaders(self, flow: http.HTTPFlow) -> None:
            hooks.append(flow.request.path)

    running = await run(ECHO, Look())
    client = await running.client()
    await client.send(request_bytes("GET", "/1") + request_bytes("GET", "/2") + MALFORMED + request_bytes("GET", "/3"))
    assert [(await client.answer()).body for _ in range(2)] == [b"/1", b"/2"]
    answer = await client.answer()
    assert (answer.status, answer.body, answer.head.header("connection")) == (400, b"more than one Host", "close")
    assert await client.closed() is not None
    done = await running.done(3)
    assert (done.id, done.status, done.flag, done.refusal) == ("", 400, "DPE", "bad_request")
    assert hooks == ["/1", "/2"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 70_000, 431),
        (b"GET /" + b"y" * 70_000, 431),
        (b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", 400),
    ],
)
async def test_what_is_no_request_is_refused(run: Any, data: bytes, status: int) -> None:
    """With a status, and counted."""
    running = await run(ECHO)
    client = await running.client()
    await client.send(data)
    assert (await client.answer()).status == status
    assert (await running.done()).status == status


@pytest.mark.parametrize("stream", [False, True])
async def test_a_body_that_breaks_its_framing_is_400(run: Any, stream: bool) -> None:
    """An exchange of its own: addons hear `error`; the upstream never sees the end of the request."""
    errors: list[http.HTTPFlow] = []
    whole: list[bytes] = []

    class Look:
        def error(self, flow: http.HTTPFlow) -> None:
            errors.append(flow)

    async def script(talk: Conversation) -> None:
        await talk.request()
        whole.append(b"request")

    running = await run(script, Look(), settings=Settings(stream_over=0 if stream else None))
    client = await running.client()
    await client.send(request_bytes("POST", "/", chunks=[b"abc"])[:-5])
    found = await only_connection(running)
    await until(lambda: found.carrier is not None)
    await client.send(b"zz\r\n" + request_bytes("GET", "/smuggled"))
    answer = await client.answer()
    assert (answer.status, answer.body) == (400, b"Invalid character in chunk size")
    assert await client.closed() is not None
    assert (await running.done()).flag == "DPE"
    assert len(errors) == 1
    assert whole == []


async def test_a_pipelined_body_that_breaks_is_its_own_requests(run: Any) -> None:
    """The request before it is answered as ever."""
    go = asyncio.Event()

    async def script(talk: Conversation) -> None:
        await talk.request()
        await go.wait()
        await talk.answer(200, b"first")
        await talk.gone()

    running = await run(script)
    client = await running.client()
    await client.send(request_bytes("GET", "/1") + request_bytes("POST", "/2", chunks=[b"abc"])[:-5] + b"zz\r\n")
    await until(lambda: running.backend.requests)
    go.set()
    assert (await client.answer()).body == b"first"
    assert (await client.answer()).status == 400
    assert [done.status for done in await running.gateway.exchanges(2)] == [200, 400]


async def test_connection_close_is_honoured(run: Any) -> None:
    """The client's wish, and that of HTTP/1.0."""
    running = await run(ECHO)
    client = await running.client()
    answer = await client.request("GET", "/", [("connection", "close")])
    assert answer.head.header("connection") == "close"
    assert await client.closed()
    client = await running.client()
    answer = await client.request("GET", "/", version="1.0")
    assert answer.head.header("connection") == "close"
    assert await client.closed()


async def test_the_last_answer_is_not_lost_to_a_reset(run: Any) -> None:
    """What the client still sends is read and dropped for a while; it sees the end at once."""
    running = await run(ECHO)
    client = await running.client()
    await client.send(request_bytes("GET", "/last", [("connection", "close")]))
    assert (await client.answer()).body == b"/last"
    await client.send(request_bytes("GET", "/more"))
    assert await client.closed()
    found = await only_connection(running)
    assert found._discarding
    await client.close()
    await until(lambda: not running.gateway.plane.connections)
    assert len(running.gateway.done) == 1


async def test_idle_connections_end(run: Any) -> None:
    """After the idle timeout, in good order; those in use do not."""
    running = await run(ECHO, settings=Settings(idle_timeout=10))
    client = await running.client()
    await client.request("GET", "/")
    found = await only_connection(running)
    found.sweep(time.monotonic() + 9)
    assert not found.closed
    found.sweep(time.monotonic() + 11)
    assert await client.closed()


async def test_an_idle_client_holds_nothing_of_its_exchange(run: Any) -> None:
    """With thousands of them, memory is what they hold: their connections, and no request, answer or task. The head
    that a client may send again is kept for some seconds."""

    def held() -> Counter[str]:
        for link in running.gateway.plane.connections:
            link.sweep(time.monotonic() + 6.0)
        gc.collect()
        kinds = (Carrier, Inbound, RequestHead, ResponseHead, Sketch, http.HTTPFlow, asyncio.Task)
        return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, kinds))

    running = await run(ECHO)
    clients = [await running.client() for _ in range(8)]
    await clients[0].request("POST", "/", body=b"x" * 10_000)
    before = held()
    for client in clients[1:]:
        await client.request("POST", "/", body=b"x" * 10_000)
    await running.done(8)
    assert len(running.gateway.plane.connections) == 8
    assert held() == before


async def test_a_head_must_come_in_time(run: Any) -> None:
    """408; a byte now and then does not buy more time."""
    running = await run(ECHO, settings=Settings(head_timeout=10))
    client = await running.client()
    await client.send(b"GET / HTTP/1.1\r\n")
    found = await only_connection(running)
    await until(lambda: not found.reader.idle)
    found.since -= 8
    await client.send(b"x: y\r\n")
    await until(lambda: found.reader._unfinished > 16)
    found.sweep(time.monotonic())
    assert not found.closed
    found.sweep(time.monotonic() + 5)
    assert (await client.answer()).status == 408
    assert (await running.done()).refusal == "request_header_timeout"


async def test_a_client_that_never_reads_its_answer_is_hung_up_on(run: Any) -> None:
    """Once the connection is to end, and no byte of the rest has been taken for a while."""

    class Reply:
        def request(self, flow: http.HTTPFlow) -> None:
            flow.response = http.Response.make(200, b"x" * 20_000_000)

    running = await run(ECHO, Reply())
    client = await running.client(receive_buffer=10_000)
    client.stop_reading()
    await client.send(request_bytes("GET", "/", [("connection", "close")]))
    await running.done()
    found = await only_connection(running)
    found.transport.close()
    assert found.closed
    found.sweep(time.monotonic())
    found.sweep(time.monotonic() + 5)
    assert found in running.gateway.plane.connections
    found.sweep(time.monotonic() + 30)
    await until(lambda: not running.gateway.plane.connections)


async def test_addons_hear_of_connections_and_may_refuse_them(run: Any) -> None:
    """`client_connected` with an error closes it, awaited or not; `client_disconnected` follows."""

    class Door:
        def __init__(self) -> None:
            self.seen: list[str] = []

        async def client_connected(self, client: connection.Client) -> None:
            await asyncio.sleep(0)
            self.seen.append("connected")
            assert client.connected
            if len(self.seen) == 1:
                client.error = "no"

        def client_disconnected(self, client: connection.Client) -> None:
            self.seen.append("disconnected")
            assert not client.connected
            assert client.timestamp_end

    door = Door()
    running = await run(ECHO, door)
    client = await running.client()
    with pytest.raises((WireError, ConnectionError)):
        await client.request("GET", "/")
    await until(lambda: door.seen == ["connected", "disconnected"])
    assert (await (await running.client()).request("GET", "/")).status == 200

    class Shut:
        def client_connected(self, client: connection.Client) -> None:
            client.error = "no"

    running = await run(ECHO, Shut())
    client = await running.client()
    assert await client.closed() is not None


async def test_a_request_waits_for_the_greeting(run: Any) -> None:
    """What is sent while addons look at the connection is read afterwards."""
    go = asyncio.Event()

    class Slow:
        async def client_connected(self, client: connection.Client) -> None:
            await go.wait()

    running = await run(ECHO, Slow())
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await only_connection(running)
    assert running.gateway.done == []
    go.set()
    assert (await client.answer()).status == 200


async def test_ipv6_clients_are_named(run: Any) -> None:
    """In the way that mitmproxy does."""
    running = await run(ECHO)
    server = await running.gateway.plane.listen(_mode(), "::1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        client = await type(await running.client()).connect(port, "::1")
        running.clients.append(client)
        assert (await client.request("GET", "/")).status == 200
        assert running.backend.requests[0].header("x-forwarded-for") == "::1"
    finally:
        server.close()


def _mode() -> Any:
    from mitmproxy.proxy import mode_specs

    return mode_specs.ProxyMode.parse("gateway:80@127.0.0.1:0")


@pytest.mark.parametrize("digits", [5, 6, 5000])
async def test_a_port_of_any_length_is_no_bug(run: Any, digits: int) -> None:
    """A Host may name one that does not exist; Python reads no number of thousands of digits."""
    running = await run(ECHO)
    client = await running.client()
    assert (await client.request("GET", "/", [("host", "a.test:" + "9" * digits)])).status == 200
    assert running.gateway.plane.bugs == 0


@pytest.mark.parametrize("kind", ["upload", "pipeline"])
async def test_a_reset_is_noticed_while_nothing_is_read(run: Any, kind: str) -> None:
    """An upload that the server does not take, and requests behind the one under way: its place comes back at once."""

    async def deaf(talk: Conversation) -> None:
        await talk.head()
        talk.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    running = await run(deaf, settings=Settings(stream_over=0))
    client = await running.client()
    if kind == "upload":
        client.writer.write(request_bytes("POST", "/", body=bytes(16 << 20)))
    else:
        await client.send(request_bytes("GET", "/") * 3)
    found = await only_connection(running)
    await until(lambda: found._paused)
    client.abort()
    assert (await running.done()).refusal == "client_left"
