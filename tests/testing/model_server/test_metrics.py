"""`/metrics`, against the names and types that were recorded from a busy vLLM."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from mirrorgate.testing.clients import Client, request_bytes
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.faults import Fault, FaultKind
from mirrorgate.testing.model_server.server import FakeModelServer

from .conftest import CHAT

RECORDED = Path(__file__).with_name("recorded_metric_types.txt")


async def scrape(server: FakeModelServer) -> str:
    """Read the metrics."""
    async with await Client.connect(server.port) as client:
        answer = await client.request("GET", "/metrics")
    assert answer.head.header("content-type") == "text/plain; version=1.0.0; charset=utf-8"
    return answer.body.decode()


def value(text: str, name: str, **labels: str) -> float:
    """Return the one sample of a name that has these labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = [each.value for each in samples if each.name == name and labels.items() <= each.labels.items()]
    assert len(found) == 1, (name, labels, found)
    return float(found[0])


async def test_every_recorded_name_is_there_with_its_type() -> None:
    """The fake serves what the real one serves, and nothing of `vllm:` beside it."""
    async with FakeModelServer() as server:
        async with await Client.connect(server.port) as client:
            await client.request("GET", "/v1/models")
        await server.until(lambda: not server.connections)
        text = await scrape(server)
    served = set(re.findall(r"^# TYPE (\S+ \S+)$", text, re.MULTILINE))
    recorded = set(RECORDED.read_text().split("\n")) - {""}
    assert recorded - served == set()
    assert {line for line in served - recorded if line.startswith("vllm:")} == set()


async def test_gauges_show_what_runs_and_waits(chat: Callable[..., dict[str, Any]]) -> None:
    """Two run, one waits; adapters are listed; when all is over the counters have them."""
    behaviour = Behaviour(
        max_num_seqs=2,
        adapters=("lora-a",),
        kv_cache_tokens=100,
        faults=(Fault(FaultKind.HANG_MID_STREAM, after=2, times=2),),
    )
    async with FakeModelServer(behaviour) as server:
        clients = [await Client.connect(server.port) for _ in range(3)]
        for count, model in enumerate(("fake-model", "lora-a", "fake-model")):
            await clients[count].send(request(chat(stream=True, model=model)))
            await server.received(count + 1)
        await server.until(lambda: server.engine.running == 2 and server.engine.waiting == 1)
        text = await scrape(server)
        assert value(text, "vllm:num_requests_running") == 2
        assert value(text, "vllm:num_requests_waiting") == 1
        assert 0 < value(text, "vllm:kv_cache_usage_perc") < 1
        assert 'running_lora_adapters="lora-a"' in text
        server.release()
        for client in clients:
            await client.answer("POST")
            await client.close()
        text = await scrape(server)
    assert value(text, "vllm:num_requests_running") == 0
    assert value(text, "vllm:request_success_total", finished_reason="stop") == 3
    assert value(text, "vllm:time_to_first_token_seconds_count") == 3
    assert value(text, "http_requests_total", handler=CHAT, status="2xx") == 3


async def test_other_servers_words_and_chosen_numbers() -> None:
    """For tests of a scraper."""
    async with FakeModelServer() as server:
        await server.configure(reported_running=7, reported_waiting=3, reported_kv_cache_usage=0.5)
        assert "vllm:num_requests_waiting{" in await scrape(server)
        for dialect, line in {
            "vllm_old": 'vllm:gpu_cache_usage_perc{engine="0",model_name="fake-model"} 0.5',
            "sglang": 'sglang:num_queue_reqs{model_name="fake-model"} 3.0',
            "llamacpp": "llamacpp:requests_processing 7.0",
        }.items():
            await server.configure(metrics_dialect=dialect)
            assert line in (await scrape(server)).split("\n")


def request(body: dict[str, Any]) -> bytes:
    """Return a chat request."""
    return request_bytes("POST", CHAT, (), body)
