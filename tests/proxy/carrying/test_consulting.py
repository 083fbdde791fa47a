"""An InferencePool's own endpoint picker on the way up and down: a real one, asked by a gateway in the test's loop."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.carrying.consulting import Pickers
from mirrorgate.resources.loading import Document, load
from mirrorgate.routing.compiling import CompileOptions
from mirrorgate.snapshot import Snapshot
from mirrorgate.sources.endpoint_picker.asking import PickerClient
from mirrorgate.testing.backends import Backend, answering, response_bytes
from mirrorgate.testing.clients import Answer, Client, request_bytes
from mirrorgate.testing.endpoint_picker import FakeEndpointPicker
from mirrorgate.testing.gateways import CHAT, chat_body
from mirrorgate.testing.in_loop import GatewayInLoop, until
from mirrorgate.testing.manifests import as_yaml, gateway, http_route, picked_pool, picker_service, reference
from mirrorgate.testing.processes import free_port

PICKER = "Service default/epp:9002"


class Marks:
    """An addon that writes into the head of an answer, and remembers what it saw of it."""

    def __init__(self) -> None:
        self.seen: list[str | None] = []

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        self.seen.append(flow.response.headers.get("x-conformance-test-served-endpoint"))
        flow.response.headers["x-session-token"] = "the addon's"


@dataclass(slots=True)
class Site:
    """A gateway before two servers, of which the picker chooses the second."""

    gateway: GatewayInLoop
    servers: tuple[Backend, Backend]
    picker: FakeEndpointPicker
    client: PickerClient
    marks: Marks

    async def ask(self, host: str = "strict", orders: str = "", **body: Any) -> Answer:
        """Ask for a completion; `orders` are what the picker shall do."""
        async with await Client.connect(self.gateway.port) as client:
            fields = [("host", f"{host}.test"), ("x-picker", orders)]
            return await client.request("POST", CHAT, fields, chat_body(**body))

    def address(self, number: int) -> str:
        return f"127.0.0.1:{self.servers[number].port}"

    @property
    def results(self) -> Counter[str]:
        """How the questions of the pools' one picker ended."""
        return Counter({result: count for (ref, result), count in self.client.results.items() if ref == PICKER})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Start all of it; a pool that fails closed, one that fails open, and a route without a pool."""
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(Backend(answering(response_bytes(200, name, ("x-server", "1")))))
            for name in (b"first", b"second")
        ]
        picker = await stack.enter_async_context(FakeEndpointPicker(f"127.0.0.1:{second.port}", clear=True))
        ports = (first.port, second.port)
        objects = [
            *gateway(80),
            *picker_service("epp", picker.port, clear=True),
            *picked_pool("strict", "epp", *ports),
            *picked_pool("lenient", "epp", *ports, mode="FailOpen"),
            http_route("absent", reference("nobody", "InferencePool")),
        ]
        inventory = load([Document("test.yaml", as_yaml(objects))]).inventory
        marks = Marks()
        snapshot = Snapshot.of(inventory, 1, CompileOptions(external_pickers=True))
        running = await stack.enter_async_context(GatewayInLoop(snapshot, marks))
        client = PickerClient(10.0)
        stack.callback(client.close)
        running.plane.pickers = Pickers(client)
        yield Site(running, (first, second), picker, client, marks)
        await running.settled()


async def test_its_choice_is_served(site: Site) -> None:
    """It is told of the request as the client sent it, and of the whole answer; the call ends with the exchange."""
    answer = await site.ask(model="small")
    assert (answer.status, answer.body) == (200, b"second")
    await site.picker.until(lambda: site.picker.told[0].over)
    [told] = site.picker.told
    assert (told.headers[":path"], told.headers[":authority"]) == (CHAT, "strict.test")
    assert told.headers["x-forwarded-for"] == "127.0.0.1"
    assert json.loads(told.body)["model"] == "small"
    assert (told.served, told.answer, told.ended) == (site.address(1), b"second", True)
    assert site.results == {"picked": 1}
    [done] = site.gateway.done
    assert (done.endpoint, done.target_model) == (site.address(1), "small")


async def test_fields_that_speak_for_the_gateway_are_its_own(site: Site) -> None:
    """A client cannot choose an endpoint through its picker's eyes, nor name its address or its request."""
    async with await Client.connect(site.gateway.port) as client:
        fields = [
            ("host", "strict.test"),
            ("x-gateway-destination-endpoint-subset", site.address(0)),
            ("x-gateway-model-name-rewrite", "mine"),
            ("x-request-id", "mine"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ]
        assert (await client.request("GET", "/v1/models", fields)).status == 200
    [told] = site.picker.told
    assert not {"x-gateway-destination-endpoint-subset", "x-gateway-model-name-rewrite", "x-hop"} & told.headers.keys()
    assert told.headers["x-request-id"] not in ("", "mine")
    assert (told.body, told.subset) == (b"", None)


async def test_a_choice_outside_the_pool_is_none(site: Site) -> None:
    """Of a list, those of the pool count, each once and in its order; where there is none, the failureMode decides."""
    stranger = f"127.0.0.1:{free_port()}"
    assert (await site.ask("strict", f"to={stranger},{site.address(0)},{site.address(1)}")).body == b"first"
    assert (await site.ask("strict", f"to={stranger}")).status == 503
    assert (await site.ask("lenient", f"to={stranger}")).status == 200
    assert site.results == {"picked": 1, "outside_pool": 2}
    await site.picker.until(lambda: all(told.over for told in site.picker.told))


async def test_a_picker_that_fails_is_told_of_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """By the log, and that it chooses again; the pool's failureMode decides about each request."""
    caplog.set_level(logging.INFO, "mirrorgate")
    assert [(await site.ask("strict", "broken")).status for _ in range(3)] == [503] * 3
    assert (await site.ask("lenient", "broken")).status == 200
    assert (await site.ask("strict")).status == 200
    told = [line for line in caplog.messages if "the endpoint picker failed" in line or "chooses again" in line]
    assert len(told) == 2
    assert told[0].endswith("requests are refused (failureMode)")
    assert told[1] == f"{PICKER} chooses again"
    assert site.results == {"broken": 4, "picked": 1}


async def test_it_rewrites_what_is_sent(site: Site) -> None:
    """Body, and hence the model; fields of its own come before those of the route. The length is the new body's."""
    assert (await site.ask("strict", "model=tuned set=x-tier:gold", model="base")).status == 200
    [request] = site.servers[1].requests
    assert json.loads(request.body)["model"] == "tuned"
    assert (request.header("x-tier"), request.header("content-length")) == ("gold", str(len(request.body)))
    [done] = site.gateway.done
    assert (done.model, done.target_model) == ("base", "tuned")


async def test_its_own_answer_ends_the_exchange(site: Site) -> None:
    """With its status and fields; a body without a type is text, and where there is none clients get an error."""
    answer = await site.ask("lenient", "drop=429")
    assert (answer.status, answer.head.header("x-dropped")) == (429, "saturated")
    assert answer.head.header("content-type") == "application/json"
    assert answer.json()["error"]["message"]
    answer = await site.ask("strict", "drop=503 body=later")
    assert (answer.status, answer.body, answer.head.header("content-type")) == (503, b"later", "text/plain")
    assert site.results == {"answered": 2}
    assert [len(server.requests) for server in site.servers] == [0, 0]


async def test_it_has_the_last_word_on_an_answers_head(site: Site) -> None:
    """Behind the addons, which see what the server said."""
    answer = await site.ask("strict", "answer=x-session-token:the_picker's")
    assert answer.head.header("x-session-token") == "the_picker's"
    assert answer.head.header("x-conformance-test-served-endpoint") == site.address(1)
    assert answer.head.header("x-server") == "1"
    assert site.marks.seen == [None]


async def test_a_client_that_leaves_ends_the_question(site: Site) -> None:
    """Nothing is sent on, and the picker hears of it."""
    client = await Client.connect(site.gateway.port)
    await client.send(request_bytes("POST", CHAT, [("host", "strict.test"), ("x-picker", "silent")], chat_body()))
    await site.picker.until(lambda: site.picker.told and site.picker.told[0].body)
    await client.close()
    await site.picker.until(lambda: site.picker.told[0].over)
    await until(lambda: site.gateway.done)
    assert site.gateway.done[0].flag == "DC"
    assert [len(server.requests) for server in site.servers] == [0, 0]
    assert site.results == {}


async def test_who_has_no_pool_has_no_picker(site: Site) -> None:
    """Nobody is asked."""
    assert (await site.ask("absent")).status >= 500
    assert site.picker.told == []
