"""`mirrorgate doctor` beside a real gateway: healthy, misconfigured, and not there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.cli.__main__ import main
from mirrorgate.testing.bench.open_loop import OpenLoop
from mirrorgate.testing.gateways import running_gateway, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, mirror_to, reference
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = pytest.mark.e2e


async def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the command; returns its exit code and findings."""
    code = await asyncio.to_thread(main, ["doctor", "--json", *arguments])
    document = json.loads(capsys.readouterr().out)
    assert document["exit"] == code
    return code, document["findings"]


async def test_a_gateway_is_examined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Healthy it has nothing but notes; then mirroring is paused, its configuration refused, and a manifest wrong."""
    config, port = tmp_path / "gateway.yaml", free_port()
    async with FakeModelServer() as server:
        objects = [*gateway(port), backend("blue", server.port), backend("candidate", server.port)]
        route = http_route("chat", reference("blue"), mirrors=[mirror_to("candidate")])
        write_manifests(config, [*objects, route])
        options = {"gateway_admin_token": "secret", "shadow_journal": str(tmp_path / "journal")}
        async with running_gateway(config, port, options=options) as started:
            admin = f"127.0.0.1:{started.admin.port}"
            # A first measurement of the loop may fall into the start, which takes its time on a busy machine.
            code, findings = await doctor(capsys, "--admin", admin, str(config))
            assert [each for each in findings if each["subject"] != "event loop" and each["weight"] != "note"] == []
            assert [each["text"] for each in findings if each["subject"].startswith("verdict of")]
            assert await asyncio.to_thread(main, ["doctor", "--admin", admin]) == code
            assert "notes" in capsys.readouterr().out

            config.write_text("kind: HTTPRoute\nspec: 7\n")

            async def refused() -> bool:
                return bool((await started.admin.page("/overview"))["problems"])

            await started.admin.until(refused, "the configuration is not refused")
            code, findings = await doctor(capsys, "--admin", admin, str(config))
            assert code == 2
            assert {"configuration", "manifests"} <= {each["subject"] for each in findings}
            assert all(each["remedy"] for each in findings)


async def test_an_overload_is_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While it lasts a problem, behind it a note with how many were refused."""
    config, port = tmp_path / "gateway.yaml", free_port()
    async with FakeModelServer() as server:
        write_manifests(config, [*gateway(port), backend("b", server.port), http_route("b", reference("b"))])
        async with running_gateway(config, port, options={"gateway_overload_lag": "1"}) as started:
            admin = f"127.0.0.1:{started.admin.port}"
            clients = OpenLoop(port, b"GET /v1/models HTTP/1.1\r\nhost: b.test\r\n\r\n", connections=64)
            load = asyncio.create_task(clients.closed(64, 60.0))
            while True:
                code, findings = await doctor(capsys, "--admin", admin)
                if any(each["text"].startswith("overloaded: ") for each in findings):
                    break
            assert code == 2

            async def refused() -> bool:
                return await started.admin.metric("mirrorgate_local_replies_total", reason="overload") > 0

            await started.admin.until(refused, "an overload refuses nobody")
            load.cancel()
            await clients.close()

            async def over() -> bool:
                return await started.admin.metric("mirrorgate_overload_active", sheds="requests") == 0

            await started.admin.until(over, "the overload does not end")
            code, findings = await doctor(capsys, "--admin", admin)
            [note] = [each for each in findings if each["subject"] == "overload"]
            assert "requests and" in note["text"]


async def test_a_worker_that_hangs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its process, and what to do; nobody's clock is found fault with for the wait."""
    config, port = tmp_path / "gateway.yaml", free_port()
    write_manifests(config, [*gateway(port), backend("b", free_port()), http_route("b", reference("b"))])
    async with running_gateway(config, port, workers=2) as started:
        admin = f"127.0.0.1:{started.admin.port}"
        pid = (await started.admin.page("/overview"))["workers"][1]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            code, findings = await doctor(capsys, "--admin", admin)
        finally:
            os.kill(pid, signal.SIGCONT)
    assert code == 2
    [found] = [each for each in findings if each["subject"].startswith("worker ")]
    assert (found["subject"], found["weight"]) == ("worker 1", "problem")
    assert f"process {pid}" in found["text"]
    assert "clock" not in {each["subject"] for each in findings}


async def test_nothing_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """It says where it asked."""
    admin = f"127.0.0.1:{free_port()}"
    code, findings = await doctor(capsys, "--admin", admin)
    assert code == 2
    assert [each["subject"] for each in findings] == ["admin server"]
    assert admin in findings[0]["text"]


@pytest.mark.parametrize("admin", ["", "nowhere", "::1:9901"])
def test_a_wrong_use_is_told(admin: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error."""
    assert main(["doctor", "--admin", admin]) == 2
    assert capsys.readouterr().err
