"""What is turned away while the event loop is late: before its body, cheaply, and only new work."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mirrorgate.admission.overload import Overload
from mirrorgate.proxy.shedding import Shedding
from mirrorgate.testing.backends import answering, response_bytes

OK = answering(response_bytes(body=b"ok"))
CHAT = "/v1/chat/completions"


def shedding_of(running: Any, lag: float = 1.0) -> Shedding:
    """Let the gateway believe that its loop is late; the limit is 0.1 s."""
    shedding = running.gateway.plane.shedding = Shedding(Overload(0.1), random.Random(1), lambda: 0.0)
    late(shedding, lag)
    return shedding


def late(shedding: Shedding, lag: float) -> None:
    """Measure a lag as often as it takes."""
    for _ in range(3):
        shedding.observe(lag)


async def test_a_request_is_refused_and_its_connection_stays(run: Any) -> None:
    """With when to come again; no hook and no backend hears of it, and the next request is served."""
    heard: list[str] = []

    class Hears:
        def requestheaders(self, flow: object) -> None:
            heard.append("requestheaders")

    running = await run(OK, Hears())
    shedding = shedding_of(running)
    client = await running.client()
    answer = await client.request("POST", "/some", body=b"x")
    assert (answer.status, answer.body) == (503, b"the gateway is overloaded")
    assert answer.head.header("retry-after") == "1"
    assert answer.head.header("date")
    assert answer.head.header("connection") is None
    done = await running.done()
    assert (done.flag, done.details, done.refusal) == ("OM", "overload", "overload")
    assert (done.method, done.path, done.status, done.cluster) == ("POST", "/some", 503, "")
    assert heard == []
    for _ in range(20):
        shedding.observe(0.0)
    assert (await client.request("GET", "/")).body == b"ok"
    assert heard == ["requestheaders"]


async def test_an_inference_client_gets_an_error_of_its_api(run: Any) -> None:
    """The body of OpenAI's errors."""
    running = await run(OK)
    shedding_of(running)
    answer = await (await running.client()).request("POST", CHAT, body=b"{}")
    assert answer.status == 503
    assert answer.json()["error"]["type"] == "server_error"


async def test_a_body_is_not_waited_for(run: Any) -> None:
    """The answer comes behind the head, and ends the connection, whose rest nobody reads."""
    running = await run(OK)
    shedding_of(running)
    client = await running.client()
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.head.header("connection")) == (503, "close")
    assert await client.closed()


async def test_a_pipeline_is_answered_in_order(run: Any) -> None:
    """Each request of it by itself."""
    running = await run(OK)
    shedding_of(running)
    client = await running.client()
    heads = [f"{what} HTTP/1.1\r\nhost: a\r\n\r\n".encode() for what in ("GET /1", "HEAD /2", "GET /3")]
    await client.send(b"".join(heads))
    assert (await client.answer()).body == b"the gateway is overloaded"
    assert (await client.answer("HEAD")).body == b""
    assert (await client.answer()).status == 503
    done = await running.gateway.exchanges(3)
    assert [each.path for each in done] == ["/1", "/2", "/3"]


async def test_what_is_under_way_goes_on(run: Any) -> None:
    """Only new work is refused."""
    running = await run(OK)
    client = await running.client()
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nx")
    assert (await (await running.client()).request("GET", "/")).status == 200
    shedding_of(running)
    await client.send(b"x")
    assert (await client.answer()).body == b"ok"


@pytest.mark.parametrize(("lag", "control", "mirrors"), [(0.03, True, False), (0.06, True, True), (0.01, False, False)])
async def test_copies_are_left_out_first(run: Any, lag: float, control: bool, mirrors: bool) -> None:
    """The control arm, then mirrors, while requests are served."""
    running = await run(OK)
    assert (await (await running.client()).request("GET", "/")).status == 200
    [cluster] = running.gateway.plane.pools
    shedding = shedding_of(running, lag)
    assert (shedding.control, shedding.mirrors) == (control, mirrors)
    assert running.gateway.plane.calm(cluster) is not control
    assert (await (await running.client()).request("GET", "/")).status == 200


async def test_the_metrics_say_what_is_shed(run: Any) -> None:
    """A gauge for each step, and the share of refused requests."""
    shedding = shedding_of(await run(OK), 0.06)
    values = {(each.name, *each.labels.values()): each.value for each in shedding.samples()}
    assert values == {
        ("mirrorgate_overload_active", "control"): 1,
        ("mirrorgate_overload_active", "mirrors"): 1,
        ("mirrorgate_overload_active", "requests"): 0,
        ("mirrorgate_overload_refused_share",): 0,
        ("mirrorgate_event_loop_lag_standing_seconds",): 0.06,
    }


async def test_it_is_told_of_once_while_it_lasts(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A line for each step that is worse, not for each change."""
    shedding = shedding_of(await run(OK), 0.06)
    for _ in range(20):
        late(shedding, 0.0)
        late(shedding, 0.06)
    late(shedding, 0.3)
    told = [record.getMessage() for record in caplog.records if "overloaded" in record.getMessage()]
    assert len(told) == 2
    assert "mirrors are dropped" in told[0]
    assert "new requests are refused" in told[1]
