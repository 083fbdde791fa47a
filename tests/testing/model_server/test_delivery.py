"""Every fault, on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.testing.clients import Answer, Client, WireError, request_bytes
from mirrorgate.testing.model_server.behaviour import Behaviour, Defect
from mirrorgate.testing.model_server.faults import Fault, FaultKind
from mirrorgate.testing.model_server.malformed import GARBAGE, MALFORMED
from mirrorgate.testing.model_server.received import Ending
from mirrorgate.testing.model_server.server import FakeModelServer

from .conftest import CHAT

type Body = Callable[..., dict[str, Any]]


async def ask(client: Client, fault: str, body: dict[str, Any]) -> Answer:
    """Send a request that asks for a fault, and read its answer."""
    return await client.request("POST", CHAT, [("x-fake-fault", fault)], body)


@pytest.mark.parametrize(
    "fault", ["reset_before_headers", "refuse", "reset_mid_stream; after=2", "reset_at_byte; after=99"]
)
@pytest.mark.parametrize("stream", [True, False])
async def test_resets_are_resets(server: FakeModelServer, chat: Body, fault: str, stream: bool) -> None:
    """The client's socket says so, and the record too."""
    client = await Client.connect(server.port)
    await client.send(request_bytes("POST", CHAT, [("x-fake-fault", fault)], chat(stream=stream)))
    assert await client.closed() is False
    assert server.requests[0].ending is Ending.CUT
    await client.close()


async def test_a_reset_at_a_byte_is_at_that_byte(server: FakeModelServer, chat: Body) -> None:
    """Head included."""
    async with await Client.connect(server.port) as client:
        await client.send(request_bytes("POST", CHAT, [("x-fake-fault", "reset_at_byte; after=40")], chat()))
        await client.closed()
    assert server.requests[0].bytes_sent == 40


@pytest.mark.parametrize("stream", [True, False])
async def test_a_close_mid_body_is_in_good_order(server: FakeModelServer, chat: Body, stream: bool) -> None:
    """The framing is unfinished all the same."""
    async with await Client.connect(server.port) as client:
        with pytest.raises(WireError):
            await ask(client, "close_mid_body; after=2", chat(stream=stream))
        assert await client.closed() is True


@pytest.mark.parametrize("fault", ["hang_before_headers", "hang_mid_stream; after=2", "no_read"])
async def test_what_hangs_goes_on_when_released(server: FakeModelServer, chat: Body, fault: str) -> None:
    """Until then nothing comes, and the request is open."""
    async with await Client.connect(server.port) as client:
        await client.send(request_bytes("POST", CHAT, [("x-fake-fault", fault)], chat(stream=True)))
        await server.until(lambda: server.hanging == 1)
        assert server.requests[0].ending is Ending.OPEN
        server.release()
        if fault == "no_read":
            await client.closed()
        else:
            assert (await client.answer("POST")).events()[-1] == "[DONE]"


async def test_a_server_that_does_not_read_holds_the_client_up(server: FakeModelServer) -> None:
    """No more than its buffers take of a body that is far larger; nor does it notice that the client leaves."""
    body = b"x" * 30_000_000
    client = await Client.connect(server.port, timeout=0.5)
    with pytest.raises(TimeoutError):
        await client.send(request_bytes("POST", CHAT, [("x-fake-fault", "no_read")], body))
    assert server.requests[0].body_read is None
    client.abort()
    assert server.requests[0].ending is Ending.OPEN
    server.release()
    await server.until(lambda: not server.connections)


async def test_an_early_response_comes_before_the_body(server: FakeModelServer) -> None:
    """And the connection can be used again when the body has come."""
    head = request_bytes("POST", CHAT, [("x-fake-fault", "early_response; status=413"), ("content-length", "5")])
    async with await Client.connect(server.port) as client:
        await client.send(head)
        assert (await client.answer("POST")).status == 413
        await client.send(b"hello")
        assert (await client.request("GET", "/health")).status == 200


async def test_statuses_garbage_and_malformed_answers(server: FakeModelServer, chat: Body) -> None:
    """The bytes are the ones of the table."""
    async with await Client.connect(server.port) as client:
        assert (await ask(client, "error_status; status=502", chat())).status == 502
        await client.send(request_bytes("POST", CHAT, [("x-fake-fault", "garbage")], chat()))
        assert await client.read() == GARBAGE
    for variant, wire in MALFORMED.items():
        async with await Client.connect(server.port) as client:
            fault = f"malformed; variant={variant}"
            await client.send(request_bytes("POST", CHAT, [("x-fake-fault", fault)], chat()))
            received = b""
            while data := await client.read():
                received += data
            assert received == wire


async def test_a_flood_is_as_fast_as_it_is_taken(server: FakeModelServer, chat: Body) -> None:
    """It stops while nobody reads, and with the client."""
    async with await Client.connect(server.port, receive_buffer=4096) as client:
        await client.send(request_bytes("POST", CHAT, [("x-fake-fault", "flood")], chat()))
        seen = 0
        while seen < 1_000_000:
            seen += len(await client.read())
        client.abort()
    await server.until(lambda: server.requests[0].ending is Ending.CLIENT_LEFT)
    assert server.requests[0].bytes_sent < 100_000_000


async def test_endings_that_look_like_success(server: FakeModelServer, chat: Body) -> None:
    """An abort, an error event, a stream without its end: each in a 200 with good framing."""
    async with await Client.connect(server.port) as client:
        aborted = (await ask(client, "abort_finish; after=2", chat(stream=True))).events()
        assert json.loads(aborted[-2])["choices"][0]["finish_reason"] == "abort"
        failed = (await ask(client, "error_event; after=2", chat(stream=True))).events()
        assert json.loads(failed[-2])["error"]["code"] == 500
        assert failed[-1] == "[DONE]"
        endless = (await ask(client, "no_done", chat(stream=True))).events()
        assert "[DONE]" not in endless
        whole = (await ask(client, "abort_finish; after=2", chat())).json()
        assert whole["choices"][0]["finish_reason"] == "abort"


async def test_slow_and_trickle_take_their_time(server: FakeModelServer, chat: Body) -> None:
    """One waits before the first token, the other after every byte."""
    async with await Client.connect(server.port) as client:
        await ask(client, "slow; seconds=0.1", chat(stream=True))
        slow = server.requests[0]
        assert slow.answered is not None
        assert slow.events[0] - slow.answered >= 0.09
        trickled = await ask(client, "trickle; seconds=0.0001", chat(max_tokens=1))
        assert trickled.status == 200


async def test_connections_that_end_without_a_word(server: FakeModelServer, chat: Body) -> None:
    """After an answer that did not say so, and at the second request."""
    async with await Client.connect(server.port) as client:
        answer = await ask(client, "close_after_response", chat())
        assert answer.head.header("connection") is None
        assert await client.closed() is True
    async with await Client.connect(server.port) as client:
        assert (await ask(client, "stale_keep_alive", chat())).status == 200
        await client.send(request_bytes("POST", CHAT, [("x-fake-fault", "stale_keep_alive")], chat()))
        assert await client.closed() is False


async def test_faults_are_met_as_often_as_told(chat: Body) -> None:
    """By count, by share, and by path; a header with a wrong word is a 400."""
    faults = (Fault(FaultKind.ERROR_STATUS, times=2, status=503),)
    async with FakeModelServer(Behaviour(faults=faults)) as server, await Client.connect(server.port) as client:
        statuses = [(await client.request("POST", CHAT, (), chat())).status for _ in range(4)]
        assert statuses == [503, 503, 200, 200]
        await server.configure(faults=[Fault(FaultKind.ERROR_STATUS, probability=0.5)])
        statuses = [(await client.request("POST", CHAT, (), chat())).status for _ in range(60)]
        assert 15 < statuses.count(500) < 45
        await server.configure(faults=[{"kind": "error_status", "path": "/metrics"}])
        assert (await client.request("POST", CHAT, (), chat())).status == 200
        assert (await client.request("GET", "/metrics")).status == 500
        assert (await ask(client, "explode", chat())).status == 400


async def test_defects_of_the_transport(chat: Body) -> None:
    """About one in twenty fails, about one stream in ten has no end."""
    defects = frozenset({Defect.FLAKY_5XX, Defect.TRUNCATED_STREAMS})
    async with FakeModelServer(Behaviour(defects=defects)) as server, await Client.connect(server.port) as client:
        answers = [await client.request("POST", CHAT, (), chat(stream=True)) for _ in range(200)]
        failed = sum(answer.status == 500 for answer in answers)
        cut = sum(answer.status == 200 and answer.events()[-1] != "[DONE]" for answer in answers)
        assert 2 <= failed <= 20
        assert 8 <= cut <= 36
