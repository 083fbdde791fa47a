"""Requests that are wrong, hostile or absurd: each gets its documented error and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.clients import Answer, WireError, request_bytes
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import (
    Object,
    backend,
    gateway,
    http_route,
    inference_pool,
    reference,
    rule_cluster,
    traffic_policy,
)
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

HOST = [("host", "pool.test")]
JSON = ("content-type", "application/json")


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    server: FakeModelServer

    async def ask(self, *pieces: bytes, method: str = "POST") -> Answer:
        """Send bytes over a connection of their own and read the answer."""
        async with await self.gateway.connect() as client:
            with contextlib.suppress(ConnectionError):
                await client.send(*pieces)
            return await client.answer(method)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """A pool that serves one known model, and the same server as a plain backend, both with one place."""
    async with FakeModelServer() as server:
        port = free_port()
        model: Object = {
            "apiVersion": "inference.networking.x-k8s.io/v1alpha2",
            "kind": "InferenceModel",
            "metadata": {"name": "known"},
            "spec": {"modelName": "fake-model", "criticality": "Critical", "poolRef": {"name": "pool"}},
        }
        one = {"maxParallelRequests": 1, "maxPendingRequests": 1}
        objects = [
            *gateway(port),
            *inference_pool("pool", server.port),
            model,
            backend("plain", server.port),
            http_route("pool", reference("pool", "InferencePool")),
            http_route("plain", reference("plain")),
            traffic_policy("pool", circuitBreaker=one),
            traffic_policy("plain", circuitBreaker=one),
        ]
        config = tmp_path_factory.mktemp("bad") / "gateway.yaml"
        write_manifests(config, objects)
        async with running_gateway(config, port) as running:
            yield Rig(running, server)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_is_left(rig: Rig) -> AsyncIterator[None]:
    """After each case: no place is held, no client is connected, and a good request is served."""
    yield
    admin = rig.gateway.admin

    async def clean() -> bool:
        used = [await admin.used(rule_cluster(name)) for name in ("pool", "plain")]
        held = sum(each["parallel"] + each["pending"] for each in used)
        return held == 0 and await admin.metric("mirrorgate_local_replies_total", reason="internal") == 0

    await admin.until(clean, "something is still held, or a bug was met")
    for name in ("pool", "plain"):
        assert (await rig.gateway.chat(f"{name}.test")).status == 200
    assert "Traceback" not in rig.gateway.process.text


def openai_error(answer: Answer) -> dict[str, Any]:
    """Return an error in the shape of the OpenAI API, which its clients show to their users."""
    assert (answer.head.header("content-type") or "").startswith("application/json")
    error = answer.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    return dict(error)


MALFORMED = {
    "not JSON": b"{oops",
    "cut": b'{"model": "fake-model", "messages": [{"role": "us',
    "not an object": b"[1, 2, 3]",
    "a number": b"17",
    "empty": b"",
    "binary": bytes(range(256)) * 16,
    "not UTF-8": b'{"model": "\xff\xfe"}',
    "model is no string": b'{"model": {"a": 1}, "messages": []}',
    "deeply nested": b"[" * 100_000 + b"]" * 100_000,
    "NUL": b'{"model": "fake-model"}\x00',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_body_is_a_400_that_the_server_never_sees(rig: Rig, body: bytes) -> None:
    """The model decides where a request goes: a body without one goes nowhere."""
    seen = len(rig.server.requests)
    answer = await rig.ask(request_bytes("POST", CHAT, [*HOST, JSON], body))
    assert answer.status == 400
    assert openai_error(answer)["type"] == "invalid_request_error"
    assert len(rig.server.requests) == seen


async def test_another_content_type_is_a_400(rig: Rig) -> None:
    """As at vLLM."""
    body = json.dumps(chat_body()).encode()
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        answer = await rig.ask(request_bytes("POST", CHAT, [*HOST, ("content-type", content_type)], body))
        assert answer.status == 400
        assert "application/json" in openai_error(answer)["message"]


async def test_an_unknown_model_is_a_404(rig: Rig) -> None:
    """With the code that OpenAI's clients turn into an exception of its own, and the model's name."""
    answer = await rig.gateway.chat("pool.test", model="no-such-model")
    assert answer.status == 404
    error = openai_error(answer)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "no-such-model" in error["message"]


@pytest.mark.parametrize("host", ["pool.test", "plain.test"])
async def test_a_huge_head_is_a_431(rig: Rig, host: str) -> None:
    """One huge field, and many fields."""
    for fields in ([("x-huge", "a" * 70_000)], [(f"x-{number}", "a" * 100) for number in range(2_000)]):
        answer = await rig.ask(request_bytes("POST", CHAT, [("host", host), *fields], chat_body()))
        assert (answer.status, answer.head.header("connection")) == (431, "close")


@pytest.mark.parametrize("length", ["999999999999", "18446744073709551616", "9" * 400])
async def test_an_absurd_length_is_refused_before_the_body(rig: Rig, length: str) -> None:
    """413 where it is a number, 400 where it is beyond one; nothing waits for such a body."""
    answer = await rig.ask(request_bytes("POST", CHAT, [*HOST, JSON, ("content-length", length)], b"{"))
    assert answer.status in (413, 400)
    if length == "999999999999":
        assert answer.status == 413
    assert answer.head.header("connection") == "close"


async def test_a_chunked_body_without_end_is_refused(rig: Rig) -> None:
    """It is cut off at the limit, while the client still sends."""
    head = request_bytes("POST", CHAT, [*HOST, JSON, ("transfer-encoding", "chunked")])
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    async with await rig.gateway.connect() as client:

        async def flood() -> None:
            with contextlib.suppress(ConnectionError, TimeoutError):
                await client.send(head, *[chunk] * 512)

        sending = asyncio.ensure_future(flood())
        answer = await client.answer("POST")
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert (answer.status, answer.head.header("connection")) == (413, "close")


POST = b"POST /x HTTP/1.1\r\nhost: plain.test\r\n"
RAW = {
    "both lengths": POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "a signed length": POST + b"content-length: +3\r\n\r\nabc",
    "bare line feeds": b"GET / HTTP/1.1\nhost: plain.test\n\n",
    "obs-fold": b"GET / HTTP/1.1\r\nhost: plain.test\r\nx-a: b\r\n c\r\n\r\n",
    "blank before the colon": b"GET / HTTP/1.1\r\nhost : plain.test\r\n\r\n",
    "a bad chunk size": POST + b"transfer-encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    "another coding": POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: plain.test\r\nhost: pool.test\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "nearly the preface of HTTP/2": b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
    "NUL in a field": b"GET / HTTP/1.1\r\nhost: plain.test\r\nx-a: b\x00c\r\n\r\n",
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
async def test_what_is_not_strictly_http_is_a_400_and_the_end(rig: Rig, raw: bytes) -> None:
    """What two programs could read in two ways is never passed on."""
    seen = len(rig.server.requests)
    async with await rig.gateway.connect() as client:
        with contextlib.suppress(ConnectionError):
            await client.send(raw)
        answer = await client.answer()
        assert answer.status == 400
        assert await client.read() == b"", "the connection ends"
    assert len(rig.server.requests) == seen


async def test_a_head_that_never_ends_holds_nothing(rig: Rig) -> None:
    """Many half heads beside good requests: a connection is all that they cost, and their leaving frees it."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(50):
            client = await stack.enter_async_context(await rig.gateway.connect())
            await client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: plain.test\r\nx-slow: ")
        assert (await rig.gateway.chat("plain.test")).status == 200
        assert await rig.gateway.admin.metric("mirrorgate_downstream_connections") >= 50

    async def gone() -> bool:
        return await rig.gateway.admin.metric("mirrorgate_downstream_connections") == 0

    await rig.gateway.admin.until(gone, "connections of clients that left are still counted")


async def test_clients_that_leave_anywhere_leave_nothing(rig: Rig) -> None:
    """A request cut after every so many bytes, by a close and by a reset."""
    whole = request_bytes("POST", CHAT, [("host", "plain.test")], chat_body(stream=True))
    for number, cut in enumerate(range(1, len(whole) + 1, 11)):
        client = await rig.gateway.connect()
        await client.send(whole[:cut])
        if number % 2:
            client.abort()
        else:
            await client.close()


async def test_pipelined_requests_after_a_bad_one_are_not_served(rig: Rig) -> None:
    """Whatever stands behind a framing error is not a request."""
    seen = len(rig.server.requests)
    good = request_bytes("GET", "/v1/models", [("host", "plain.test")])
    async with await rig.gateway.connect() as client:
        await client.send(RAW["both lengths"] + good)
        assert (await client.answer()).status == 400
        with contextlib.suppress(WireError, ConnectionError):
            assert await client.read() == b""
    assert len(rig.server.requests) == seen
