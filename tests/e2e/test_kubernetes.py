"""The gateway on a cluster, as a process against an API server: first configuration, changes, statuses, outages."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.testing.admin_client import AdminClient
from mirrorgate.testing.api_server import ApiServer
from mirrorgate.testing.clients import Client
from mirrorgate.testing.gateways import CHAT, chat_body
from mirrorgate.testing.manifests import backend, gateway, http_route, reference
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import Process, free_port, gateway_command

pytestmark = pytest.mark.e2e


@contextlib.asynccontextmanager
async def on_cluster(server: ApiServer, folder: Path, **options: str) -> AsyncIterator[tuple[Process, AdminClient]]:
    """Run a gateway that follows the server; it need not be ready."""
    admin_port = free_port()
    command = gateway_command("kubernetes", admin_port, options={"gateway_addresses": "10.0.0.1", **options})
    environment = {"KUBECONFIG": str(server.kubeconfig(folder)), "KUBERNETES_SERVICE_HOST": ""}
    async with Process(command, environment=environment) as process:
        await process.printed("admin server at")
        yield process, AdminClient(admin_port)


async def content(port: int, host: str = "chat.test") -> str:
    """Ask for a completion, and return what the model said, or the status."""
    async with await Client.connect(port) as client:
        answer = await client.request("POST", CHAT, [("host", host)], chat_body())
    return str(answer.json()["choices"][0]["message"]["content"]) if answer.status == 200 else str(answer.status)


def programmed(server: ApiServer, name: str = "gateway") -> dict[str, Any]:
    """Return the condition Programmed of a Gateway, empty while there is none."""
    conditions = server.store.get("Gateway", name).get("status", {}).get("conditions", [])
    return next((entry for entry in conditions if entry["type"] == "Programmed"), {})


async def test_a_cluster_is_served(tmp_path: Path) -> None:
    """Ready when the first complete list is compiled; changes within a second; an outage changes nothing."""
    port = free_port()
    async with (
        ApiServer() as server,
        FakeModelServer(Behaviour(answer="blue")) as blue,
        FakeModelServer(Behaviour(answer="green")) as green,
    ):
        server.forbidden.add("httproutes")
        server.store.apply(*gateway(port), backend("blue", blue.port), backend("green", green.port))
        server.store.apply(http_route("chat", reference("blue")))
        async with on_cluster(server, tmp_path) as (process, admin):
            await admin.until(lambda: _says(admin, 503, b"first complete list"), "ready before the first list")
            server.forbidden.clear()
            await admin.until(lambda: _says(admin, 200, b"ready"), lambda: process.text, 30)
            assert await content(port) == "blue"

            took = []
            for colour in ("green", "blue", "green"):
                server.store.apply(http_route("chat", reference(colour)))
                began = time.monotonic()
                while await content(port) != colour:
                    assert time.monotonic() - began < 10
                took.append(time.monotonic() - began)
            assert min(took) < 1.0

            await admin.until(lambda: _true(bool(programmed(server))), lambda: process.text)
            assert programmed(server)["status"] == "True"
            assert server.store.get("Gateway", "gateway")["status"]["addresses"] == [
                {"type": "IPAddress", "value": "10.0.0.1"}
            ]
            assert server.store.get("GatewayClass", "mirrorgate")["status"]["supportedFeatures"]
            assert await admin.metric("mirrorgate_leader") == 1

            server.away = True
            server.break_watches()
            await process.printed("again in")
            await admin.until(lambda: _older(admin, 1.0), "the age does not grow")
            assert await content(port) == "green"
            assert await _says(admin, 200, b"ready")
            server.store.apply(http_route("chat", reference("blue")))
            server.away = False
            await admin.until(lambda: _true_of(content(port), "blue"), lambda: process.text, 60)
        assert process.returncode == 0
        assert server.store.get("Lease", "mirrorgate.dev-gateway-controller")["spec"]["holderIdentity"] == ""


async def test_one_bad_gateway_harms_no_other(tmp_path: Path) -> None:
    """A port that cannot be bound, or is none, ends in the status of its Gateway; the rest serves and is ready."""
    port, taken = free_port(), free_port()
    async with ApiServer() as server, FakeModelServer(Behaviour(answer="blue")) as blue:
        occupying = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", taken + 0)
        async with occupying:
            server.store.apply(*gateway(port), backend("blue", blue.port), http_route("chat", reference("blue")))
            server.store.apply(gateway(taken, name="taken")[1])
            async with on_cluster(server, tmp_path) as (process, admin):
                await admin.until(lambda: _says(admin, 200, b"ready"), lambda: process.text, 30)
                assert await content(port) == "blue"
                await admin.until(lambda: _true(bool(programmed(server, "taken"))), lambda: process.text)
                assert programmed(server, "taken")["status"] == "False"
                assert "in use" in programmed(server, "taken")["message"]
                await admin.until(lambda: _true(programmed(server).get("status") == "True"), lambda: process.text)


async def test_without_a_cluster_it_says_so(tmp_path: Path) -> None:
    """And ends, as a gateway that can never have a configuration should."""
    command = gateway_command("kubernetes", free_port())
    environment = {"KUBECONFIG": str(tmp_path / "missing"), "KUBERNETES_SERVICE_HOST": ""}
    async with Process(command, environment=environment) as process:
        assert await process.wait(20) == 1
        assert "no usable kubeconfig" in process.text
        assert "Traceback" not in process.text


async def _says(admin: AdminClient, status: int, text: bytes) -> bool:
    answer = await admin.get("/ready")
    return answer.status == status and text in answer.body


async def _older(admin: AdminClient, age: float) -> bool:
    return await admin.metric("mirrorgate_config_source_age_seconds") > age


async def _true(value: bool) -> bool:
    return value


async def _true_of(asked: Any, wanted: str) -> bool:
    return bool(await asked == wanted)
