"""What a client gets that is refused, what becomes of its connection, and what is told of it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from h2.settings import SettingCodes

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
    """With the same answer; what is served between refusals is read as ever, since they leave its table alone."""
    running = await run(OK)
    shedding = shedding_of(running)
    async with await Http2Client.connect(running.gateway.port) as client:
        for served in range(3):
            running.gateway.plane.shedding = shedding
            for answer in [await client.request("GET", "/"), await client.request("POST", "/some", body=b"x")]:
                assert (answer.status, answer.body, answer.reset) == (503, TEXT, None)
                assert [answer.header(name) for name in ("retry-after", "content-type")] == ["1", "text/plain"]
                assert answer.header("date")
            if not served:
                assert list(client.session.decoder.header_table.dynamic_entries) == []
            running.gateway.plane.shedding = None
            answer = await client.request("GET", "/")
            assert (answer.status, answer.body) == (200, b"ok")
    running.gateway.plane.shedding = shedding
    assert sum(batch.count for batch in told(running)) == 6


async def test_a_crowd_of_streams_is_refused(run: Any) -> None:
    """In one read: each gets the answer of its path and its method, all are counted, one is described."""
    running = await run(OK)
    shedding_of(running)
    async with await Http2Client.connect(running.gateway.port) as client:
        headers = [("user-agent", "h2/4"), ("x-forwarded-for", "10.0.0.9"), ("x-request-id", "r-7")]
        streams = [client.begin("POST", CHAT, headers=headers, body={"model": "m"}) for _ in range(30)]
        streams += [client.begin("HEAD", "/"), client.begin("GET", "/plain")]
        for stream in streams:
            await client.until_over(stream)
        assert {stream.status for stream in streams} == {503}
        *chats, head, plain = streams
        assert {json.loads(stream.body)["error"]["type"] for stream in chats} == {"server_error"}
        assert (head.body, plain.body) == (b"", TEXT)
        [batch] = told(running)
        sent = sum(len(stream.body) for stream in streams)
        assert (batch.count, batch.bytes_sent) == (32, sent)
        sample = batch.sample
        assert (sample.method, sample.path, sample.protocol, sample.authority) == ("POST", CHAT, "HTTP/2.0", "test")
        assert (sample.user_agent, sample.forwarded_for, sample.request_id) == ("h2/4", "10.0.0.9", "r-7")
        assert client.goaway is None


async def test_the_rest_of_a_stream_is_not_waited_for(run: Any) -> None:
    """The answer is whole, the reset behind it says that nothing is wrong; others of the connection go on."""
    running = await run(OK)
    shedding_of(running)
    async with await Http2Client.connect(running.gateway.port) as client:
        stream = client.begin("POST", "/", body=b"x" * 1000, ended=False)
        await client.until(lambda: stream.reset is not None)
        assert (stream.status, stream.body, stream.reset) == (503, TEXT, 0)
        running.gateway.plane.shedding.tell()
        running.gateway.plane.shedding = None
        assert (await client.request("GET", "/")).status == 200


async def test_a_stream_that_takes_no_answer_keeps_it(run: Any) -> None:
    """A client without room gets its refusal when it makes room, and holds nobody up meanwhile."""
    running = await run(OK)
    shedding_of(running)
    async with await Http2Client.connect(running.gateway.port) as client:
        client.session.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 3})
        client.flush()
        stream = client.begin("GET", "/")
        await client.until(lambda: stream.body == TEXT[:3])
        assert not stream.over
        client.session.increment_flow_control_window(1000, stream.number)
        client.flush()
        assert (await client.until_over(stream)).body == TEXT
        assert [batch.count for batch in told(running)] == [1]


async def test_a_client_that_has_changed_its_table_reads_refusals(run: Any) -> None:
    """The first head says so, by the library; those behind it do not."""
    running = await run(OK)
    shedding_of(running)
    async with await Http2Client.connect(running.gateway.port) as client:
        for size in (0, 100, 65536):
            client.session.update_settings({SettingCodes.HEADER_TABLE_SIZE: size})
            client.flush()
            for _ in range(3):
                answer = await client.request("GET", "/")
                assert (answer.status, answer.header("retry-after")) == (503, "1")
        assert client.goaway is None


async def test_what_is_no_request_is_refused_all_the_same(run: Any) -> None:
    """Without being read, so that it is not described either; one that is given up at once is nobody's."""
    running = await run(OK)
    shedding_of(running)
    async with await Http2Client.connect(running.gateway.port) as client:
        broken = client.begin_with([(":method", "GET"), (":path", "/"), ("Upper", "case")])
        assert (await client.until_over(broken)).status == 503
        client.session.send_headers(3, [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")])
        client.session.reset_stream(3)
        client.flush()
        assert (await client.request("GET", "/")).status == 503
        batches = told(running)
        assert sum(batch.count for batch in batches) == 2
        assert batches[0].sample.method == ""


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
