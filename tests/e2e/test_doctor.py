"""`mirrorgate doctor` beside a real gateway: healthy, misconfigured, and not there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.cli.__main__ import main
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
