"""Requests that wait for a saturated pool: their turn, their time, and how they leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mirrorgate.admission.flow_queue import QueueLimits
from mirrorgate.errors import Refusal
from mirrorgate.events import FlowControlled
from mirrorgate.proxy.dataplane import Settings
from mirrorgate.scheduling.endpoints import EndpointHealth, Load
from mirrorgate.testing.backends import answering, response_bytes
from mirrorgate.testing.clients import Client, request_bytes
from mirrorgate.testing.gateways import CHAT, chat_body
from mirrorgate.testing.in_loop import until

Run = Callable[..., Awaitable[Any]]

OK = answering(response_bytes(body=b"ok"))
BATCH = (
    "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceObjective\nmetadata: {name: %s}\n"
    "spec: {priority: %s, poolRef: {name: server}}"
)
OBJECTIVES = (BATCH % ("low", -1), BATCH % ("high", 2))


async def start(run: Run, requests: int = 9, seconds: float = 60.0) -> Any:
    """Start a gateway with a queue before a pool of one server, which is saturated."""
    settings = Settings(queue=QueueLimits(requests, 10_000, seconds))
    running = await run(OK, pool=True, settings=settings, texts=OBJECTIVES)
    report(running, 9)
    return running


def report(running: Any, waiting: int) -> None:
    """Let the server report a queue."""
    load = Load(waiting=waiting, at=asyncio.get_running_loop().time())
    running.gateway._loads[f"127.0.0.1:{running.backend.port}"] = EndpointHealth(load)


def waiting(running: Any) -> int:
    return sum(len(queue) for _, queue in running.gateway.plane.flow_control.queues())


async def asking(running: Any, *fields: tuple[str, str]) -> Client:
    """Send a request from a client of its own, and wait until it waits."""
    before = waiting(running)
    client: Client = await running.client()
    await client.send(request_bytes("POST", CHAT, [("host", "h"), *fields], chat_body()))
    await until(lambda: waiting(running) == before + 1)
    return client


def outcomes(running: Any) -> list[tuple[int, str]]:
    return [(e.priority, e.outcome) for e in running.gateway.events if isinstance(e, FlowControlled)]


def objective(name: str) -> tuple[str, str]:
    return "x-gateway-inference-objective", name


async def test_who_waits_goes_on_when_there_is_room(run: Run) -> None:
    """By priority, as many as the server could take; the rest waits on. The wait is no work of the gateway's."""
    running = await start(run)
    clients = [await asking(running, objective(name)) for name in ("low", "low", "high", "none")]
    report(running, 4)
    assert [(await client.answer()).status for client in clients] == [200] * 4
    assert [priority for priority, _ in outcomes(running)] == [2, 0, -1, -1]
    assert {outcome for _, outcome in outcomes(running)} == {"dispatched"}
    assert waiting(running) == 0
    done = await running.done(4)
    assert done.queued > 0.01
    assert done.overhead is not None
    assert done.overhead < done.duration - 0.01


async def test_nothing_waits_while_there_is_room(run: Run) -> None:
    """Requests of any priority go straight on, and no queue is made."""
    running = await start(run)
    report(running, 5)
    client = await running.client()
    answer = await client.request("POST", CHAT, [("host", "h"), objective("low")], chat_body())
    assert answer.status == 200
    assert outcomes(running) == []


async def test_a_full_queue_refuses(run: Run) -> None:
    """Each priority has its own room; who is refused learns why."""
    running = await start(run, requests=1)
    await asking(running)
    client = await running.client()
    answer = await client.request("POST", CHAT, [("host", "h")], chat_body())
    assert answer.status == 429
    assert answer.head.header("x-llm-d-request-dropped-reason") == "rejected-saturated"
    await asking(running, objective("high"))
    assert outcomes(running) == [(0, "rejected_capacity")]
    report(running, 0)
    await running.gateway.exchanges(3)


async def test_time_runs_out(run: Run) -> None:
    """The oldest gets 429 with the reason of its own."""
    running = await start(run, seconds=0.05)
    client = await asking(running)
    answer = await client.answer()
    assert answer.status == 429
    assert answer.head.header("x-llm-d-request-dropped-reason") == "rejected-ttl-expired"
    assert answer.head.header("retry-after") == "1"
    assert (await running.done()).refusal == Refusal.SATURATED


async def test_a_client_that_leaves_frees_its_place(run: Run) -> None:
    """At once, and the server never hears of it."""
    running = await start(run, requests=1)
    client = await asking(running)
    client.abort()
    await until(lambda: not waiting(running))
    assert (await running.done()).refusal == Refusal.CLIENT_LEFT
    assert outcomes(running) == [(0, "client_left")]
    await asking(running)
    report(running, 0)
    await running.gateway.exchanges(2)


async def test_a_drain_sends_everybody_away(run: Run) -> None:
    """With the answer of a gateway that stops."""
    running = await start(run)
    clients = [await asking(running) for _ in range(2)]
    draining = asyncio.ensure_future(running.gateway.plane.drain())
    assert [(await client.answer()).status for client in clients] == [503, 503]
    assert await draining
    assert outcomes(running) == [(0, "drained")] * 2


async def test_a_pool_that_has_gone_does_not_hold_its_requests(run: Run) -> None:
    """What cannot be told of servers without metrics counts as room."""
    running = await start(run)
    client = await asking(running)
    running.gateway._loads.clear()
    assert (await client.answer()).status == 200


@pytest.mark.parametrize("priority", ["low", "high"])
async def test_without_a_queue_only_negative_priorities_are_refused(run: Run, priority: str) -> None:
    """The default: nothing waits."""
    running = await run(OK, pool=True, texts=OBJECTIVES)
    report(running, 9)
    client = await running.client()
    answer = await client.request("POST", CHAT, [("host", "h"), objective(priority)], chat_body())
    assert answer.status == (429 if priority == "low" else 200)
    assert outcomes(running) == []
