"""What a client gets that is refused, what becomes of its connection, and what is told of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mirrorgate.admission.overload import Overload
from mirrorgate.events import RequestsShed
from mirrorgate.proxy.downstream.shedding import Shedding
from mirrorgate.testing.backends import answering, response_bytes
from mirrorgate.testing.http2_client import Http2Client

OK = answering(response_bytes(body=b"ok"))
CHAT = "/v1/chat/completions"
TEXT = b"the gateway is overloaded"


def shedding_of(running: Any) -> Shedding:
    """Let the gateway refuse everything: its loop is behind, and every round too long."""
    overload = Overload(1e-9)
    shedding = running.gateway.plane.shedding = Shedding(running.gateway.plane, overload)
    for now in (1.0, 2.0, 3.0):
        shedding.observe(1.0, 0.0, now)
    return shedding


async def known(running: Any) -> Any:
    """Connect a client whose first request has been served, which a connection is let in for."""
    shedding, running.gateway.plane.shedding = running.gateway.plane.shedding, None
    client = await running.client()
    assert (await client.request("GET", "/")).status == 200
    running.gateway.plane.shedding = shedding
    return client


def told(running: Any) -> list[RequestsShed]:
    """Return the batches, behind one more."""
    running.gateway.plane.shedding.tell()
    return [event for event in running.gateway.events if isinstance(event, RequestsShed)]


async def test_a_request_is_refused_and_its_connection_stays(run: Any) -> None:
    """With when to come again; no hook and no backend hears of it, and the next request is served."""
    heard: list[str] = []

    class Hears:
        def requestheaders(self, flow: object) -> None:
            heard.append("requestheaders")

    running = await run(OK, Hears())
    shedding_of(running)
    client = await known(running)
    for _ in range(2):
        answer = await client.request("POST", "/some", body=b"x")
        assert (answer.status, answer.body) == (503, TEXT)
        assert answer.head.header("retry-after") == "1"
        assert answer.head.header("content-type") == "text/plain"
        assert answer.head.header("date")
        assert answer.head.header("connection") is None
    assert heard == ["requestheaders"], "of the one before"
    running.gateway.plane.shedding = None
    assert (await client.request("GET", "/")).body == b"ok"
    assert heard == ["requestheaders"] * 2


async def test_an_inference_client_gets_an_error_of_its_api(run: Any) -> None:
    """The body of OpenAI's errors."""
    running = await run(OK)
    shedding_of(running)
    answer = await (await known(running)).request("POST", CHAT, body=b"{}")
    assert answer.status == 503
    assert answer.json()["error"]["type"] == "server_error"
    assert answer.head.header("content-type") == "application/json"


async def test_every_request_counts_and_one_is_described(run: Any) -> None:
    """Who sent it, with what; a batch has one, and none is empty."""
    running = await run(OK)
    shedding_of(running)
    client = await known(running)
    fields = [("user-agent", "curl/8"), ("x-forwarded-for", "10.0.0.9"), ("x-request-id", "r-7")]
    await client.request("POST", "/some?x=1", fields, body=b"x")
    for _ in range(4):
        await client.request("GET", "/other")
    [batch] = told(running)
    assert (batch.count, batch.bytes_sent) == (5, 5 * len(TEXT))
    sample = batch.sample
    assert (sample.method, sample.path, sample.protocol, sample.authority) == (
        "POST", "/some?x=1", "HTTP/1.1", "test",
    )  # fmt: skip
    assert (sample.status, sample.flag, sample.details, sample.refusal) == (503, "OM", "overload", "overload")
    assert (sample.user_agent, sample.forwarded_for, sample.request_id) == ("curl/8", "10.0.0.9", "r-7")
    assert sample.client.startswith("127.0.0.1:")
    assert abs(sample.started - time.time()) < 60
    assert len(told(running)) == 1
    await client.request("GET", "/again")
    assert [(batch.count, batch.sample.path) for batch in told(running)] == [(5, "/some?x=1"), (1, "/again")]


async def test_a_body_is_not_waited_for(run: Any) -> None:
    """The answer comes behind the head, and ends the connection, whose rest nobody reads."""
    running = await run(OK)
    shedding_of(running)
    client = await known(running)
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.head.header("connection")) == (503, "close")
    assert await client.closed()
    assert [batch.count for batch in told(running)] == [1]


async def test_a_client_that_waits_to_send_its_body_is_refused_before(run: Any) -> None:
    """Without 100 Continue; what it sends all the same is not taken for a request."""
    running = await run(OK)
    shedding_of(running)
    client = await known(running)
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 40\r\n\r\n")
    assert (await client.answer()).status == 503
    await client.send(b"GET /smuggled HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n")
    assert await client.closed()
    assert [batch.count for batch in told(running)] == [1]


async def test_a_pipeline_is_answered_in_order(run: Any) -> None:
    """Each request of it by itself."""
    running = await run(OK)
    shedding_of(running)
    client = await known(running)
    heads = [f"{what} HTTP/1.1\r\nhost: a\r\n\r\n".encode() for what in ("GET /1", "HEAD /2", "GET /3")]
    await client.send(b"".join(heads))
    assert (await client.answer()).body == TEXT
    assert (await client.answer("HEAD")).body == b""
    assert (await client.answer()).status == 503
    [batch] = told(running)
    assert (batch.count, batch.bytes_sent, batch.sample.path) == (3, 2 * len(TEXT), "/1")


@pytest.mark.parametrize(
    ("data", "status", "closes"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 503, True),
        (b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", 503, False),
        (b"GET / HTTP/1.0\r\n\r\n", 503, True),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 503, False),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\nab", 400, True),
        (b"GET / HTTP/1.1\nhost: a\n\n", 400, True),
    ],
)
async def test_framing_is_as_strict_as_ever(run: Any, data: bytes, status: int, closes: bool) -> None:
    """And a connection ends when it must."""
    running = await run(OK)
    shedding_of(running)
    client = await known(running)
    await client.send(data)
    answer = await client.answer()
    assert answer.status == status
    assert (answer.head.header("connection") == "close") is closes
    if closes:
        assert await client.closed()
    else:
        assert (await client.request("GET", "/")).status == 503


async def test_head_has_no_body(run: Any) -> None:
    """Its answer says how long one would be."""
    running = await run(OK)
    shedding_of(running)
    client = await known(running)
    answer = await client.request("HEAD", "/")
    assert (answer.status, answer.body, answer.head.header("content-length")) == (503, b"", str(len(TEXT)))
    assert (await client.request("GET", "/")).body == TEXT
    assert [(batch.count, batch.bytes_sent) for batch in told(running)] == [(2, len(TEXT))]


async def test_a_head_in_two_pieces_is_refused_as_well(run: Any) -> None:
    """It takes the way of those that have to be looked at."""
    running = await run(OK)
    shedding_of(running)
    client = await known(running)
    await client.send(b"GET / HTTP/1.1\r\nho", b"st: a\r\n\r\n", pause=0.01)
    assert (await client.answer()).status == 503
    assert (await client.request("GET", "/")).status == 503


async def test_what_is_under_way_goes_on(run: Any) -> None:
    """Only new work is refused."""
    running = await run(OK)
    client = await running.client()
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nx")
    assert (await (await running.client()).request("GET", "/")).status == 200
    shedding_of(running)
    await client.send(b"x")
    assert (await client.answer()).body == b"ok"


async def test_a_leaving_gateway_says_so(run: Any) -> None:
    """The connection ends with the refusal."""
    running = await run(OK)
    shedding_of(running)
    client = await known(running)
    running.gateway.plane.leaving = True
    answer = await client.request("GET", "/")
    assert (answer.status, answer.head.header("connection")) == (503, "close")
    running.gateway.plane.leaving = False


async def test_a_stream_of_http2_is_refused_and_its_connection_stays(run: Any) -> None:
    """With the same answer."""
    running = await run(OK)
    shedding_of(running)
    async with await Http2Client.connect(running.gateway.port) as client:
        for _ in range(2):
            answer = await client.request("GET", "/")
            assert (answer.status, answer.body) == (503, TEXT)
        running.gateway.plane.shedding.tell()
        running.gateway.plane.shedding = None
        assert (await client.request("GET", "/")).status == 200
    assert sum(event.count for event in running.gateway.events if isinstance(event, RequestsShed)) == 2


async def test_what_a_connection_was_let_in_for_is_served(run: Any) -> None:
    """Letting it in has cost more than the request; the second one has no such claim."""
    running = await run(OK)
    shedding_of(running)
    client = await running.client()
    assert (await client.request("GET", "/")).body == b"ok"
    assert (await client.request("GET", "/")).status == 503


async def test_a_connection_that_waited_is_not_let_in_again(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or thousands could be opened beforehand."""
    monkeypatch.setattr("mirrorgate.proxy.downstream.client._WELCOME", 0.0)
    running = await run(OK)
    shedding_of(running)
    assert (await (await running.client()).request("GET", "/")).status == 503
