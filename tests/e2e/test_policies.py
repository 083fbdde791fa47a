"""Traffic policies in a real process: what /metrics and /routes say of them, what a reload leaves alone, what a mirror
gets of a request that is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.clients import Answer
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import (
    Object,
    backend,
    gateway,
    http_route,
    mirror_to,
    reference,
    token_rate_limit_policy,
    traffic_policy,
)
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

PER_USER = {"clientSelectors": [{"headers": [{"name": "x-user", "type": "Distinct"}]}]}
ONCE: dict[str, Any] = {"local": {"rules": [{**PER_USER, "limit": {"requests": 1, "unit": "Hour"}}]}}
OVERLOADED = {
    "match": {"statusCodes": [{"value": 503}]},
    "source": "Local",
    "response": {"contentType": "application/json", "body": {"inline": '{"error":{"message":"%LOCAL_REPLY_BODY%"}}'}},
}


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    server: FakeModelServer
    candidate: FakeModelServer

    async def ask(self, route: str, user: str = "", **body: Any) -> Answer:
        headers = [("host", f"{route}.test")] + ([("x-user", user)] if user else [])
        async with await self.gateway.connect() as client:
            return await client.request("POST", CHAT, headers, chat_body(**body))


def objects(port: int, server: int, candidate: int, *more: Object) -> list[Object]:
    to = reference("server")
    return [
        *gateway(port),
        backend("server", server),
        backend("candidate", candidate),
        http_route("limited", to),
        traffic_policy("limited", rateLimit=ONCE),
        http_route("mirrored", to, mirrors=[mirror_to("candidate")]),
        traffic_policy("mirrored", rateLimit=ONCE),
        http_route("tokens", to),
        token_rate_limit_policy("tokens", {**PER_USER, "tokens": 20, "unit": "Hour"}),
        http_route("full", to),
        traffic_policy("full", circuitBreaker={"maxPendingRequests": 0}, responseOverride=[OVERLOADED]),
        *more,
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    config: Path = tmp_path_factory.mktemp("policies") / "gateway.yaml"
    port = free_port()
    async with FakeModelServer() as server, FakeModelServer() as candidate:
        write_manifests(config, objects(port, server.port, candidate.port))
        async with running_gateway(config, port) as started:
            yield Rig(started, server, candidate)


async def test_a_limit_in_metrics_and_routes(rig: Rig) -> None:
    """Who is over it, and how many keys it knows; the compiled limit is JSON."""
    assert [(await rig.ask("limited", user)).status for user in ("ann", "ann", "bob")] == [200, 429, 200]
    metrics = (await rig.gateway.admin.get("/metrics")).body.decode()
    limit = 'limit="default/limited/local/0 httproute/default/limited/rule/0"'
    assert f'mirrorgate_rate_limit_requests_total{{{limit},result="over"}} 1' in metrics
    assert f'mirrorgate_rate_limit_requests_total{{{limit},result="under"}} 2' in metrics
    assert f"mirrorgate_rate_limit_keys{{{limit}}} 2" in metrics
    rules = (await rig.gateway.admin.get("/routes")).json()["rules"]
    [shaping] = [rule["traffic"]["shaping"] for rule in rules if rule["route"] == "default/limited"]
    assert shaping["limits"]["local"][0]["selectors"] == [{"name": "x-user"}]


async def test_a_stream_is_charged_what_its_last_event_reports(rig: Rig) -> None:
    """And the next request of that user pays for it."""
    stream = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 40}
    first = await rig.ask("tokens", "ann", **stream)
    assert (first.status, first.head.header("x-ratelimit-remaining-tokens")) == (200, "20")
    assert first.events()[-1] == "[DONE]"
    second = await rig.ask("tokens", "ann")
    assert int(second.head.header("x-ratelimit-remaining-tokens") or "20") < 20
    assert (await rig.ask("tokens", "bob")).head.header("x-ratelimit-remaining-tokens") == "20"
    metrics = (await rig.gateway.admin.get("/metrics")).body.decode()
    charged = [line for line in metrics.splitlines() if "rate_limit_tokens_total" in line and "/tokens/tokens/" in line]
    assert any('source="reported"' in line and not line.endswith(" 0") for line in charged)
    assert any('source="estimated"' in line and line.endswith(" 0") for line in charged)


async def test_a_refused_request_is_not_mirrored(rig: Rig) -> None:
    """The candidate sees one of two."""
    assert [(await rig.ask("mirrored", "ann")).status for _ in range(2)] == [200, 429]
    assert [(await rig.ask("mirrored", "bob")).status for _ in range(2)] == [200, 429]
    received = await rig.candidate.received(2)
    assert len(received) == 2


async def test_an_overflow_is_what_the_policy_says(rig: Rig) -> None:
    """JSON in place of Envoy's text, which it quotes."""
    answer = await rig.ask("full")
    message = "upstream connect error or disconnect/reset before headers. reset reason: overflow"
    assert (answer.status, answer.json()) == (503, {"error": {"message": message}})


async def test_a_reload_leaves_buckets_alone(rig: Rig) -> None:
    """Who has used a limit up has used it up behind a reload that changes something else, too."""
    assert [(await rig.ask("limited", "eve")).status for _ in range(2)] == [200, 429]
    before = await rig.gateway.admin.generation()
    changed = objects(rig.gateway.port, rig.server.port, rig.candidate.port, http_route("another", reference("server")))
    write_manifests(rig.gateway.config, changed)

    async def taken() -> bool:
        return await rig.gateway.admin.generation() > before

    await rig.gateway.admin.until(taken, "the other route does not take effect")
    assert (await rig.ask("limited", "eve")).status == 429
    assert (await rig.ask("another")).status == 200
