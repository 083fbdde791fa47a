"""Who holds a place under `maxParallelRequests: 1` and `maxPendingRequests: 1`, and until when, as measured on Envoy.

One gateway has a route and a server for each case. A place that is free shows twice: `/clusters` counts nothing, and
the next request is answered 200.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.clients import Client, WireError, request_bytes
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, reference, rule_cluster, traffic_policy
from mirrorgate.testing.model_server.behaviour import Behaviour, Canned
from mirrorgate.testing.model_server.received import Ending
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

TUTORIAL: dict[str, Any] = {"maxPendingRequests": 1, "maxParallelRequests": 1}
QUEUE = TUTORIAL | {"maxConnections": 1}
LARGE = 8 * 1024 * 1024
CASES: dict[str, dict[str, Any]] = {
    "stream": {"circuitBreaker": TUTORIAL},
    "unread": {"circuitBreaker": TUTORIAL},
    "left-early": {"circuitBreaker": TUTORIAL},
    "left-in-stream": {"circuitBreaker": TUTORIAL},
    "left-queue": {"circuitBreaker": QUEUE},
    "left-upload": {"circuitBreaker": TUTORIAL},
    "cut": {"circuitBreaker": TUTORIAL},
    "reset": {"circuitBreaker": TUTORIAL},
    "timeout": {"circuitBreaker": TUTORIAL, "timeout": {"http": {"requestTimeout": "300ms"}}},
    "timeout-in-stream": {"circuitBreaker": TUTORIAL, "timeout": {"http": {"requestTimeout": "300ms"}}},
    "timeout-in-queue": {"circuitBreaker": QUEUE, "timeout": {"http": {"requestTimeout": "600ms"}}},
    "early": {"circuitBreaker": TUTORIAL},
    "refused": {"circuitBreaker": TUTORIAL},
}


@dataclass(frozen=True, slots=True)
class Case:
    """One route with its server."""

    name: str
    server: FakeModelServer
    gateway: RunningGateway

    def bytes(self, fault: str = "", **body: Any) -> bytes:
        """Return a request that meets a fault."""
        headers = [("host", f"{self.name}.test")] + ([("x-fake-fault", fault)] if fault else [])
        return request_bytes("POST", CHAT, headers, chat_body(**body))

    async def sent(self, fault: str = "", **body: Any) -> Client:
        """Send a request over a connection of its own, and return the connection."""
        client = await self.gateway.connect()
        await client.send(self.bytes(fault, **body))
        return client

    async def status(self) -> int:
        """Send a request that nothing holds up, and return its status."""
        return (await self.gateway.chat(f"{self.name}.test")).status

    async def used(self, **wanted: int) -> None:
        """Wait until `/clusters` counts this."""

        async def holds() -> bool:
            used = await self.gateway.admin.used(rule_cluster(self.name))
            return all(used[name] == count for name, count in wanted.items())

        await self.gateway.admin.until(holds, f"{self.name} does not come to use {wanted}")

    async def free(self) -> None:
        """Wait until nothing is held, and see that the next request gets through."""
        await self.used(parallel=0, pending=0)
        assert await self.status() == 200


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    servers: dict[str, FakeModelServer]

    def case(self, name: str) -> Case:
        return Case(name, self.servers[name], self.gateway)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One gateway with a route for each case."""
    behaviour = Behaviour(answer="one two three four five", canned={"/large": Canned(chunks=(bytes(LARGE),))})
    async with contextlib.AsyncExitStack() as stack:
        port = free_port()
        objects = gateway(port)
        servers = {}
        for name, policy in CASES.items():
            servers[name] = await stack.enter_async_context(FakeModelServer(behaviour))
            objects += [backend(name, servers[name].port), http_route(name, reference(name))]
            objects.append(traffic_policy(name, **policy))
        config = tmp_path_factory.mktemp("slots") / "gateway.yaml"
        write_manifests(config, objects)
        yield Rig(await stack.enter_async_context(running_gateway(config, port)), servers)


async def test_a_stream_holds_its_place_to_its_last_byte(rig: Rig) -> None:
    """503 while it runs, 200 right after."""
    case = rig.case("stream")
    async with await case.sent("hang_mid_stream; after=3", stream=True) as client:
        assert (await client.head()).status == 200
        await case.server.until(lambda: case.server.hanging == 1)
        assert await case.status() == 503
        case.server.release()
        while await client.chunk() is not None:
            pass
        assert await case.status() == 200


async def test_an_answer_holds_its_place_until_the_client_has_read_it(rig: Rig) -> None:
    """The server has long answered; the client takes its time."""
    case = rig.case("unread")
    async with await rig.gateway.connect(receive_buffer=4096) as client:
        client.stop_reading()
        await client.send(request_bytes("GET", "/large", [("host", "unread.test")]))
        await case.server.until(lambda: bool(case.server.requests and case.server.requests[0].answered))
        assert await case.status() == 503
        client.resume_reading()
        assert len((await client.answer()).body) == LARGE
    await case.free()


async def test_a_client_that_leaves_before_the_answer_frees_its_place(rig: Rig) -> None:
    """The server's connection is closed at once."""
    case = rig.case("left-early")
    async with await case.sent("hang_before_headers"):
        await case.server.until(lambda: case.server.hanging == 1)
        assert await case.status() == 503
    await case.server.until(lambda: case.server.requests[0].ending is Ending.CLIENT_LEFT)
    await case.free()


async def test_a_client_that_leaves_a_stream_frees_its_place(rig: Rig) -> None:
    """By a reset, too."""
    case = rig.case("left-in-stream")
    client = await case.sent("hang_mid_stream; after=3", stream=True)
    await client.head()
    await case.server.until(lambda: case.server.hanging == 1)
    client.abort()
    await case.server.until(lambda: case.server.requests[0].ending is Ending.CLIENT_LEFT)
    await case.free()


async def test_a_client_that_leaves_the_queue_frees_its_place_there(rig: Rig) -> None:
    """The server never sees its request; the next one takes the place."""
    case = rig.case("left-queue")
    async with await case.sent("hang_before_headers") as first:
        await case.server.until(lambda: case.server.hanging == 1)
        async with await case.sent(user="leaves"):
            await case.used(pending=1)
            assert await case.status() == 503
        await case.used(pending=0)
        async with await case.sent(user="stays") as third:
            await case.used(pending=1)
            case.server.release()
            assert (await first.answer("POST")).status == 200
            assert (await third.answer("POST")).status == 200
    assert [b"leaves" in request.body for request in case.server.requests] == [False, False]
    await case.free()


async def test_a_client_that_leaves_its_upload_holds_nothing(rig: Rig) -> None:
    """A body that is still awaited is not admitted."""
    case = rig.case("left-upload")
    async with await rig.gateway.connect() as client:
        await client.send(case.bytes()[:-20])
    await case.free()


@pytest.mark.parametrize(
    ("name", "fault"), [("cut", "close_mid_body; after=3"), ("reset", "reset_mid_stream; after=3")]
)
async def test_a_server_that_breaks_a_stream_frees_the_place(rig: Rig, name: str, fault: str) -> None:
    """The client's stream is cut, too: it must not look whole."""
    case = rig.case(name)
    async with await case.sent(fault, stream=True) as client:
        with pytest.raises((WireError, ConnectionError)):
            await client.answer("POST")
    await case.free()


async def test_a_request_timeout_frees_the_place(rig: Rig) -> None:
    """504 in Envoy's words, and the server's connection is closed."""
    case = rig.case("timeout")
    async with await case.sent("hang_before_headers") as client:
        answer = await client.answer("POST")
    assert (answer.status, answer.body) == (504, b"upstream request timeout")
    await case.server.until(lambda: case.server.requests[0].ending is Ending.CLIENT_LEFT)
    await case.free()


async def test_a_request_timeout_inside_a_stream_frees_the_place(rig: Rig) -> None:
    """Nothing can be said any more: the stream is cut."""
    case = rig.case("timeout-in-stream")
    async with await case.sent("hang_mid_stream; after=3", stream=True) as client:
        with pytest.raises((WireError, ConnectionError)):
            await client.answer("POST")
    await case.server.until(lambda: case.server.requests[0].ending is Ending.CLIENT_LEFT)
    await case.free()


async def test_a_request_timeout_in_the_queue_and_after_it(rig: Rig) -> None:
    """Time in the queue counts; whoever waits behind a timeout gets a connection of its own."""
    case = rig.case("timeout-in-queue")
    async with await case.sent("hang_before_headers") as first:
        await case.server.until(lambda: case.server.hanging == 1)
        await asyncio.sleep(0.2)  # the second one's time ends so much later
        async with await case.sent() as second:
            await case.used(pending=1)
            assert (await first.answer("POST")).status == 504
            assert (await second.answer("POST")).status == 200
    async with await case.sent("hang_mid_stream; after=3", stream=True) as running:
        await running.head()
        async with await case.sent() as waiting:
            await case.used(pending=1)
            running.abort()
            assert (await waiting.answer("POST")).status == 200
    assert len({request.connection for request in case.server.requests}) == 3
    await case.free()


async def test_an_answer_before_the_upload_ends_frees_the_place(rig: Rig) -> None:
    """The client gets it at once, with `connection: close`, though its body is not complete."""
    case = rig.case("early")
    async with await rig.gateway.connect() as client:
        headers = [
            ("host", "early.test"),
            ("content-length", str(LARGE)),
            ("x-fake-fault", "early_response; status=400"),
        ]
        await client.send(request_bytes("POST", "/v1/files", headers, bytes(2 * 1024 * 1024)))
        answer = await client.answer("POST")
    assert (answer.status, answer.head.header("connection")) == (400, "close")
    await case.free()


async def test_a_server_that_is_gone_holds_nothing(rig: Rig) -> None:
    """A refused connection is 503 in Envoy's words, as often as one likes."""
    case = rig.case("refused")
    await case.server.configure(faults=["refuse"])
    for _ in range(3):
        answer = await rig.gateway.chat("refused.test")
        assert answer.status == 503
        assert answer.body.endswith(b"reset reason: remote connection failure")
    await case.server.configure(faults=[])
    await case.free()
