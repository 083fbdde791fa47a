"""The health of endpoints with real processes: outliers leave and return, and nothing is left counted.

One gateway has a route, a policy and servers of its own for each case.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.gateways import RunningGateway, running_gateway, write_manifests
from mirrorgate.testing.manifests import (
    Object,
    backend,
    failure_breaker_policy,
    gateway,
    http_route,
    inference_pool,
    reference,
    rule_cluster,
    traffic_policy,
)
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

WELL = Behaviour(answer="ok")
FAILING = ["error_status"]
FOR_EVER = "60s"


def passive(**more: Any) -> dict[str, Any]:
    """Return a policy that takes turns, so that every endpoint is asked."""
    settings = {"maxEjectionPercent": 100, "baseEjectionTime": FOR_EVER, **more}
    return {"healthCheck": {"passive": settings}, "loadBalancer": {"type": "RoundRobin"}}


def active(timeout: str) -> dict[str, Any]:
    return {"active": {"type": "HTTP", "interval": "100ms", "timeout": timeout, "http": {"path": "/health"}}}


BREAKER = {"minimumCalls": 4, "failureRatePercent": 50, "openDuration": "1s", "permittedProbes": 2}
BREAKERS: dict[str, dict[str, Any]] = {
    "breaker": {**BREAKER, "scope": "Endpoint"},
    "outage": BREAKER,
    "dry-run": {**BREAKER, "mode": "MetricsOnly"},
}
"""A FailureBreakerPolicy for each route."""

CASES: dict[str, dict[str, Any]] = {
    "ejected": passive(),
    "trap": passive(maxEjectionPercent=10),
    "returns": passive(baseEjectionTime="300ms", interval="100ms"),
    "none-left": passive() | {"healthCheck": {**passive()["healthCheck"], "panicThreshold": 0}},
    "pool": passive(),
    "refusing": passive(),
    "hung": {"healthCheck": active("500ms")},
    "ill": {"healthCheck": active("20s") | {"panicThreshold": 0}},
    "cookie": {
        "loadBalancer": {
            "type": "ConsistentHash",
            "consistentHash": {"type": "Cookie", "cookie": {"name": "sid", "ttl": "1h"}, "tableSize": 1009},
        }
    },
    "named": {"loadBalancer": {"type": "RoundRobin", "endpointOverride": {"extractFrom": [{"header": "x-endpoint"}]}}},
    **{case: {"loadBalancer": {"type": "RoundRobin"}} for case in BREAKERS},
}
"""A policy for each route; all have two servers."""


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    servers: dict[str, tuple[FakeModelServer, ...]]

    async def ask(self, case: str, times: int = 1) -> Counter[int]:
        """Count the statuses of requests one after another."""
        return Counter([(await self.gateway.chat(f"{case}.test")).status for _ in range(times)])

    async def come_out(self, case: str, count: int) -> None:
        """Wait until so many endpoints get no new requests."""

        async def so() -> bool:
            return await self.out(case) == count

        await self.gateway.admin.until(so, f"{case}: it does not come to {count} endpoints that are out")

    async def out(self, case: str) -> float:
        """Return how many endpoints get no new requests."""
        return await self.gateway.admin.metric("mirrorgate_endpoint_out", cluster=rule_cluster(case))

    async def outliers(self, case: str, statistic: str) -> float:
        name = f"envoy_cluster_outlier_detection_ejections_{statistic}"
        return await self.gateway.admin.metric(name, envoy_cluster_name=rule_cluster(case))

    def asked(self, case: str) -> list[int]:
        return [len(server.requests) for server in self.servers[case]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One gateway with a route for each case."""
    async with contextlib.AsyncExitStack() as stack:
        port = free_port()
        objects: list[Object] = gateway(port)
        servers: dict[str, tuple[FakeModelServer, ...]] = {}
        for case, policy in CASES.items():
            servers[case] = tuple([await stack.enter_async_context(FakeModelServer(WELL)) for _ in range(2)])
            ports = [server.port for server in servers[case]]
            pool = case == "pool"
            objects += inference_pool(case, *ports) if pool else [backend(case, *ports)]
            objects += [
                http_route(case, reference(case, "InferencePool" if pool else "Backend")),
                traffic_policy(case, **policy),
            ]
        objects += [failure_breaker_policy(case, **spec) for case, spec in BREAKERS.items()]
        config: Path = tmp_path_factory.mktemp("health") / "gateway.yaml"
        write_manifests(config, objects)
        options = {"gateway_scrape_interval": "0"}
        running = await stack.enter_async_context(running_gateway(config, port, options=options))
        yield Rig(running, servers)
        for case in CASES:
            used = await running.admin.used(rule_cluster(case))
            assert not any(count for limit, count in used.items() if limit != "connections")


async def test_an_endpoint_that_answers_500_is_ejected_after_five(rig: Rig) -> None:
    """As a real Envoy: five of its turns fail, then the other one has all; the log and /clusters tell why."""
    failing, _ = rig.servers["ejected"]
    await failing.configure(faults=FAILING)
    assert await rig.ask("ejected", 30) == {500: 5, 200: 25}
    assert rig.asked("ejected") == [5, 25]
    assert await rig.outliers("ejected", "enforced_consecutive_5xx") == 1
    assert await rig.outliers("ejected", "active") == 1
    endpoints = (await rig.gateway.admin.cluster(rule_cluster("ejected")))["endpoints"]
    assert [endpoint["healthy"] for endpoint in endpoints] == [False, True]
    assert endpoints[0]["error"].startswith("ejected as an outlier, for ")
    await rig.gateway.process.printed(f"127.0.0.1:{failing.port} is ejected for 60 s: consecutive_5xx")


async def test_with_the_defaults_one_of_two_is_never_ejected(rig: Rig) -> None:
    """The measured trap of 10 percent: half of the requests go on failing, and only an overflow counts it."""
    await rig.servers["trap"][0].configure(faults=FAILING)
    assert await rig.ask("trap", 30) == {500: 15, 200: 15}
    assert await rig.out("trap") == 0
    assert await rig.outliers("trap", "overflow") == 3


async def test_it_returns_by_itself(rig: Rig) -> None:
    """And is asked again."""
    failing, _ = rig.servers["returns"]
    await failing.configure(faults=FAILING)
    await rig.ask("returns", 10)
    await failing.configure(faults=[])

    await rig.come_out("returns", 0)
    before = rig.asked("returns")
    assert await rig.ask("returns", 4) == {200: 4}
    assert [now - then for now, then in zip(rig.asked("returns"), before, strict=True)] == [2, 2]


async def test_where_all_are_out_and_nothing_is_ignored_the_answer_is_ours(rig: Rig) -> None:
    """Envoy's 503 without asking anybody."""
    for server in rig.servers["none-left"]:
        await server.configure(faults=FAILING)
    assert await rig.ask("none-left", 10) == {500: 10}
    async with await rig.gateway.connect() as client:
        answer = await client.request("GET", "/", [("host", "none-left.test")])
    assert (answer.status, answer.body) == (503, b"no healthy upstream")
    assert rig.asked("none-left") == [5, 5]
    assert (
        await rig.gateway.admin.metric("mirrorgate_requests_total", cluster=rule_cluster("none-left"), flag="UH") == 1
    )


async def test_a_pool_goes_without_its_outlier(rig: Rig) -> None:
    """The picker's profile chooses among those that are left."""
    failing, well = rig.servers["pool"]
    await failing.configure(faults=FAILING)

    async def ejected() -> bool:
        await rig.ask("pool")
        return await rig.out("pool") == 1

    await rig.gateway.admin.until(ejected, "it is not ejected")
    before = len(failing.requests), len(well.requests)
    assert await rig.ask("pool", 10) == {200: 10}
    assert (len(failing.requests), len(well.requests)) == (before[0], before[1] + 10)


async def test_an_endpoint_that_refuses_connections_is_ejected(rig: Rig) -> None:
    """A request without an answer counts as a 503."""
    refusing, _ = rig.servers["refusing"]
    await refusing.configure(faults=["refuse"])
    assert await rig.ask("refusing", 20) == {503: 5, 200: 15}
    assert await rig.out("refusing") == 1


async def test_an_active_check_takes_a_hung_server_out(rig: Rig) -> None:
    """A server that hangs on /health gets no new request; the stream that it has goes on to its end."""
    hung, well = rig.servers["hung"]
    await rig.come_out("hung", 0)
    for server in (hung, well):
        await server.configure(faults=["hang_mid_stream; after=1"])
    streams = [asyncio.create_task(rig.gateway.chat("hung.test", stream=True)) for _ in range(4)]
    await hung.until(lambda: hung.hanging + well.hanging == 4)
    assert hung.hanging
    await hung.configure(faults=["hang_before_headers; path=/health", "hang_mid_stream; after=1"])
    await well.configure(faults=[])
    await rig.come_out("hung", 1)
    before = len(hung.requests)
    assert await rig.ask("hung", 10) == {200: 10}
    assert len(hung.requests) == before
    await hung.configure(faults=[])
    for server in (hung, well):
        server.release()
    answers = await asyncio.gather(*streams)
    assert all(answer.status == 200 and b"[DONE]" in answer.body for answer in answers)
    await rig.come_out("hung", 0)
    await rig.gateway.process.printed(f"127.0.0.1:{hung.port} is out: no complete answer in 0.5 s")
    await rig.gateway.process.printed(f"127.0.0.1:{hung.port} is in again")


async def test_where_no_server_is_well_the_answer_is_ours(rig: Rig) -> None:
    """A status that is not expected takes a server out at once; with panicThreshold 0 nobody is asked then."""
    for server in rig.servers["ill"]:
        await server.configure(faults=["error_status; path=/health; status=503"])
    await rig.come_out("ill", 2)
    before = rig.asked("ill")
    assert await rig.ask("ill", 3) == {503: 3}
    assert rig.asked("ill") == before
    name = {"envoy_cluster_name": rule_cluster("ill")}
    assert await rig.gateway.admin.metric("envoy_cluster_health_check_failure", **name) >= 2
    assert await rig.gateway.admin.metric("envoy_cluster_membership_healthy", **name) == 0
    endpoints = (await rig.gateway.admin.cluster(rule_cluster("ill")))["endpoints"]
    assert {endpoint["error"] for endpoint in endpoints} == {"the active check fails: /health answers 503"}


async def test_a_cookie_keeps_a_client_at_its_server(rig: Rig) -> None:
    """The gateway makes it; with it, every request goes to the same server."""
    async with await rig.gateway.connect() as client:
        first = await client.request("GET", "/health", [("host", "cookie.test")])
        made = dict(first.head.headers)["set-cookie"]
        assert made.startswith('sid="')
        assert made.endswith('"; Max-Age=3600; Path=/; HttpOnly')
        for _ in range(10):
            pair = made.partition(";")[0]
            answer = await client.request("GET", "/v1/models", [("host", "cookie.test"), ("cookie", pair)])
            assert answer.status == 200
            assert "set-cookie" not in dict(answer.head.headers)
    assert sorted(rig.asked("cookie")) == [0, 10]


async def test_a_header_names_the_endpoint(rig: Rig) -> None:
    """As an endpoint picker does; one that is none of the rule's is not followed."""
    _, wanted = rig.servers["named"]
    async with await rig.gateway.connect() as client:
        for _ in range(4):
            fields = [("host", "named.test"), ("x-endpoint", f"127.0.0.1:{wanted.port}")]
            assert (await client.request("GET", "/v1/models", fields)).status == 200
        assert rig.asked("named") == [0, 4]
        for _ in range(4):
            fields = [("host", "named.test"), ("x-endpoint", "127.0.0.1:1")]
            assert (await client.request("GET", "/v1/models", fields)).status == 200
    assert rig.asked("named") == [2, 6]


async def test_an_endpoints_breaker_opens_probes_and_closes(rig: Rig) -> None:
    """Requests go to the other server meanwhile; once the endpoint is well, two probes let it in again."""
    failing, _ = rig.servers["breaker"]
    await failing.configure(faults=FAILING)
    assert await rig.ask("breaker", 12) == {500: 4, 200: 8}
    view = (await rig.gateway.admin.cluster(rule_cluster("breaker")))["failure_breaker"]
    address = f"127.0.0.1:{failing.port}"
    assert view["mode"] == "Enforce"
    assert (view["endpoints"][address]["state"], view["endpoints"][address]["opened"]) == ("open", 1)
    await failing.configure(faults=[])

    async def closed() -> bool:
        assert await rig.ask("breaker") == {200: 1}
        labels = {"cluster": rule_cluster("breaker"), "endpoint": address, "state": "closed"}
        return await rig.gateway.admin.metric("mirrorgate_failure_breaker_state", **labels) == 1

    await rig.gateway.admin.until(closed, "the breaker does not close")
    for words in ("opens", "is half-open", "closes"):
        await rig.gateway.process.printed(f"{address}: the failure breaker {words}")


async def test_where_everything_fails_the_breaker_answers(rig: Rig) -> None:
    """503 at once with a reason and Retry-After, and nobody is asked; it recovers by its probes."""
    for server in rig.servers["outage"]:
        await server.configure(faults=FAILING)
    assert await rig.ask("outage", 4) == {500: 4}
    before = rig.asked("outage")
    answer = await rig.gateway.chat("outage.test")
    assert answer.status == 503
    assert dict(answer.head.headers)["retry-after"] == "1"
    assert "failure breaker is open" in answer.json()["error"]["message"]
    assert rig.asked("outage") == before
    labels = {"cluster": rule_cluster("outage"), "reason": "breaker_open"}
    assert await rig.gateway.admin.metric("mirrorgate_breaker_rejected_total", **labels) >= 1
    for server in rig.servers["outage"]:
        await server.configure(faults=[])

    async def well() -> bool:
        return await rig.ask("outage") == {200: 1}

    await rig.gateway.admin.until(well, "it does not recover")


async def test_a_dry_run_refuses_nothing(rig: Rig) -> None:
    """What it would have refused is counted."""
    for server in rig.servers["dry-run"]:
        await server.configure(faults=FAILING)
    assert await rig.ask("dry-run", 12) == {500: 12}
    labels = {"cluster": rule_cluster("dry-run"), "endpoint": "", "mode": "MetricsOnly"}
    assert await rig.gateway.admin.metric("mirrorgate_failure_breaker_refused_total", **labels) == 8
    assert await rig.gateway.admin.metric("mirrorgate_failure_breaker_opened_total", **labels) == 1


async def test_the_policy_is_accepted(rig: Rig) -> None:
    """Its status says so."""
    resources = (await rig.gateway.admin.page("/resources"))["resources"]
    found = [each for each in resources if each["kind"] == "FailureBreakerPolicy"]
    assert len(found) == len(BREAKERS)
    for each in found:
        [ancestor] = each["status"]["ancestors"]
        assert [(c["type"], c["status"]) for c in ancestor["conditions"]] == [("Accepted", "True")]
