"""InferencePools whose own endpoint picker chooses: a gateway, real model servers, and pickers that speak gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.clients import Answer, Client, request_bytes
from mirrorgate.testing.endpoint_picker import FakeEndpointPicker, Told
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import gateway, picked_pool, picker_service, traffic_policy
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

TIME_LIMIT = "3"


@dataclass(frozen=True, slots=True)
class Site:
    """One gateway, two model servers, and a picker each over TLS and in clear."""

    gateway: RunningGateway
    servers: tuple[FakeModelServer, FakeModelServer]
    picker: FakeEndpointPicker
    clear: FakeEndpointPicker
    nowhere: str
    """An endpoint that nobody listens at."""

    async def ask(self, host: str = "tls", orders: str = "", **body: Any) -> Answer:
        async with await self.gateway.connect() as client:
            return await client.request(
                "POST", CHAT, [("host", f"{host}.test"), ("x-picker", orders)], chat_body(**body)
            )

    async def told(self, picker: FakeEndpointPicker, host: str = "tls", orders: str = "", **body: Any) -> Told:
        """Ask once, and return what the picker was told of it in the end."""
        before = len(picker.told)
        assert (await self.ask(host, orders, **body)).status == 200
        await picker.until(lambda: len(picker.told) > before and picker.told[-1].over)
        return picker.told[-1]

    def address(self, number: int) -> str:
        return f"127.0.0.1:{self.servers[number].port}"

    async def results(self, result: str) -> float:
        """Sum a result's questions over all pickers."""
        return await self.gateway.admin.metric("mirrorgate_endpoint_picker_requests_total", result=result)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    config = tmp_path_factory.mktemp("pickers") / "gateway.yaml"
    port, nobody = free_port(), free_port()
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(FakeModelServer(Behaviour(answer="one two three", itl=0.001)))
        second = await stack.enter_async_context(FakeModelServer(Behaviour(answer="four five six")))
        picker = await stack.enter_async_context(FakeEndpointPicker())
        clear = await stack.enter_async_context(FakeEndpointPicker(clear=True))
        picker.endpoints = f"127.0.0.1:{second.port}"
        clear.endpoints = f"127.0.0.1:{first.port}"
        ports = (first.port, second.port)
        objects = [
            *gateway(port),
            *picker_service("epp", picker.port),
            *picker_service("clear", clear.port, clear=True),
            *picker_service("nobody", nobody),
            *picker_service("pair", nobody, picker.port),
            *picked_pool("tls", "epp", *ports),
            *picked_pool("plain", "clear", *ports),
            *picked_pool("open", "nobody", first.port, mode="FailOpen"),
            *picked_pool("closed", "nobody", *ports),
            *picked_pool("missing", "absent", *ports),
            *picked_pool("second", "pair", *ports),
            *picked_pool("retried", "epp", nobody, first.port),
            traffic_policy("retried", retry={"numRetries": 1, "retryOn": {"triggers": ["connect-failure"]}}),
            *picked_pool("lenient", "epp", first.port, mode="FailOpen"),
            *picked_pool("ejecting", "epp", nobody, first.port),
            traffic_policy("ejecting", healthCheck={"passive": {"consecutive5XxErrors": 1, "maxEjectionPercent": 100}}),
        ]
        write_manifests(config, objects)
        options = {
            "gateway_endpoint_picker": "external",
            "gateway_endpoint_picker_timeout": TIME_LIMIT,
            "gateway_scrape_interval": "0",
        }
        running = await stack.enter_async_context(running_gateway(config, port, options=options))
        yield Site(running, (first, second), picker, clear, f"127.0.0.1:{nobody}")


@pytest.mark.parametrize("orders", ["", "by=header", "by=metadata", "whole", "early"])
async def test_the_picker_chooses(site: Site, orders: str) -> None:
    """By header, by metadata, or both; whether it streams the body back, says that it is unchanged, or hangs up."""
    before = len(site.servers[1].requests)
    answer = await site.ask("tls", orders)
    assert answer.status == 200
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "four five six"
    assert len(site.servers[1].requests) == before + 1


async def test_the_picker_sees_the_exchange(site: Site) -> None:
    """The request as the client sent it, who served it, and the whole answer."""
    told = await site.told(site.picker, "tls")
    assert told.headers[":method"] == "POST"
    assert told.headers[":path"] == CHAT
    assert told.headers[":authority"] == "tls.test"
    assert told.headers["x-request-id"]
    assert "x-gateway-destination-endpoint" not in told.headers
    assert json.loads(told.body) == chat_body()
    assert told.modes == (4, 4)  # FULL_DUPLEX_STREAMED
    assert told.subset is None
    assert told.answer_headers[":status"] == "200"
    assert told.served == site.address(1)
    assert json.loads(told.answer)["usage"]
    assert told.ended


async def test_a_streamed_answer_reaches_the_picker_whole(site: Site) -> None:
    """In fewer pieces than tokens; the client gets the same bytes."""
    before = len(site.clear.told)
    answer = await site.ask("plain", "", stream=True)
    await site.clear.until(lambda: len(site.clear.told) > before and site.clear.told[-1].over)
    told = site.clear.told[-1]
    assert told.answer == answer.body
    assert told.answer.endswith(b"data: [DONE]\n\n")
    assert told.ended


async def test_one_connection_carries_many_requests(site: Site) -> None:
    """Calls share a connection, also at the same time."""
    before = len(site.picker.told)
    answers = await asyncio.gather(*(site.ask("tls") for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert len({told.peer for told in site.picker.told[before:]}) == 1


async def test_the_first_endpoint_of_the_pool_is_used(site: Site) -> None:
    """Of a list in order of preference, those that are not the pool's are passed over."""
    told = await site.told(site.picker, "tls", f"to=127.0.0.1:9,{site.address(0)},{site.address(1)}")
    assert told.served == site.address(0)


async def test_a_retry_walks_the_list(site: Site) -> None:
    """The picker is asked once, and told who served in the end."""
    before = len(site.picker.told)
    told = await site.told(site.picker, "retried", f"to={site.nowhere},{site.address(0)}")
    assert told.served == site.address(0)
    assert len(site.picker.told) == before + 1
    assert (await site.ask("retried", f"to={site.nowhere}")).status == 503


async def test_an_ejected_choice_is_passed_over(site: Site) -> None:
    """The picker is told which endpoints are left; when it names one that is out, the next on its list is asked."""
    assert (await site.ask("ejecting", f"to={site.nowhere}")).status == 503
    told = await site.told(site.picker, "ejecting", f"to={site.nowhere},{site.address(0)}")
    assert told.served == site.address(0)
    assert told.subset == [site.address(0)]
    assert (await site.ask("ejecting", f"to={site.nowhere}")).status == 503


async def test_an_endpoint_outside_the_pool_is_no_choice(site: Site) -> None:
    """It is a failure of the picker, and of its failureMode."""
    before = await site.results("outside_pool")
    assert (await site.ask("tls", "to=127.0.0.1:9")).status == 503
    assert (await site.ask("lenient", "to=127.0.0.1:9")).status == 200
    assert await site.results("outside_pool") == before + 2


async def test_the_picker_rewrites_model_and_headers(site: Site) -> None:
    """The server gets the picker's body, with its length, and its header fields."""
    await site.ask("tls", "model=lora-7 set=x-prefiller-host-port:10.0.0.1:8000")
    received = site.servers[1].requests[-1]
    assert json.loads(received.body)["model"] == "lora-7"
    assert received.header("x-prefiller-host-port") == "10.0.0.1:8000"
    assert received.header("x-gateway-destination-endpoint") == site.address(1)


async def test_a_large_body_goes_both_ways(site: Site) -> None:
    """Through the flow control of HTTP/2, and in pieces."""
    text = "word " * 500_000
    await site.ask("tls", "model=other", messages=[{"role": "user", "content": text}])
    received = json.loads(site.servers[1].requests[-1].body)
    assert received["model"] == "other"
    assert received["messages"][0]["content"] == text


async def test_the_picker_answers_by_itself(site: Site) -> None:
    """Its status and header fields reach the client; without a body of its own, clients get an error they can read."""
    answer = await site.ask("tls", "drop=429")
    assert answer.status == 429
    assert answer.head.header("x-dropped") == "saturated"
    assert json.loads(answer.body)["error"]["message"]
    answer = await site.ask("tls", "drop=503 body=no-ready-endpoints")
    assert (answer.status, answer.body) == (503, b"no-ready-endpoints")
    assert answer.head.header("content-type") == "text/plain"


async def test_a_picker_that_is_away_closes_or_opens(site: Site) -> None:
    """FailClose is 503, FailOpen our own pick."""
    answer = await site.ask("closed")
    assert answer.status == 503
    assert "endpoint picker" in json.loads(answer.body)["error"]["message"]
    assert (await site.ask("open")).status == 200
    assert (await site.ask("missing")).status == 503


async def test_another_endpoint_of_the_picker_is_tried(site: Site) -> None:
    """One that nobody listens at costs nothing but the attempt."""
    told = await site.told(site.picker, "second")
    assert told.served == site.address(1)


async def test_a_silent_picker_has_a_time_limit(site: Site) -> None:
    """Others go on meanwhile, and the call is given up."""
    before = len(site.picker.told)
    silent = asyncio.ensure_future(site.ask("tls", "silent"))
    await site.picker.until(lambda: len(site.picker.told) > before)
    assert (await site.ask("tls")).status == 200
    assert (await silent).status == 503
    await site.picker.until(lambda: site.picker.told[before].over)
    assert await site.results("timed_out") >= 1


async def test_a_broken_call_fails_the_choice(site: Site) -> None:
    """A gRPC error is the picker's failure, not another's turn."""
    assert (await site.ask("tls", "broken")).status == 503
    assert (await site.ask("lenient", "broken")).status == 200


async def test_a_client_that_leaves_ends_the_question(site: Site) -> None:
    """The picker hears of it at once."""
    before = len(site.picker.told)
    client = await Client.connect(site.gateway.port)
    headers = [("host", "tls.test"), ("x-picker", "silent")]
    await client.send(request_bytes("POST", CHAT, headers, chat_body()))
    await site.picker.until(lambda: len(site.picker.told) > before)
    await client.close()
    await site.picker.until(lambda: site.picker.told[before].over)


async def test_the_picker_changes_the_answers_head(site: Site) -> None:
    """As the conformance tests want it: the endpoint that served is written by the picker."""
    answer = await site.ask("tls", "answer=x-session-token:abc")
    assert answer.head.header("x-conformance-test-served-endpoint") == site.address(1)
    assert answer.head.header("x-session-token") == "abc"


async def test_a_deaf_picker_delays_no_answer_for_long(site: Site) -> None:
    """An answer comes whole though the picker reads nothing of it; the second does not even wait for it."""
    first = await site.ask("plain", "deaf", stream=True)
    second = await site.ask("plain", "deaf", stream=True)
    for answer in (first, second):
        assert answer.status == 200
        assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_a_request_without_a_body_is_chosen_for_too(site: Site) -> None:
    """On its head alone."""
    async with await site.gateway.connect() as client:
        answer = await client.request("GET", "/v1/models", [("host", "tls.test")])
    assert answer.status == 200
    assert site.picker.told[-1].headers[":path"] == "/v1/models"
    assert not site.picker.told[-1].body


async def test_a_picker_that_restarts_is_found_again(site: Site) -> None:
    """No request is lost but while it is away."""
    assert (await site.ask("plain")).status == 200
    await site.clear.stop()
    assert (await site.ask("plain")).status == 503
    await site.clear.start()
    assert (await site.ask("plain")).status == 200


async def test_the_status_says_who_picks(site: Site) -> None:
    """inferencepool_invalid_epp_service: a picker that is missing is an unresolved reference, and the pool is accepted
    all the same; a picker that is there resolves."""
    resources = await site.gateway.admin.page("/resources")
    found = {
        each["metadata"]["name"]: {one["type"]: one for one in each["status"]["parents"][0]["conditions"]}
        for each in resources["resources"]
        if each["kind"] == "InferencePool"
    }
    assert found["tls"]["ResolvedRefs"]["status"] == "True"
    assert "Service default/epp:9002" in found["tls"]["ResolvedRefs"]["message"]
    missing = found["missing"]["ResolvedRefs"]
    assert (missing["status"], missing["reason"]) == ("False", "InvalidExtensionRef")
    assert found["missing"]["Accepted"]["status"] == "True"
