"""From a gateway's traffic to `mirrorgate report`: what was shown live, said again by another process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.testing.gateways import CHAT, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import (
    backend,
    gateway,
    http_route,
    mirror_cluster,
    mirror_to,
    reference,
    shadow_policy,
)
from mirrorgate.testing.model_server.behaviour import Behaviour, Defect
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import Process, free_port

pytestmark = pytest.mark.e2e

MIRROR = mirror_cluster("chat")
REJECT = 20
PAIRS = 80


async def report(*words: object) -> tuple[int, str]:
    """Run the command; returns its exit code and output."""
    async with Process([sys.executable, "-m", "mirrorgate.cli", "report", *map(str, words)]) as process:
        code = await process.wait(60.0)
    return code, process.text


async def test_the_report_is_what_was_shown_live(tmp_path: Path) -> None:
    """The document of `/verdict`, every digit of it, with what only records tell, as JSON, text and a page."""
    journal, page, port = tmp_path / "journal", tmp_path / "report.html", free_port()
    config = tmp_path / "gateway.yaml"
    shown: dict[str, Any] = {}
    async with (
        FakeModelServer(Behaviour(name="primary")) as primary,
        FakeModelServer(Behaviour(name="new", defects=frozenset({Defect.CLAMPED_MAX_TOKENS}))) as candidate,
    ):
        write_manifests(
            config,
            [
                *gateway(port),
                http_route("chat", reference("primary"), mirrors=[mirror_to("candidate")]),
                backend("primary", primary.port),
                backend("candidate", candidate.port),
                shadow_policy("chat", conversationWindow="0s", journal={"content": "full"}),
            ],
        )
        async with running_gateway(config, port, options={"shadow_journal": str(journal)}) as running:
            async with await running.connect() as client:
                for number in range(PAIRS):
                    body = chat_body(
                        messages=[{"role": "user", "content": f"tell me of {number}"}], stream=number % 2 == 0
                    )
                    assert (await client.request("POST", CHAT, [("host", "chat.test")], body)).status == 200

            async def judged() -> bool:
                shown.clear()
                shown.update(await running.admin.page(f"/verdict?cluster={MIRROR}"))
                return shown.get("coverage", {}).get("compared") == PAIRS

            await running.admin.until(judged, lambda: f"{PAIRS} pairs are not judged: {shown}", timeout=30.0)

    code, output = await report(journal, "--json", "--html", page)
    assert code == REJECT, output
    document = json.loads(output)
    (shadow,) = document["shadows"]
    assert shadow["document"] == shown
    assert (document["verdict"], shown["guardrail"]) == ("REJECT", "truncation")
    assert (document["reading"]["damaged"], document["reading"]["missing"], document["reading"]["carried"]) == (0, 0, 0)
    assert (shadow["pairs"], shadow["worse"]["truncation"]) == (PAIRS, shown["outcomes"]["different"])
    assert shadow["legs"]["candidate"]["finish_reasons"]["length"] == shadow["worse"]["truncation"]
    assert shadow["course"][-1]["pairs"] == PAIRS
    text = page.read_text()
    assert shown["reason"] in text.replace("&#x27;", "'")
    assert "<mark>" in text

    code, output = await report(journal)
    assert code == REJECT
    assert shown["reason"].split(",")[0] in output
