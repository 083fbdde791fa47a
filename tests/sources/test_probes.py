"""Probes against real sockets: what each kind makes of what a server does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mirrorgate.admission.checks import Outcome
from mirrorgate.health import CheckTarget
from mirrorgate.resources.endpoints import Address
from mirrorgate.resources.traffic_health import ActiveHealthCheck
from mirrorgate.sources.probes import Prober
from mirrorgate.testing.model_server.behaviour import Behaviour, Canned
from mirrorgate.testing.model_server.faults import Fault, FaultKind
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = pytest.mark.asyncio


class Probing:
    """A prober, and the outcomes in their order."""

    def __init__(self) -> None:
        self.outcomes: asyncio.Queue[tuple[CheckTarget, Outcome, str]] = asyncio.Queue()
        self.prober = Prober(lambda *told: self.outcomes.put_nowait(told), random.Random(1))

    def probe(self, port: int, **check: Any) -> CheckTarget:
        declared = ActiveHealthCheck.model_validate({"interval": "50ms", "timeout": "2s", **check})
        target = CheckTarget(Address("127.0.0.1", port), declared)
        self.prober.update([target])
        return target

    async def outcome(self) -> tuple[Outcome, str]:
        async with asyncio.timeout(10):
            _, outcome, reason = await self.outcomes.get()
        return outcome, reason


@asynccontextmanager
async def probing() -> AsyncIterator[Probing]:
    """Probe until the block ends, and see that no task is left."""
    rig = Probing()
    try:
        yield rig
    finally:
        await rig.prober.stop()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("probe ")]


def http(**more: Any) -> dict[str, Any]:
    return {"type": "HTTP", "http": {"path": "/health", **more}}


CANNED = {
    "/health": Canned(200, chunks=(b"fine, thank you",)),
    "/busy": Canned(503),
    "/teapot": Canned(418),
}


@pytest.mark.parametrize(
    ("check", "outcome", "reason"),
    [
        (http(), Outcome.PASSED, ""),
        (http(method="HEAD"), Outcome.PASSED, ""),
        (http(method="POST", requestBody={"type": "Text", "text": "hello"}), Outcome.PASSED, ""),
        (http(path="/busy"), Outcome.FAILED, "/busy answers 503"),
        (http(path="/busy", retriableStatuses=[503]), Outcome.RETRIABLE, "/busy answers 503"),
        (http(path="/teapot", expectedStatuses=[200, 418]), Outcome.PASSED, ""),
        (http(expectedStatuses=[204]), Outcome.FAILED, "/health answers 200"),
        (http(expectedResponse={"type": "Text", "text": "thank"}), Outcome.PASSED, ""),
        (http(expectedResponse={"type": "Binary", "binary": "dGhhbms="}), Outcome.PASSED, ""),
        (
            http(expectedResponse={"type": "Text", "text": "ill"}),
            Outcome.FAILED,
            "/health answers without the expected text",
        ),
        ({"type": "TCP", "tcp": {}}, Outcome.PASSED, ""),
        (
            {
                "type": "TCP",
                "tcp": {
                    "send": {"type": "Text", "text": "GET /health HTTP/1.0\r\n\r\n"},
                    "receive": {"type": "Text", "text": "fine"},
                },
            },
            Outcome.PASSED,
            "",
        ),
        (
            {
                "type": "TCP",
                "tcp": {
                    "send": {"type": "Text", "text": "GET /health HTTP/1.0\r\n\r\n"},
                    "receive": {"type": "Text", "text": "ill"},
                },
            },
            Outcome.FAILED,
            "the expected bytes were not received",
        ),
    ],
)
async def test_what_a_server_answers(check: dict[str, Any], outcome: Outcome, reason: str) -> None:
    """The status, then the text; a status of retriableStatuses is no verdict yet."""
    async with FakeModelServer(Behaviour(canned=CANNED)) as server, probing() as rig:
        rig.probe(server.port, **check)
        assert await rig.outcome() == (outcome, reason)
        assert await rig.outcome() == (outcome, reason)


async def test_host_and_path_are_the_checks() -> None:
    """The address is Host where none is named; the connection is kept from probe to probe."""
    async with FakeModelServer(Behaviour(quiet_paths=())) as server, probing() as rig:
        rig.probe(server.port, **http(path="/health?deep=1", hostname="llm.test"))
        for _ in range(3):
            assert await rig.outcome() == (Outcome.PASSED, "")
        seen = server.requests[0]
        assert (seen.method, seen.target) == ("GET", "/health?deep=1")
        assert ("host", "llm.test") in seen.headers
        assert server.connections_made == 1


async def test_a_server_that_is_silent_or_gone() -> None:
    """A hung one is given up after the timeout; both count as no answer."""
    hang = Behaviour(faults=(Fault(FaultKind.HANG_BEFORE_HEADERS, path="/health"),))
    async with FakeModelServer(hang) as server, probing() as rig:
        rig.probe(server.port, timeout="50ms", **http())
        assert await rig.outcome() == (Outcome.SILENT, "no complete answer in 0.05 s")
        await server.configure(faults=[])
        while (told := await rig.outcome())[0] is not Outcome.PASSED:
            assert told[0] is Outcome.SILENT
    for check in (http(), {"type": "TCP", "tcp": {}}, {"type": "GRPC"}):
        async with probing() as rig:
            rig.probe(free_port(), **check)
            outcome, reason = await rig.outcome()
            assert outcome is Outcome.SILENT
            assert reason


async def test_what_is_probed_no_more_is_not_told() -> None:
    """A target that stays keeps its task and connection, one that leaves loses them."""
    async with FakeModelServer() as one, FakeModelServer() as two, probing() as rig:
        stays = rig.probe(one.port, **http())
        goes = CheckTarget(Address("127.0.0.1", two.port), stays.check)
        rig.prober.update([stays, goes])
        while not (one.connections_made and two.connections_made):
            await rig.outcome()
        rig.prober.update([stays])
        await two.until(lambda: not two.connections)
        assert one.connections_made == 1


@pytest.mark.parametrize(
    ("service", "answer", "outcome"),
    [
        (None, b"\x08\x01", Outcome.PASSED),
        ("llm", b"\x08\x01", Outcome.PASSED),
        ("llm", b"\x08\x02", Outcome.FAILED),
        ("llm", b"", Outcome.FAILED),
        ("other", None, Outcome.FAILED),
    ],
)
async def test_grpc_health(service: str | None, answer: bytes | None, outcome: Outcome) -> None:
    """SERVING passes; anything else, and a service that is not known, is an answer that fails."""
    import grpc.aio

    asked: list[bytes] = []

    async def check(request: bytes, context: Any) -> bytes:
        asked.append(request)
        if answer is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return answer or b""

    handler = grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    rig = Probing()
    try:
        rig.probe(port, type="GRPC", **({"grpc": {"service": service}} if service else {}))
        assert (await rig.outcome())[0] is outcome
        assert asked[0] == (b"" if service is None else b"\x0a" + bytes((len(service),)) + service.encode())
    finally:
        await rig.prober.stop()
        await server.stop(None)
