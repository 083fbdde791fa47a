"""HTTPS with a real process: curl, certificates that are renewed in the file, and keys that nobody gets to see."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from mirrorgate.testing.certificates import Authority
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.http2_client import Http2Client
from mirrorgate.testing.manifests import (
    Object,
    backend,
    http_route,
    https_gateway,
    inference_pool,
    mirror_cluster,
    mirror_to,
    reference,
)
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@dataclass(slots=True)
class Rig:
    gateway: RunningGateway
    authority: Authority
    objects: list[Object]
    folder: Path
    candidate: FakeModelServer

    async def curl(self, host: str, *words: str) -> tuple[int, str]:
        """Run curl against a host of the gateway; returns its exit code and what it printed."""
        if shutil.which("curl") is None:
            pytest.skip("no curl is on this machine")
        trust = self.folder / "authority.pem"
        trust.write_bytes(self.authority.certificate)
        port = self.gateway.port
        command = ["curl", "-sS", "--cacert", str(trust), "--connect-to", f"{host}:443:127.0.0.1:{port}", *words]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def renew(self, secret: Object) -> None:
        """Put a Secret in the place of the one of its name, and wait until it has taken effect."""
        key = ("Secret", secret["metadata"]["name"])
        self.objects[:] = [secret if (each["kind"], each["metadata"]["name"]) == key else each for each in self.objects]
        before = await self.gateway.admin.generation()
        write_manifests(self.gateway.config, self.objects)

        async def applied() -> bool:
            return await self.gateway.admin.generation() > before

        await self.gateway.admin.until(applied, "the renewed certificate has not taken effect")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """A pool and its mirror behind HTTPS for `pool.test`, a redirect for `old.test`, a listener whose key is wrong."""
    authority = Authority()
    async with FakeModelServer() as server, FakeModelServer() as candidate:
        port = free_port()
        wrong = authority.secret("wrong", "wrong.test")
        wrong["data"]["tls.key"] = authority.secret("other", "wrong.test")["data"]["tls.key"]
        redirect = {"filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "new.test"}}]}
        old = http_route("old")
        old["spec"]["rules"] = [redirect]
        listeners = {"pool.test": ["pool"], "old.test": ["old"], "wrong.test": ["wrong"]}
        objects = [
            *https_gateway(port, listeners),
            authority.secret("pool", "pool.test"),
            authority.secret("old", "old.test"),
            wrong,
            *inference_pool("pool", server.port),
            backend("candidate", candidate.port),
            http_route("pool", reference("pool", "InferencePool"), mirrors=[mirror_to("candidate")]),
            old,
        ]
        folder = tmp_path_factory.mktemp("tls")
        config = folder / "gateway.yaml"
        write_manifests(config, objects)
        async with running_gateway(config, port) as running:
            yield Rig(running, authority, objects, folder, candidate)


async def test_curl_asks_a_pool_over_tls(rig: Rig) -> None:
    """A client of the shelf verifies the certificate and gets its answer."""
    for words, version in ((["--http1.1"], "1.1"), (["--http2"], "2")):
        code, output = await rig.curl(
            "pool.test", *words, "https://pool.test/v1/models", "-w", " %{http_code} %{http_version}"
        )
        assert code == 0, output
        assert output.endswith(f" 200 {version}")


async def test_stream_is_mirrored(rig: Rig) -> None:
    """A streamed completion over TLS is copied to the candidate as every other."""
    context = rig.authority.client()
    async with await rig.gateway.connect(tls=context, server_name="pool.test") as client:
        answer = await client.request("POST", CHAT, [("host", "pool.test")], chat_body(stream=True))
    assert answer.status == 200
    assert answer.events()[-1] == "[DONE]"

    async def mirrored() -> bool:
        return len(await rig.gateway.admin.comparisons()) >= 1

    await rig.gateway.admin.until(mirrored, f"nothing was compared with {mirror_cluster('pool')}")


async def test_streams_beside_each_other_over_http2(rig: Rig) -> None:
    """Several completions stream over one connection with TLS, and each is compared with the candidate's."""
    before = len(await rig.gateway.admin.comparisons())
    context = rig.authority.client("h2")
    client = await Http2Client.connect(rig.gateway.port, tls=context, server_name="pool.test")
    async with client:
        streams = [
            client.begin("POST", CHAT, authority="pool.test", scheme="https", body=chat_body(stream=True))
            for _ in range(8)
        ]
        for stream in streams:
            await client.until_over(stream)
            assert stream.status == 200
            assert stream.body.endswith(b"data: [DONE]\n\n")

    async def mirrored() -> bool:
        return len(await rig.gateway.admin.comparisons()) >= before + 8

    await rig.gateway.admin.until(mirrored, "not every exchange was compared")


async def test_redirect_keeps_https(rig: Rig) -> None:
    """A redirect without a scheme leads to https, at the listener's port."""
    _, output = await rig.curl("old.test", "-w", "%{redirect_url}", "https://old.test/path?x=1")
    assert output == f"https://new.test:{rig.gateway.port}/path?x=1"


async def test_renewed_certificate(rig: Rig) -> None:
    """A Secret that changes in the file is shown to the next client, without a restart."""
    context = rig.authority.client()
    async with await rig.gateway.connect(tls=context, server_name="pool.test") as old:
        await rig.renew(rig.authority.secret("pool", "pool.test", "renewed.test"))
        async with await rig.gateway.connect(tls=context, server_name="pool.test") as fresh:
            shown = fresh.writer.get_extra_info("peercert")["subjectAltName"]
        assert ("DNS", "renewed.test") in shown
        assert (await old.request("GET", "/v1/models", [("host", "pool.test")])).status == 200


async def test_wrong_key_is_a_condition(rig: Rig) -> None:
    """A key of another certificate takes its listener away, says why, and no other with it."""
    code, output = await rig.curl("wrong.test", "https://wrong.test/")
    assert code != 0
    assert "unrecognized name" in output
    resources = (await rig.gateway.admin.get("/resources")).body.decode()
    assert "tls.key is not the key of the first certificate in tls.crt" in resources
    assert await rig.gateway.admin.metric("mirrorgate_tls_handshake_failures_total") >= 1


async def test_keys_are_nowhere_to_be_seen(rig: Rig) -> None:
    """No page of the admin server and no line of the log has anything of a private key, or of a Secret."""
    pages = [(await rig.gateway.admin.get(path)).body.decode() for path in ("/resources", "/routes", "/clusters", "/")]
    text = rig.gateway.process.text + "".join(pages)
    for secret in (each for each in rig.objects if each["kind"] == "Secret"):
        assert secret["data"]["tls.key"][40:100] not in text
    assert "PRIVATE KEY" not in text
