"""Retries through a real gateway process, before fake model servers that fail on cue; in the end nothing is held.

One gateway has a route with two servers, or one, for each case. `/clusters` counts connections in use, what waits, what
is under way and what is retried; after each case all but idle connections is zero again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.clients import Answer, Client, request_bytes
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.in_loop import until
from mirrorgate.testing.manifests import backend, gateway, http_route, reference, rule_cluster, traffic_policy
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

SOON: dict[str, Any] = {"backOff": {"baseInterval": "1ms"}}
NEVER: dict[str, Any] = {"backOff": {"baseInterval": "600s"}}
ANY: dict[str, Any] = {"triggers": ["5xx", "reset", "connect-failure"]}
CASES: dict[str, dict[str, Any]] = {
    "status": {"retry": {"perRetry": SOON}},
    "exhausted": {"retry": {"perRetry": SOON}},
    "reset": {"retry": {"retryOn": ANY, "perRetry": SOON}},
    "garbage": {"retry": {"retryOn": ANY, "perRetry": SOON}},
    "stale": {"retry": {"retryOn": ANY, "perRetry": SOON}},
    "hang": {"retry": {"retryOn": ANY, "perRetry": {"timeout": "200ms", **SOON}}},
    "hang-always": {"retry": {"numRetries": 1, "retryOn": ANY, "perRetry": {"timeout": "100ms", **SOON}}},
    "dead": {"retry": {"perRetry": SOON}, "loadBalancer": {"type": "RoundRobin"}},
    "all-dead": {"retry": {"perRetry": SOON}},
    "stream": {"retry": {"retryOn": ANY, "perRetry": SOON}},
    "told": {"retry": {"perRetry": SOON}},
    "load": {"retry": {"perRetry": SOON}},
    "left": {"retry": {"perRetry": NEVER}},
    "timeout": {"retry": {"perRetry": NEVER}, "timeout": {"http": {"requestTimeout": "200ms"}}},
    "overflow": {"retry": {"perRetry": SOON}, "circuitBreaker": {"maxParallelRetries": 0}},
    "budget": {
        "retry": {"perRetry": SOON},
        "circuitBreaker": {"retryBudget": {"percent": {"numerator": 0}, "minRetryConcurrency": 0}},
    },
    "duration": {
        "retry": {"numRetries": 1, "retryOn": ANY, "perRetry": SOON},
        "timeout": {"http": {"maxStreamDuration": "100ms"}},
    },
}
RETRIED = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "


@dataclass(frozen=True, slots=True)
class Case:
    """One route with its two servers."""

    name: str
    servers: tuple[FakeModelServer, FakeModelServer]
    gateway: RunningGateway

    @property
    def received(self) -> int:
        """How many requests the servers have got."""
        return sum(len(server.requests) for server in self.servers)

    async def fail(self, *faults: str) -> None:
        """Let both servers fail, each by these faults."""
        for server in self.servers:
            await server.configure(faults=list(faults))

    async def chat(self, **body: Any) -> Answer:
        return await self.gateway.chat(f"{self.name}.test", **body)

    async def sent(self, **body: Any) -> Client:
        client = await self.gateway.connect()
        await client.send(request_bytes("POST", CHAT, [("host", f"{self.name}.test")], chat_body(**body)))
        return client

    async def counted(self, name: str) -> float:
        """Return a counter of Envoy's for the cluster."""
        return await self.gateway.admin.metric(
            f"envoy_cluster_upstream_rq_{name}", envoy_cluster_name=rule_cluster(self.name)
        )

    async def uses(self, **wanted: int) -> None:
        """Wait until `/clusters` counts this."""

        async def holds() -> bool:
            used = await self.gateway.admin.used(rule_cluster(self.name))
            return all(used[name] == count for name, count in wanted.items())

        await self.gateway.admin.until(holds, f"{self.name} does not come to use {wanted}")

    async def free(self) -> None:
        """Wait until nothing is held, and see that the next request gets through."""
        await self.uses(parallel=0, pending=0, retries=0)
        for server in self.servers:
            server.release()
            await server.configure(faults=[])
        assert (await self.chat()).status == 200
        await self.uses(parallel=0, pending=0, retries=0)


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    log: Path
    """The access log."""
    servers: dict[str, tuple[FakeModelServer, FakeModelServer]]

    def case(self, name: str) -> Case:
        return Case(name, self.servers[name], self.gateway)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One gateway with a route for each case."""
    behaviour = Behaviour(answer="one two three four five")
    async with contextlib.AsyncExitStack() as stack:
        port = free_port()
        objects = gateway(port)
        servers = {}
        for name, policy in CASES.items():
            one = await stack.enter_async_context(FakeModelServer(behaviour))
            two = await stack.enter_async_context(FakeModelServer(behaviour))
            servers[name] = one, two
            objects += [backend(name, one.port, two.port), http_route(name, reference(name))]
            objects.append(traffic_policy(name, **policy))
        folder = tmp_path_factory.mktemp("retries")
        config, log = folder / "gateway.yaml", folder / "access.log"
        write_manifests(config, objects)
        options = {"gateway_access_log": str(log)}
        running = await stack.enter_async_context(running_gateway(config, port, options=options))
        yield Rig(running, log, servers)


async def test_an_error_before_an_answer(rig: Rig) -> None:
    """503 at both servers, then 200: one answer, two retries, and the counters of Envoy."""
    case = rig.case("status")
    await case.fail("error_status; status=503; times=1")
    assert (await case.chat()).status == 200
    assert case.received == 3
    assert (await case.counted("retry"), await case.counted("retry_success")) == (2, 1)
    await case.free()


async def test_a_model_that_does_not_recover(rig: Rig) -> None:
    """The last answer is vLLM's own, and `retry_limit_exceeded` tells of it."""
    case = rig.case("exhausted")
    await case.fail("error_status; status=503")
    answer = await case.chat()
    assert answer.status == 503
    assert answer.json()["error"]["code"] == 503
    assert (case.received, await case.counted("retry_limit_exceeded")) == (3, 1)
    await case.free()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("reset", "reset_before_headers; times=1"),
        ("garbage", "garbage; times=1"),
        ("stale", "stale_keep_alive; times=1"),
        ("hang", "hang_before_headers; times=1"),
    ],
)
async def test_what_breaks_before_the_head(rig: Rig, name: str, fault: str) -> None:
    """Both servers fail once: the third try is answered, whole and once."""
    case = rig.case(name)
    assert {(await case.chat()).status for _ in range(3)} == {200}
    await case.fail(fault)
    answer = await case.chat(stream=True)
    assert answer.status == 200
    assert answer.events()[-1] == "[DONE]"
    await case.free()


async def test_what_hangs_in_every_try(rig: Rig) -> None:
    """A 504 after as many timeouts as there are tries, and the servers' connections are closed."""
    case = rig.case("hang-always")
    await case.fail("hang_before_headers")
    answer = await case.chat()
    assert (answer.status, answer.body.decode()) == (504, "upstream request timeout")
    assert case.received == 2
    assert await case.counted("timeout") == 1
    await case.free()


async def test_one_of_two_servers_is_dead(rig: Rig) -> None:
    """Every request succeeds, streams too, however often the dead one is asked first."""
    case = rig.case("dead")
    await case.servers[0].configure(faults=["refuse"])
    answers = [await case.chat(stream=turn % 2 == 0) for turn in range(10)]
    assert {answer.status for answer in answers} == {200}
    assert len(case.servers[1].requests) == 10
    assert await case.counted("retry") == await case.counted("retry_success") >= 5
    dead = f"127.0.0.1:{case.servers[0].port}"
    blamed = await rig.gateway.admin.metric(
        "mirrorgate_endpoint_retried_total", endpoint=dead, reason="connect_failure"
    )
    assert blamed == await case.counted("retry")
    await case.free()


async def test_all_servers_are_dead(rig: Rig) -> None:
    """The text says that it was tried again."""
    case = rig.case("all-dead")
    await case.fail("refuse")
    answer = await case.chat()
    assert (answer.status, answer.body.decode()) == (503, RETRIED + "remote connection failure")
    await case.free()


@pytest.mark.parametrize("fault", ["reset_mid_stream", "close_mid_body", "error_event"])
async def test_a_stream_that_has_begun_is_not_repeated(rig: Rig, fault: str) -> None:
    """The client has tokens already: it sees the break, and the server gets one request."""
    case = rig.case("stream")
    before = case.received
    await case.fail(fault)
    async with await case.sent(stream=True) as client:
        assert (await client.head()).status == 200
        with contextlib.suppress(Exception):
            while await client.chunk() is not None:
                pass
    await case.uses(parallel=0)
    assert case.received == before + 1
    await case.free()


async def test_every_request_of_many_gets_through(rig: Rig) -> None:
    """Sixty at once, over servers of which each fails a third: each is answered once, and nothing is left over."""
    case = rig.case("load")
    await case.fail("error_status; status=503; times=20")
    answers = await asyncio.gather(*(case.chat(max_tokens=3) for _ in range(60)))
    statuses = [answer.status for answer in answers]
    retried, exceeded = await case.counted("retry"), await case.counted("retry_limit_exceeded")
    assert (statuses.count(200), statuses.count(503)) == (60 - exceeded, exceeded)
    assert case.received == 60 + retried
    assert retried + exceeded == 40
    await case.free()


async def test_a_client_leaves_during_the_back_off(rig: Rig) -> None:
    """The place of its retry is free at once, and the server is not asked again."""
    case = rig.case("left")
    await case.fail("error_status; status=503")
    async with await case.sent():
        await case.uses(retries=1, parallel=0)
    await case.uses(retries=0)
    assert case.received == 1
    await case.free()


async def test_the_requests_time_ends_the_back_off(rig: Rig) -> None:
    """With the answer of a request that takes too long."""
    case = rig.case("timeout")
    await case.fail("error_status; status=503")
    answer = await case.chat()
    assert (answer.status, answer.body.decode()) == (504, "upstream request timeout")
    assert case.received == 1
    await case.free()


@pytest.mark.parametrize("name", ["overflow", "budget"])
async def test_no_place_for_a_retry(rig: Rig, name: str) -> None:
    """The server's own answer, at once, and the counter of Envoy."""
    case = rig.case(name)
    await case.fail("error_status; status=503")
    assert (await case.chat()).status == 503
    assert (case.received, await case.counted("retry_overflow")) == (1, 1)
    await case.free()


async def test_the_longest_stream_is_that_of_a_try(rig: Rig) -> None:
    """`maxStreamDuration` ends a try, as measured on Envoy, and the next has as long again."""
    case = rig.case("duration")
    await case.fail("hang_before_headers")
    answer = await case.chat()
    assert (answer.status, answer.body.decode()) == (504, "upstream max stream duration reached")
    assert case.received == 2
    await case.uses(parallel=0, pending=0, retries=0)


async def test_what_was_sent_again_is_told(rig: Rig) -> None:
    """The access log counts the tries and has Envoy's flags."""
    case = rig.case("told")
    await case.fail("error_status; status=503")
    assert (await case.chat()).status == 503
    await case.free()

    def told() -> list[tuple[str, int]]:
        lines = [json.loads(line) for line in rig.log.read_text().splitlines()]
        mine = [line for line in lines if line[":authority"] == "told.test"]
        return [(line["response_flags"], line["attempts"]) for line in mine]

    await until(lambda: len(told()) == 2, what="the access log has both lines")
    assert told() == [("URX", 3), ("-", 1)]
