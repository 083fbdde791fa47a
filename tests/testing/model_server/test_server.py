"""The server as a client meets it: routes, errors, keys, the log, and changes while it runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.testing.clients import Client, request_bytes
from mirrorgate.testing.model_server.behaviour import Behaviour, BehaviourError
from mirrorgate.testing.model_server.faults import FaultKind
from mirrorgate.testing.model_server.received import Ending
from mirrorgate.testing.model_server.server import FakeModelServer

from .conftest import CHAT

type Body = Callable[..., dict[str, Any]]


async def test_routes_answer_as_recorded(server: FakeModelServer) -> None:
    """Health has no type, unknown paths and wrong methods have another shape than errors."""
    async with await Client.connect(server.port) as client:
        health = await client.request("GET", "/health")
        assert (health.status, health.body, health.head.header("content-type")) == (200, b"", None)
        assert (await client.request("GET", "/version")).json() == {"version": "0.32.0"}
        models = (await client.request("GET", "/v1/models")).json()["data"]
        assert [model["id"] for model in models] == ["fake-model"]
        assert (await client.request("GET", "/nope")).json() == {"detail": "Not Found"}
        wrong = await client.request("GET", CHAT)
        assert (wrong.status, wrong.json()) == (405, {"detail": "Method Not Allowed"})


async def test_errors_come_before_the_stream(server: FakeModelServer, chat: Body) -> None:
    """As JSON, also when a stream was asked for."""
    async with await Client.connect(server.port) as client:
        answer = await client.request("POST", CHAT, (), chat(model="nope", stream=True))
        assert (answer.status, answer.head.header("content-type")) == (404, "application/json")
        broken = await client.request("POST", CHAT, [("content-type", "application/json")], b"{oops")
        assert (broken.status, broken.json()["error"]["type"]) == (400, "Bad Request")
        assert (await client.request("POST", CHAT, (), b"{}")).status == 400


async def test_a_key_guards_the_api_only(chat: Body) -> None:
    """Without it the error is a string; health and metrics stay open."""
    async with FakeModelServer(Behaviour(api_key="secret")) as server, await Client.connect(server.port) as client:
        refused = await client.request("POST", CHAT, (), chat())
        assert (refused.status, refused.json()) == (401, {"error": "Unauthorized"})
        assert (await client.request("GET", "/metrics")).status == 200
        granted = await client.request("POST", CHAT, [("authorization", "Bearer secret")], chat())
        assert granted.status == 200


async def test_a_full_queue_is_a_503(chat: Body) -> None:
    """With the recorded body."""
    behaviour = Behaviour(max_num_seqs=1, max_num_queued_reqs=0, ttft=30)
    async with FakeModelServer(behaviour) as server, await Client.connect(server.port) as first:
        await first.send(request_bytes("POST", CHAT, (), chat()))
        await server.until(lambda: server.engine.running == 1)
        async with await Client.connect(server.port) as second:
            busy = await second.request("POST", CHAT, (), chat())
    assert (busy.status, busy.json()["error"]["type"]) == (503, "Service Unavailable")


async def test_a_request_id_becomes_the_answers(server: FakeModelServer, chat: Body) -> None:
    """In the body, not in a header."""
    async with await Client.connect(server.port) as client:
        answer = await client.request("POST", CHAT, [("x-request-id", "abc-123")], chat())
    assert answer.json()["id"] == "chatcmpl-abc-123"
    assert answer.head.header("x-request-id") is None


async def test_the_log_is_uvicorns(server: FakeModelServer, chat: Body) -> None:
    """One line an answer, none for what is scraped."""
    async with await Client.connect(server.port) as client:
        await client.request("POST", CHAT, (), chat())
        await client.request("GET", "/metrics")
        assert server.log_lines == [f'INFO:     127.0.0.1:{client.local_port} - "POST {CHAT} HTTP/1.1" 200 OK']


async def test_requests_are_kept_as_they_came(server: FakeModelServer, chat: Body) -> None:
    """Target, header fields in order and in their case, body, times, the connection's number."""
    headers = [("Host", "x"), ("X-One", "1"), ("x-two", "2"), ("X-One", "3")]
    async with await Client.connect(server.port) as client:
        await client.request("POST", f"{CHAT}?a=b", headers, chat(stream=True))
        await client.request("POST", CHAT, (), chat())
    await server.until(lambda: not server.connections)
    first, second = server.requests
    assert (first.target, first.path, first.header("x-one")) == (f"{CHAT}?a=b", CHAT, "1, 3")
    assert first.headers[:4] == tuple(headers)
    assert (first.connection, second.connection) == (1, 1)
    assert first.ending is Ending.COMPLETE
    assert first.body_read is not None
    assert first.answered is not None
    assert first.ended is not None
    assert first.arrived <= first.body_read <= first.answered <= first.events[0] <= first.ended


async def test_a_client_that_leaves_frees_its_place(chat: Body) -> None:
    """At once, running or waiting, and it is no success of the metrics."""
    async with FakeModelServer(Behaviour(max_num_seqs=1, ttft=30)) as server:
        clients = [await Client.connect(server.port) for _ in range(2)]
        for client in clients:
            await client.send(request_bytes("POST", CHAT, (), chat(stream=True)))
        await server.until(lambda: server.engine.running == 1 and server.engine.waiting == 1)
        for client in clients:
            client.abort()
        await server.until(lambda: server.engine.running + server.engine.waiting == 0)
        assert [each.ending for each in server.requests] == [Ending.CLIENT_LEFT] * 2
        assert server.engine.take_finished() == []


async def test_the_pace_is_kept(chat: Body) -> None:
    """First token after `ttft`, the others `itl` apart; the head goes out at once."""
    async with FakeModelServer(Behaviour(ttft=0.1, itl=0.02)) as server, await Client.connect(server.port) as client:
        await client.request("POST", CHAT, (), chat(stream=True, max_tokens=5))
        times = server.requests[0]
        # From the arrival: an event that is late itself does not put those behind it off.
        assert times.events[0] - times.arrived >= 0.09
        assert times.events[5] - times.arrived >= 0.165


async def test_control_changes_a_running_server(server: FakeModelServer, chat: Body) -> None:
    """A good change is done, a bad one changes nothing and says why."""
    async with await Client.connect(server.port) as client:
        state = await client.request("POST", "/control", (), {"answer": "Yes.", "name": "new"})
        assert (state.status, state.json()["name"]) == (200, "new")
        said = await client.request("POST", CHAT, (), chat())
        assert said.json()["choices"][0]["message"]["content"] == "Yes."
        bad = await client.request("POST", "/control", (), {"answer": "No.", "ttft": "soon"})
        assert bad.status == 400
        assert re.search("ttft", bad.json()["detail"])
        assert (await client.request("POST", "/control", (), b"[]")).status == 400
        assert server.behaviour.answer == "Yes."
        assert (await client.request("GET", "/control")).json()["requests"] > 3
    with pytest.raises(BehaviourError):
        await server.configure(faults=["nope"])


async def test_refuse_closes_the_port_and_opens_it_again(server: FakeModelServer, chat: Body) -> None:
    """On the same number; a connection that is open goes on."""
    port = server.port
    async with await Client.connect(port) as client:
        await server.configure(faults=[FaultKind.REFUSE])
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(port)
        assert (await client.request("POST", CHAT, (), chat())).status == 200
    await server.configure(faults=())
    async with await Client.connect(port) as client:
        assert (await client.request("GET", "/health")).status == 200


async def test_stop_leaves_nothing_behind(chat: Body) -> None:
    """Whatever hangs, and whoever is connected."""
    before = asyncio.all_tasks()
    server = FakeModelServer(Behaviour().changed({"faults": ["hang_before_headers"]}))
    await server.start()
    client = await Client.connect(server.port)
    await client.send(request_bytes("POST", CHAT, (), chat()))
    await server.received(1)
    await server.stop()
    await server.until(lambda: not server.connections)
    assert asyncio.all_tasks() == before
    await client.close()
