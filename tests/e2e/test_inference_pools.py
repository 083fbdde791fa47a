"""Pools under load, with real processes: who is shed, and what a client is told.

The model servers report what a test says; the gateway scrapes it. A pool's load is known when `/clusters` shows it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.clients import Answer
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import gateway, http_route, inference_pool, reference, rule_cluster
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

V1ALPHA2 = "inference.networking.x-k8s.io/v1alpha2"
SATURATED = "inference gateway: InferencePoolResourceExhausted - system saturated, sheddable request dropped"


def in_pool(kind: str, name: str, pool: str, **spec: Any) -> dict[str, Any]:
    """Return an InferenceModel, InferenceObjective or InferenceModelRewrite of a pool."""
    return {
        "apiVersion": V1ALPHA2,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"poolRef": {"name": pool}, **spec},
    }


OBJECTS = [
    in_pool("InferenceModel", "gold", "old", modelName="gold", criticality="Critical", targetModels=[{"name": "base"}]),
    in_pool("InferenceModel", "plain", "old", modelName="plain", targetModels=[{"name": "base"}]),
    in_pool("InferenceObjective", "batch", "new", priority=-1),
    in_pool("InferenceObjective", "chat", "new", priority=1),
    in_pool(
        "InferenceModelRewrite",
        "aliases",
        "new",
        rules=[
            {"matches": [{"model": {"value": "latest"}}], "targets": [{"modelRewrite": "base"}]},
            {"targets": [{"modelRewrite": "base-lora"}]},
        ],
    ),
]
"""`old` has models with a criticality, as in the Inference Extension's v0.3; `new` is a pool of v1."""


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    servers: dict[str, list[FakeModelServer]]

    async def waiting(self, pool: str, *depths: int) -> None:
        """Let a pool's servers report these queues, and wait until the gateway knows."""
        for server, depth in zip(self.servers[pool], depths, strict=True):
            await server.configure(reported_waiting=depth)
        wanted = {str(server.port): depth for server, depth in zip(self.servers[pool], depths, strict=True)}

        async def known() -> bool:
            cluster = await self.gateway.admin.cluster(rule_cluster(pool))
            loads = {row["address"].rpartition(":")[2]: row["load"] for row in cluster["endpoints"]}
            return {port: load and load["waiting"] for port, load in loads.items()} == wanted

        await self.gateway.admin.until(known, f"the load of {pool} does not become known")

    async def ask(self, pool: str, model: str, **headers: str) -> Answer:
        fields = [("host", f"{pool}.test"), *((name.replace("_", "-"), value) for name, value in headers.items())]
        async with await self.gateway.connect() as client:
            return await client.request("POST", CHAT, fields, chat_body(model=model))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One gateway with two pools of two servers."""
    behaviour = Behaviour(models=("base",), adapters=("base-lora",), answer="hello", reported_waiting=0)
    async with contextlib.AsyncExitStack() as stack:
        port = free_port()
        objects = [*gateway(port), *OBJECTS]
        servers: dict[str, list[FakeModelServer]] = {}
        for name in ("old", "new"):
            servers[name] = [await stack.enter_async_context(FakeModelServer(behaviour)) for _ in range(2)]
            objects += inference_pool(name, *(server.port for server in servers[name]))
            objects.append(http_route(name, reference(name, "InferencePool")))
        config = tmp_path_factory.mktemp("pools") / "gateway.yaml"
        write_manifests(config, objects)
        running = await stack.enter_async_context(
            running_gateway(config, port, options={"gateway_scrape_interval": "50"})
        )
        yield Rig(running, servers)


def shed(answer: Answer) -> bool:
    """Tell whether an answer is the one of a request that was shed, to the last header."""
    if answer.status == 200:
        return False
    assert answer.status == 429
    assert answer.head.header("x-llm-d-request-dropped-reason") == "rejected-saturated"
    assert answer.head.header("retry-after") == "1"
    error = answer.json()["error"]
    assert (error["message"], error["type"], error["code"]) == (SATURATED, "rate_limit_error", "system_saturated")
    return True


async def test_the_era_of_criticality(rig: Rig) -> None:
    """While one endpoint has room nobody is shed; without any, all but the critical are. Unknown models are 404."""
    await rig.waiting("old", 9, 5)
    assert [shed(await rig.ask("old", model)) for model in ("gold", "plain")] == [False, False]
    assert not rig.servers["old"][0].requests
    await rig.waiting("old", 9, 6)
    assert [shed(await rig.ask("old", model)) for model in ("gold", "plain")] == [False, True]
    unknown = await rig.ask("old", "silver")
    assert (unknown.status, unknown.json()["error"]["code"]) == (404, "model_not_found")
    cluster = await rig.gateway.admin.cluster(rule_cluster("old"))
    assert cluster["profiles"] == ["gaie-v0.3"]


async def test_the_era_of_objectives(rig: Rig) -> None:
    """Only a negative priority is shed; unknown models are passed on, rewritten by the most exact rule."""
    await rig.waiting("new", 9, 9)
    by_header = {
        name: shed(await rig.ask("new", "x", x_gateway_inference_objective=name)) for name in ("batch", "chat")
    }
    assert by_header == {"batch": True, "chat": False}
    assert shed(await rig.ask("new", "x", x_llm_d_inference_objective="batch"))
    await rig.waiting("new", 9, 0)
    assert not shed(await rig.ask("new", "x", x_gateway_inference_objective="batch"))
    assert (await rig.ask("new", "latest")).json()["model"] == "base"
    assert (await rig.ask("new", "anything")).json()["model"] == "base-lora"
    assert (await rig.ask("new", "anything", x_gateway_model_name_rewrite="base")).json()["model"] == "base"


async def test_what_was_shed_is_counted(rig: Rig) -> None:
    """Under the refusal's name and the extension's error code; nothing stays under way."""
    await rig.waiting("old", 9, 9)
    assert shed(await rig.ask("old", "plain"))
    admin = rig.gateway.admin
    assert await admin.metric("mirrorgate_local_replies_total", reason="saturated") >= 1
    code = "InferencePoolResourceExhausted"
    assert await admin.metric("inference_objective_request_error_total", model_name="plain", error_code=code) >= 1
    cluster = await admin.cluster(rule_cluster("old"))
    assert [endpoint["in_flight"] for endpoint in cluster["endpoints"]] == [0, 0]


async def test_requests_wait_for_their_turn(tmp_path: Path) -> None:
    """With a queue, what comes while the pool is saturated waits, is shown, and goes on by priority."""
    port = free_port()
    async with FakeModelServer(Behaviour(models=("base",), answer="hello", reported_waiting=9)) as server:
        objective = in_pool("InferenceObjective", "first", "new", priority=7)
        pool = [*inference_pool("new", server.port), objective, http_route("new", reference("new", "InferencePool"))]
        write_manifests(tmp_path / "gateway.yaml", [*gateway(port), *pool])
        options = {"gateway_scrape_interval": "50", "gateway_queue_requests": "2"}
        async with running_gateway(tmp_path / "gateway.yaml", port, options=options) as running:
            rig = Rig(running, {"new": [server]})
            await rig.waiting("new", 9)
            asked = [asyncio.create_task(rig.ask("new", "base", x_llm_d_inference_fairness_id=name)) for name in "ab"]
            size = "inference_extension_flow_control_queue_size"
            labels = {"priority": "0", "inference_pool": "InferencePool default/new"}

            async def both_wait() -> bool:
                return [await running.admin.metric(size, fairness_id=name, **labels) for name in "ab"] == [1, 1]

            await running.admin.until(both_wait, "two requests do not come to wait")
            assert shed(await rig.ask("new", "base"))
            asked.append(asyncio.create_task(rig.ask("new", "base", x_gateway_inference_objective="first")))

            async def third_waits() -> bool:
                return await running.admin.metric(size, priority="7") == 1

            await running.admin.until(third_waits, "a third request, of another priority, does not come to wait")
            assert not server.requests
            await server.configure(reported_waiting=0)
            assert [(await answer).status for answer in asked] == [200] * 3
            name = "inference_extension_flow_control_request_queue_duration_seconds_count"
            assert await running.admin.metric(name, outcome="dispatched") == 3
            assert await running.admin.metric(name, outcome="rejected_capacity") == 1
            assert await running.admin.metric(size) == 0
