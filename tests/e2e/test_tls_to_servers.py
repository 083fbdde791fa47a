"""TLS to servers with a real process: who is believed, who is not, renewed authorities, and copies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from mirrorgate.testing.certificates import Authority
from mirrorgate.testing.clients import Answer
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import (
    Object,
    backend,
    backend_tls_policy,
    gateway,
    http_route,
    inference_pool,
    mirror_to,
    reference,
)
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

SAN = {"subjectAltNames": [{"type": "Hostname", "hostname": "model.test"}]}
OTHER_SAN = {"subjectAltNames": [{"type": "Hostname", "hostname": "other.test"}]}


@dataclass(slots=True)
class Rig:
    gateway: RunningGateway
    server: FakeModelServer
    candidate: FakeModelServer
    objects: list[Object]
    authority: Authority

    async def ask(self, host: str, *, stream: bool = False) -> Answer:
        async with await self.gateway.connect() as client:
            return await client.request("POST", CHAT, [("host", f"{host}.test")], chat_body(stream=stream))

    async def change(self, *objects: Object) -> None:
        """Put objects in the place of those of their names, and wait until they have taken effect."""
        for new in objects:
            key = (new["kind"], new["metadata"]["name"])
            self.objects[:] = [
                new if (each["kind"], each["metadata"]["name"]) == key else each for each in self.objects
            ]
        before = await self.gateway.admin.generation()
        write_manifests(self.gateway.config, self.objects)

        async def applied() -> bool:
            return await self.gateway.admin.generation() > before

        await self.gateway.admin.until(applied, "the change has not taken effect")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One server for `model.test` and 127.0.0.1 under many policies, each behind a route of its own."""
    authority, stranger = Authority(), Authority()
    context = authority.server("model.test", "127.0.0.1")
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(FakeModelServer(tls=context))
        candidate = await stack.enter_async_context(FakeModelServer(tls=context))
        port = free_port()
        names = ["good", "san", "wrong-name", "wrong-san", "stranger", "missing", "renewed", "none"]
        objects = [
            *gateway(port),
            authority.config_map("ours"),
            stranger.config_map("theirs"),
            authority.config_map("moving"),
            *(backend(name, server.port) for name in names),
            *(http_route(name, reference(name)) for name in names),
            backend_tls_policy("good", "model.test", "ours"),
            backend_tls_policy("san", "sni.test", "ours", **SAN),
            backend_tls_policy("wrong-name", "other.test", "ours"),
            backend_tls_policy("wrong-san", "model.test", "ours", **OTHER_SAN),
            backend_tls_policy("stranger", "model.test", "theirs"),
            backend_tls_policy("missing", "model.test", "nobody"),
            backend_tls_policy("renewed", "model.test", "moving"),
            *inference_pool("pool", server.port),
            backend_tls_policy("pool", "model.test", "ours", kind="InferencePool"),
            backend("candidate", candidate.port),
            http_route("pool", reference("pool", "InferencePool"), mirrors=[mirror_to("candidate")]),
        ]
        skip = backend("skip", server.port)
        skip["spec"]["tls"] = {"insecureSkipVerify": True}
        own = backend("own", server.port)
        own["spec"]["tls"] = {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ours"}]}
        objects += [skip, http_route("skip", reference("skip")), own, http_route("own", reference("own"))]
        copied = next(each for each in objects if each["kind"] == "Backend" and each["metadata"]["name"] == "candidate")
        copied["spec"]["tls"] = own["spec"]["tls"]
        config = Path(tmp_path_factory.mktemp("tls")) / "gateway.yaml"
        write_manifests(config, objects)
        running = await stack.enter_async_context(running_gateway(config, port))
        yield Rig(running, server, candidate, objects, authority)


@pytest.mark.parametrize("host", ["good", "san", "skip", "own", "pool"])
async def test_a_server_is_believed(rig: Rig, host: str) -> None:
    """By the policy's hostname or alternative names, by a Backend's own settings, or unseen where that is asked for."""
    answer = await rig.ask(host, stream=True)
    assert answer.status == 200
    assert answer.events()[-1] == "[DONE]"


@pytest.mark.parametrize("host", ["wrong-name", "wrong-san", "stranger", "none"])
async def test_a_server_is_not_believed(rig: Rig, host: str) -> None:
    """A certificate for somebody else or of somebody else, and clear text to a port of TLS: no request gets there."""
    before = len(rig.server.requests)
    answer = await rig.ask(host)
    assert answer.status in ((502, 503) if host == "none" else (503,))
    if host != "none":
        assert b"remote connection failure" in answer.body
    assert len(rig.server.requests) == before


async def test_without_authorities_nothing_is_sent(rig: Rig) -> None:
    """A policy whose ConfigMap is not there answers 500, and says why."""
    # Requests, not connections: the pool's endpoints are scraped all the while.
    before = len(rig.server.requests)
    assert (await rig.ask("missing")).status == 500
    assert len(rig.server.requests) == before
    [policy] = [
        each
        for each in (await rig.gateway.admin.page("/resources"))["resources"]
        if each["kind"] == "BackendTLSPolicy" and _name(each) == "missing"
    ]
    [ancestor] = policy["status"]["ancestors"]
    assert {each["type"]: each["reason"] for each in ancestor["conditions"]} == {
        "Accepted": "NoValidCACertificate",
        "ResolvedRefs": "InvalidCACertificateRef",
    }
    assert ancestor["ancestorRef"]["kind"] == "Gateway"


async def test_copies_are_sent_over_tls(rig: Rig) -> None:
    """A mirror's destination with TLS gets its copy, and the pair is compared."""
    assert (await rig.ask("pool", stream=True)).status == 200

    async def mirrored() -> bool:
        return len(await rig.gateway.admin.comparisons()) >= 1

    await rig.gateway.admin.until(mirrored, "nothing was compared")
    assert rig.candidate.requests


async def test_other_authorities_take_new_connections(rig: Rig) -> None:
    """Once another authority is trusted, a connection that was made under the old one carries nothing more."""
    assert (await rig.ask("renewed")).status == 200
    await rig.change({**Authority().config_map("moving")})
    assert (await rig.ask("renewed")).status == 503
    await rig.change(rig.authority.config_map("moving"))
    assert (await rig.ask("renewed")).status == 200


def _name(document: Object) -> str:
    name: str = document["metadata"]["name"]
    return name
