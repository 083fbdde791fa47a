"""The gateway before a real vLLM: `scripts/test --vllm`, with VLLM_URL (such as http://127.0.0.1:8000) naming one.

The same server is production and candidate, so that what differs between the two is the server's own noise. Any model
that chats does.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from mirrorgate.testing.clients import Answer, Client, request_bytes
from mirrorgate.testing.gateways import CHAT, RunningGateway, running_gateway, write_manifests
from mirrorgate.testing.manifests import (
    gateway,
    http_route,
    inference_pool,
    mirror_to,
    reference,
    rule_cluster,
    traffic_policy,
)
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.real_vllm, pytest.mark.asyncio(loop_scope="module")]

PATIENCE = 60.0
"""Seconds: a model on a CPU may be slow."""
LONG: dict[str, Any] = {"max_tokens": 500, "stream": True, "ignore_eos": True}


@dataclass(frozen=True, slots=True)
class Rig:
    """A gateway with three routes to one server: plain, mirrored to itself, and for one request at a time."""

    gateway: RunningGateway
    model: str

    def body(self, **fields: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": "Name three colours of the rainbow."}]
        return {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": 8, **fields}

    async def chat(self, host: str, **fields: Any) -> Answer:
        async with await self.gateway.connect(timeout=PATIENCE) as client:
            return await client.request("POST", CHAT, [("host", host)], self.body(**fields))

    async def counted(self, name: str, least: float, **labels: str) -> None:
        async def there() -> bool:
            return await self.gateway.admin.metric(name, **labels) >= least

        await self.gateway.admin.until(there, f"{name} {labels} stays under {least}", timeout=PATIENCE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """Run one gateway for all tests."""
    url = os.environ.get("VLLM_URL")
    if not url:
        pytest.skip("needs VLLM_URL")
    server = urlsplit(url)
    assert server.port is not None, "VLLM_URL has no port"
    async with await Client.connect(server.port, timeout=PATIENCE) as client:
        model = (await client.request("GET", "/v1/models", [("host", server.netloc)])).json()["data"][0]["id"]
    config: Path = tmp_path_factory.mktemp("vllm") / "gateway.yaml"
    port, pool = free_port(), reference("vllm", "InferencePool")
    objects = [
        *gateway(port),
        *inference_pool("vllm", server.port),
        *inference_pool("candidate", server.port),
        http_route("plain", pool, hosts=["plain.test"]),
        http_route("mirrored", pool, hosts=["mirrored.test"], mirrors=[mirror_to("candidate", "InferencePool")]),
        http_route("limited", pool, hosts=["limited.test"]),
        traffic_policy("limited", circuitBreaker={"maxParallelRequests": 1}),
    ]
    write_manifests(config, objects)
    async with running_gateway(config, port, options={"gateway_scrape_interval": "200"}) as running:
        yield Rig(running, model)


async def test_an_answer_and_its_tokens(rig: Rig) -> None:
    """It arrives as the server wrote it, and its usage is counted."""
    answer = await rig.chat("plain.test")
    assert answer.status == 200
    assert answer.json()["choices"][0]["message"]["role"] == "assistant"
    usage = answer.json()["usage"]
    assert usage["completion_tokens"] <= 8
    await rig.counted("mirrorgate_tokens_total", usage["prompt_tokens"], cluster=rule_cluster("plain"), type="input")


async def test_a_stream_arrives_event_by_event(rig: Rig) -> None:
    """As many chunks as the server sent, `[DONE]` last, and the same text as in one piece."""
    whole = await rig.chat("plain.test", max_tokens=16)
    streamed = await rig.chat("plain.test", max_tokens=16, stream=True, stream_options={"include_usage": True})
    assert streamed.head.header("content-type") == "text/event-stream; charset=utf-8"
    events = streamed.events()
    assert events[-1] == "[DONE]"
    pieces = [json.loads(event) for event in events[:-1]]
    assert pieces[-1]["usage"]["completion_tokens"] == whole.json()["usage"]["completion_tokens"]
    text = "".join(choice["delta"].get("content") or "" for each in pieces for choice in each["choices"])
    assert text == whole.json()["choices"][0]["message"]["content"]
    assert len(pieces) > 4


async def test_the_pool_is_scraped(rig: Rig) -> None:
    """The server's own gauges: what runs shows while it streams, and is gone afterwards."""
    async with await rig.gateway.connect(timeout=PATIENCE) as client:
        await client.send(request_bytes("POST", CHAT, [("host", "plain.test")], rig.body(**LONG)))
        assert (await client.head()).status == 200
        await rig.counted("mirrorgate_endpoint_running", 1, pool="InferencePool default/vllm")
        client.abort()

    async def idle() -> bool:
        return await rig.gateway.admin.metric("mirrorgate_endpoint_running", pool="InferencePool default/vllm") == 0

    # A client that leaves ends its request at the server, or it would run for minutes.
    await rig.gateway.admin.until(idle, "the server goes on for a client that has left", timeout=PATIENCE)


async def test_a_refusal_of_the_server_is_passed_on(rig: Rig) -> None:
    """Its status and its words."""
    answer = await rig.chat("plain.test", model="no-such-model")
    assert answer.status == 404
    assert "no-such-model" in answer.json()["error"]["message"]


async def test_the_breaker_refuses_beside_a_stream(rig: Rig) -> None:
    """At once, in Envoy's words; the stream goes on."""
    async with await rig.gateway.connect(timeout=PATIENCE) as client:
        await client.send(request_bytes("POST", CHAT, [("host", "limited.test")], rig.body(**LONG)))
        assert (await client.head()).status == 200
        refused = await rig.chat("limited.test")
        assert refused.status == 503
        assert b"overflow" in refused.body
        chunks = 0
        while await client.chunk() is not None:
            chunks += 1
        assert chunks > 100
    assert (await rig.gateway.admin.used(rule_cluster("limited")))["parallel"] == 0


async def test_a_model_is_like_itself(rig: Rig) -> None:
    """Production's answers and the copy's are compared, streamed and not, and the same prompt gives the same text."""
    for number in range(6):
        assert (await rig.chat("mirrored.test", stream=number % 2 == 0)).status == 200

    async def compared() -> bool:
        return len(await rig.gateway.admin.comparisons()) >= 6

    await rig.gateway.admin.until(compared, "not all pairs are compared", timeout=PATIENCE)
    found = await rig.gateway.admin.comparisons()
    assert {each["outcome"] for each in found} <= {"same", "similar"}, json.dumps(found)


async def test_production_is_whole_while_everything_runs_at_once(rig: Rig) -> None:
    """Mirrored and plain streams side by side: every one complete."""
    hosts = ["plain.test", "mirrored.test"] * 4
    answers = await asyncio.gather(*(rig.chat(host, stream=True, max_tokens=12) for host in hosts))
    assert [answer.status for answer in answers] == [200] * len(hosts)
    assert {answer.events()[-1] for answer in answers} == {"[DONE]"}
