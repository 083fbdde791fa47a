"""Changed manifests: a good edit takes effect whole and soon, a bad one changes nothing and says why."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mirrorgate.testing.clients import Client, WireError
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import Object, backend, gateway, http_route, reference
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = pytest.mark.e2e


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    blue: FakeModelServer
    green: FakeModelServer

    def objects(self, colour: str, *ports: int) -> list[Object]:
        """Return a configuration whose one route leads to a server, on listeners of these ports."""
        servers = [backend("blue", self.blue.port), backend("green", self.green.port)]
        return [*gateway(*(ports or (self.gateway.port,))), *servers, http_route("chat", reference(colour))]

    async def colour(self, client: Client) -> str:
        """Ask which server answers."""
        answer = await client.request("POST", CHAT, [("host", "chat.test")], chat_body())
        return str(answer.json()["choices"][0]["message"]["content"])


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Rig]:
    """Run a gateway whose route leads to the blue server."""
    config, port = folder / "gateway.yaml", free_port()
    async with FakeModelServer(Behaviour(answer="blue")) as blue, FakeModelServer(Behaviour(answer="green")) as green:
        objects = [*gateway(port), backend("blue", blue.port), http_route("chat", reference("blue"))]
        write_manifests(config, objects)
        async with running_gateway(config, port) as started:
            yield Rig(started, blue, green)


async def test_a_good_edit_takes_effect_under_load(tmp_path: Path) -> None:
    """Every request gets blue or green and none an error; after the change all get green, running streams end whole."""
    async with running(tmp_path) as rig, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await rig.gateway.connect()) for _ in range(4)]
        stream = await stack.enter_async_context(await rig.gateway.connect())
        headers = [("host", "chat.test"), ("x-fake-fault", "hang_mid_stream; after=2")]
        streaming = asyncio.ensure_future(stream.request("POST", CHAT, headers, chat_body(stream=True)))
        await rig.blue.until(lambda: rig.blue.hanging == 1)
        seen: list[list[str]] = [[] for _ in clients]
        served = [asyncio.Event() for _ in clients]

        async def load(number: int) -> None:
            while seen[number][-3:] != ["green"] * 3:
                seen[number].append(await rig.colour(clients[number]))
                served[number].set()

        loads = [asyncio.ensure_future(load(number)) for number in range(len(clients))]
        await asyncio.gather(*(each.wait() for each in served))
        write_manifests(rig.gateway.config, rig.objects("green"))
        async with asyncio.timeout(10):
            await asyncio.gather(*loads)
        for colours in seen:
            assert set(colours) == {"blue", "green"}
            assert sorted(colours) == colours, "once green, never blue again"
        rig.blue.release()
        assert (await streaming).events()[-1] == "[DONE]"
        assert await rig.gateway.admin.generation() == 2
        assert any("generation 2 takes effect" in line for line in rig.gateway.process.output)


async def test_an_edit_takes_effect_within_a_second(tmp_path: Path) -> None:
    """Measured from the write to the first request that is answered by the new configuration, best of five."""
    async with running(tmp_path) as rig, await rig.gateway.connect() as client:
        loop, took = asyncio.get_running_loop(), []
        for colour in ("green", "blue", "green", "blue", "green"):
            write_manifests(rig.gateway.config, rig.objects(colour))
            began = loop.time()
            while await rig.colour(client) != colour:
                assert loop.time() - began < 10
            took.append(loop.time() - began)
        assert min(took) < 1.0


async def test_a_bad_edit_changes_nothing_and_says_so(tmp_path: Path) -> None:
    """All problems are in the log with their places; the old configuration goes on, and the next good one is taken."""
    async with running(tmp_path) as rig, await rig.gateway.connect() as client:
        bad = rig.objects("green")
        bad[-1]["spec"]["hostname"] = ["chat.test"]
        bad[1]["spec"]["listeners"][0]["port"] = 99999
        write_manifests(rig.gateway.config, bad)
        process = rig.gateway.process
        await process.printed(_refused)
        errors = [line for line in process.output if "gateway.yaml:" in line and "error:" in line]
        assert len(errors) == 2
        assert any("hostnames" in line for line in errors), "the nearest name is suggested"
        assert any("99999" in line for line in errors)
        assert await rig.colour(client) == "blue"
        assert await rig.gateway.admin.generation() == 1
        rig.gateway.config.write_text("{ this is no YAML")
        await process.printed(lambda line: _refused(line) and sum(map(_refused, process.output)) == 2)
        rig.gateway.config.unlink()
        await process.printed("does not exist")
        assert await rig.colour(client) == "blue"
        write_manifests(rig.gateway.config, rig.objects("green"))
        await process.printed("configuration generation")
        assert await rig.colour(client) == "green"


async def test_a_listener_is_added_and_removed(tmp_path: Path) -> None:
    """The new port serves, the old one ends what it has and takes no more; a port that is taken is a condition."""
    async with running(tmp_path) as rig:
        old, new = rig.gateway.port, free_port()
        async with await rig.gateway.connect() as client:
            assert await rig.colour(client) == "blue"
            write_manifests(rig.gateway.config, rig.objects("green", old, new))
            async with await _until_open(new) as other:
                assert await rig.colour(other) == "green"
            write_manifests(rig.gateway.config, rig.objects("blue", new))
            await _until_closed(old)
            async with await Client.connect(new) as other:
                assert await rig.colour(other) == "blue"
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            write_manifests(rig.gateway.config, rig.objects("green", new, taken.getsockname()[1]))

            async def complained() -> bool:
                answer = await rig.gateway.admin.get("/ready")
                return answer.status == 503 and b"in use" in answer.body

            await rig.gateway.admin.until(complained, "/ready does not tell of the port that is taken")
            async with await Client.connect(new) as other:
                assert await rig.colour(other) == "green"
            assert rig.gateway.process.returncode is None


def _refused(line: str) -> bool:
    return "the changed configuration is refused" in line and "generation 1 goes on serving" in line


async def _until_open(port: int) -> Client:
    async with asyncio.timeout(10):
        while True:
            try:
                return await Client.connect(port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


async def _until_closed(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                async with await Client.connect(port) as client:
                    await client.request("GET", "/v1/models", [("host", "chat.test")])
            except ConnectionRefusedError:
                return
            except (ConnectionError, WireError):
                pass  # accepted by the kernel as the listener closed
            await asyncio.sleep(0.02)


async def test_an_address_of_mitmproxys_own_is_a_listener_that_cannot_bind(tmp_path: Path) -> None:
    """It is said once, the other listeners are served, and the next edit takes effect."""
    config, port, stock, free = tmp_path / "gateway.yaml", free_port(), free_port(), free_port()
    async with FakeModelServer(Behaviour(answer="blue")) as blue:
        rest = [backend("blue", blue.port), http_route("chat", reference("blue"))]
        write_manifests(config, [*gateway(port), *rest])
        async with running_gateway(config, port, options={"mode": f"regular@127.0.0.1:{stock}"}) as running:
            write_manifests(config, [*gateway(port, stock, free), *rest])
            await running.process.printed("generation 2 takes effect")
            for each in (port, free):
                async with await _until_open(each) as client:
                    answer = await client.request("POST", CHAT, [("host", "chat.test")], chat_body())
                    assert answer.json()["choices"][0]["message"]["content"] == "blue"
            write_manifests(config, [*gateway(port), *rest])
            await running.process.printed("generation 3 takes effect")
            said = [line for line in running.process.output if "cannot bind" in line]
            assert len(said) == 1, running.process.text
            assert f"its address is that of mitmproxy's mode regular@127.0.0.1:{stock}" in said[0]
