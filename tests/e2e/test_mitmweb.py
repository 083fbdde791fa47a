"""mitmweb with the gateway: pairs next to each other, commands, interception, replay, bounds, and files for others."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.io import FlowReader

from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import (
    backend,
    gateway,
    http_route,
    mirror_cluster,
    mirror_to,
    reference,
    rule_cluster,
    shadow_policy,
    traffic_policy,
)
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port
from mirrorgate.testing.web_client import WebClient, WebError, web_options

pytestmark = pytest.mark.e2e

PRIMARY = "The quick brown fox jumps over the lazy dog"
CANDIDATE = "The quick red fox jumps over the sleeping dog"


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway in mitmweb, its two model servers, and mitmweb's own interface."""

    gateway: RunningGateway
    web: WebClient
    primary: FakeModelServer
    candidate: FakeModelServer

    async def pair(self, **body: Any) -> list[dict[str, Any]]:
        """Ask once, and return the flows of the primary, the candidate and the control."""
        known = {flow["id"] for flow in await self.web.flows()}
        assert (await self.gateway.chat("chat.test", **body)).status == 200

        def fresh(flows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [flow for flow in flows if flow["id"] not in known]

        return fresh(await self.web.until(lambda flows: len(fresh(flows)) == 3))


@pytest.fixture
async def stage(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Start all of it; the test's marks may bring more options."""
    more = {name: str(value) for mark in request.node.iter_markers("options") for name, value in mark.kwargs.items()}
    async with (
        FakeModelServer(Behaviour(answer=PRIMARY, itl=0.001)) as primary,
        FakeModelServer(Behaviour(answer=CANDIDATE, itl=0.001, models=("next-model",))) as candidate,
    ):
        port, web_port = free_port(), free_port()
        objects = [
            *gateway(port),
            backend("now", primary.port),
            backend("next", candidate.port),
            http_route("chat", reference("now"), mirrors=[mirror_to("next")]),
            shadow_policy("chat", candidate={"modelName": "next-model"}, control={"percent": 100}),
            http_route("tight", reference("now")),
            traffic_policy("tight", circuitBreaker={"maxPendingRequests": 0, "maxParallelRequests": 7}),
        ]
        config = tmp_path / "gateway.yaml"
        write_manifests(config, objects)
        options = web_options(web_port) | more
        async with (
            running_gateway(config, port, program="mitmweb", options=options) as running,
            WebClient(web_port) as web,
        ):
            yield Stage(running, web, primary, candidate)
        assert "Traceback" not in running.process.text
        assert "Addon error" not in running.process.text


@pytest.mark.parametrize("stream", [False, True])
async def test_a_pair_is_shown_side_by_side(stage: Stage, stream: bool) -> None:
    """The candidate's and the control's flows follow their primary's, and either shows what differs."""
    primary, candidate, control = await stage.pair(stream=stream)
    assert primary["comment"].startswith("candidate similar: similarity 0.82")
    assert candidate["comment"].startswith("candidate: similar, similarity 0.82")
    assert ("TTFT" in candidate["comment"]) is stream
    assert control["comment"].startswith("control: the primary asked again, complete")
    assert [bool(flow["marked"]) for flow in (primary, candidate, control)] == [True] * 3
    assert candidate["request"]["port"] == stage.candidate.port
    assert control["request"]["port"] == primary["server_conn"]["address"][1] == stage.primary.port
    for flow in (primary, candidate):
        shown = await stage.web.shown(flow["id"])
        assert shown["view_name"] == "Mirrorgate"
        assert "The quick [-brown-] fox jumps over the [-lazy-] dog" in shown["text"]
        assert "The quick {+red+} fox jumps over the {+sleeping+} dog" in shown["text"]
    assert "next-model" in (await stage.web.shown(candidate["id"], "request", "raw"))["text"]
    assert (await stage.web.shown(primary["id"], "request"))["view_name"] != "Mirrorgate"


async def test_commands_that_look(stage: Stage) -> None:
    """They work on what mitmweb shows (`@focus`), by id and by filter, and fail with clear words."""
    web = stage.web
    primary, candidate, _ = await stage.pair()
    await web.shown(candidate["id"])
    assert "[-brown-]" in await web.command("mirrorgate.compare", "@focus")
    assert "[-brown-]" in await web.command("mirrorgate.compare", f"@{primary['id']}")
    told = await web.command("mirrorgate.explain", "~c 200 & !~meta mirrorgate.leg")
    assert "outcome: forwarded by default/chat rule 0" in told
    assert "mirrors:" in told
    assert (await stage.gateway.chat("tight.test")).status == 503
    [refused] = [flow for flow in await web.flows() if flow["request"]["pretty_host"] == "tight.test"]
    assert refused["comment"].startswith("503 UO pending_overflow: ")
    assert refused["comment"].endswith("parallel 0/7, pending 0/0, connections 0/1024")
    for name, arguments, words in (
        ("mirrorgate.compare", (f"@{refused['id']}",), "Not mirrored"),
        ("mirrorgate.compare", ("~u nothing",), "No flow is selected"),
        ("mirrorgate.replay", ("@focus", "moon"), "primary or candidate"),
        ("mirrorgate.replay", (f"@{refused['id']}", "candidate"), "no candidate"),
        ("mirrorgate.breaker.open", ("nowhere",), "There is no cluster 'nowhere'. There are: httproute/default/"),
    ):
        with pytest.raises(WebError, match=words):
            await web.command(name, *arguments)


async def test_the_breaker_by_hand(stage: Stage) -> None:
    """Open: each request gets the overflow 503 and none is mirrored. Closed: served again."""
    web, cluster = stage.web, rule_cluster("chat")
    assert "OPEN by hand" in await web.command("mirrorgate.breaker.open", cluster)
    answer = await stage.gateway.chat("chat.test")
    assert answer.status == 503
    assert answer.body.endswith(b"reset reason: overflow")
    [flow] = await web.flows()
    assert flow["comment"].startswith("503 UO forced_open: circuit_breaker_forced_open; parallel 0/1024")
    assert "OPEN by hand" in await web.command("mirrorgate.breaker.status")
    admin = stage.gateway.admin
    assert await admin.metric("mirrorgate_breaker_rejected_total", cluster=cluster, reason="forced_open") == 1
    assert "OPEN" not in await web.command("mirrorgate.breaker.close", cluster)
    await stage.pair()
    assert len(stage.candidate.requests) == 1
    assert "failure breaker bypassed by hand" in await web.command("mirrorgate.breaker.bypass", cluster)
    assert (await stage.gateway.chat("chat.test")).status == 200
    assert "by hand" not in await web.command("mirrorgate.breaker.close", cluster)


async def test_mirroring_by_hand(stage: Stage) -> None:
    """Paused: served and not mirrored. Resumed: mirrored again."""
    await stage.web.command("mirrorgate.mirror.pause")
    assert (await stage.gateway.chat("chat.test")).status == 200
    await stage.web.command("mirrorgate.mirror.resume")
    await stage.pair()
    assert len(stage.candidate.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_replays_go_the_gateways_way_and_are_never_mirrored(stage: Stage, stream: bool) -> None:
    """mitmproxy's own replay, and ours to either side: routed, answered into the flow, and not copied."""
    web = stage.web
    primary, candidate, _ = await stage.pair(stream=stream)
    before = len(stage.primary.requests), len(stage.candidate.requests)
    await web.command("mirrorgate.replay", f"@{primary['id']}", "candidate")
    await web.command("mirrorgate.replay", f"@{candidate['id']}")
    flows = await web.until(lambda flows: sum(f["is_replay"] == "request" and "response" in f for f in flows) == 2)
    to_candidate, to_primary = [flow for flow in flows if flow["is_replay"]]
    assert [flow["comment"] for flow in (to_candidate, to_primary)] == [
        "sent again to the candidate",
        "sent again to the primary",
    ]
    assert to_candidate["server_conn"]["address"][1] == stage.candidate.port
    assert to_primary["server_conn"]["address"][1] == stage.primary.port
    for flow, words in ((to_candidate, "red"), (to_primary, "brown")):
        assert words in (await web.shown(flow["id"], view="raw"))["text"]
    await web.command("replay.client", f"@{primary['id']}")
    [again] = [
        flow
        for flow in await web.until(lambda flows: any(f["id"] == primary["id"] and "response" in f for f in flows))
        if flow["id"] == primary["id"]
    ]
    assert again["response"]["status_code"] == 200
    assert (len(stage.primary.requests), len(stage.candidate.requests)) == (before[0] + 2, before[1] + 1)
    admin = stage.gateway.admin
    dropped = await admin.metric("mirrorgate_shadow_dropped_total", cluster=mirror_cluster("chat"), reason="replay")
    assert dropped == 2


async def test_an_intercepted_request_is_mirrored_as_edited(stage: Stage) -> None:
    """What a person made of the request is what production and the candidate get."""
    web = stage.web
    await web.options(intercept="~q & ~d chat.test")
    edited = {"model": "fake-model", "messages": [{"role": "user", "content": "edited by hand"}]}

    async def edit() -> None:
        [held] = await web.until(lambda flows: any(flow["intercepted"] for flow in flows))
        await web.edit(held["id"], request={"content": json.dumps(edited)})
        await web.options(intercept=None)
        await web.resume(held["id"])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(edit(), name="edit")
        answer = await stage.gateway.chat("chat.test")
    assert answer.status == 200
    await web.until(lambda flows: len(flows) == 3)
    assert json.loads(stage.primary.requests[0].body) == edited
    assert json.loads(stage.candidate.requests[0].body) == edited | {"model": "next-model"}


async def test_saved_flows_open_in_an_unmodified_mitmproxy(stage: Stage, tmp_path: Path) -> None:
    """Pairs and refusals with their marks and metadata, read by FlowReader and by mitmdump without us."""
    await stage.pair(stream=True)
    await stage.gateway.chat("tight.test")
    path = tmp_path / "saved.mitm"
    await stage.web.command("save.file", "@all", str(path))
    with path.open("rb") as file:
        flows = [flow for flow in FlowReader(file).stream() if isinstance(flow, http.HTTPFlow)]
    assert [flow.metadata.get("mirrorgate.leg") for flow in flows] == [None, "candidate", "control", None]
    assert flows[0].metadata["mirrorgate.shadows"] == [flows[1].id, flows[2].id]
    assert flows[3].metadata["mirrorgate.breaker"]["pending_limit"] == 0
    launch = "import sys; sys.modules['mirrorgate'] = None; from mitmproxy.tools.main import mitmdump; mitmdump()"
    command = [sys.executable, "-c", launch, "-n", "-r", str(path), "--set", "flow_detail=1"]
    read = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=True)
    assert read.stdout.count("/v1/chat/completions") == 4
    assert "503" in read.stdout


@pytest.mark.options(view_flows=40, shadow_flows=6)
async def test_the_view_is_bounded(stage: Stage) -> None:
    """The oldest finished flows go; the shadow's go by their own bound."""
    async with await stage.gateway.connect() as client:
        for _ in range(60):
            await client.request("POST", CHAT, [("host", "chat.test")], chat_body())
    await stage.web.until(lambda flows: sum(bool(f["comment"].startswith("candidate similar")) for f in flows) > 10)
    flows = await stage.web.flows()
    assert len(flows) <= 40
    legs = [flow for flow in flows if flow["comment"].startswith(("candidate: ", "control: "))]
    assert len(legs) == 6
