"""Marked secrets go through everything, and then everything that was written and served is searched for them.

One process a content policy, with the journal, the access log, the mirror, streaming and not, and requests that fail.
What must never hold a secret: the journal, the checkpoints, the logs, the metrics, every page of the admin server, and
what a candidate receives. `redacted` promises what has a known form only; `none` promises everything.
"""

from __future__ import annotations

import gzip
import json
import os
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mirrorgate.testing.backends import Backend, Received, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.gateways import CHAT, RunningGateway, running_gateway, write_manifests
from mirrorgate.testing.manifests import Object, backend, gateway, http_route, mirror_to, reference, shadow_policy
from mirrorgate.testing.processes import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

TOKEN = "marker-admin-token-5b1f"
"""The admin server's own secret."""

CREDENTIALS = {
    "authorization": "Bearer marker-bearer-0a1b2c3d4e5f6071",
    "proxy-authorization": "Basic bWFya2VyLWJhc2ljLTBhMWIyYzNkNGU1Zg==",
    "cookie": "session=marker-cookie-0a1b2c3d4e5f",
    "x-api-key": "marker-header-key-0a1b2c3d4e5f",
    "api-key": "marker-azure-key-0a1b2c3d4e5f",
    "x-amz-security-token": "marker-amz-0a1b2c3d4e5f",
    "x_api_key": "marker-underscore-0a1b2c3d4e5f",
    "x-vendor-api-key": "marker-vendor-0a1b2c3d4e5f",
    "x-session-token": "marker-session-0a1b2c3d4e5f",
}
QUERY = "?api_key=marker-query-key-0a1b&%61ccess_token=marker-escaped-0a1b&sig=marker-sig-0a1b&v=1"
IN_QUERY = ["marker-query-key-0a1b", "marker-escaped-0a1b", "marker-sig-0a1b"]

PERSONAL = [
    "marker.person@example.com",
    "4111 1111 1111 1111",
    "sk-markermarkermarkermarker0123",
    "GB82WEST12345698765432",
]
"""What a pattern can find: an address, a card, a key and an account."""
PLAIN = {name: f"marker-{name}-7c" for name in ("prompt", "answer", "tool", "field")}
"""What has no form at all."""

PAGES = [
    "/", "/ready", "/healthz", "/metrics", "/resources", "/routes", "/clusters", "/exchanges", "/verdict", "/overview",
    "/exchanges?limit=1000",
]  # fmt: skip


def body(*, stream: bool) -> dict[str, Any]:
    """Return a request with markers in its messages, its tools and a field that nobody knows."""
    text = " ".join([PLAIN["prompt"], *PERSONAL])
    call = {"name": "mail", "arguments": json.dumps({"to": PERSONAL[0], "what": PLAIN["tool"]})}
    return {
        "model": "m",
        "stream": stream,
        "user": PERSONAL[0],
        "metadata": {"note": PLAIN["field"]},
        "messages": [
            {"role": "system", "content": text},
            {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": call}]},
            {"role": "user", "content": [{"type": "text", "text": text}]},
        ],
    }


def reply(request: Received) -> bytes:
    """Answer with markers, as one completion or as a stream of events, and with a cookie."""
    text = " ".join([PLAIN["answer"], *PERSONAL])
    call = {"index": 0, "id": "1", "type": "function", "function": {"name": "mail", "arguments": json.dumps([text])}}
    message = {"role": "assistant", "content": text, "tool_calls": [call]}
    cookie = ("set-cookie", "session=marker-set-cookie-0a1b")
    if "fail" in request.target:
        return response_bytes(500, json.dumps({"error": {"message": text}}).encode(), cookie, reason="Oops")
    if b'"stream": true' not in request.body:
        whole = {"id": "1", "object": "chat.completion", "model": "m", "choices": [{"index": 0, "message": message}]}
        return response_bytes(200, json.dumps(whole).encode(), ("content-type", "application/json"), cookie)
    pieces = [{"index": 0, "delta": message}, {"index": 0, "delta": {}, "finish_reason": "tool_calls"}]
    chunks = [{"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [piece]} for piece in pieces]
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return response_bytes(200, events.encode(), ("content-type", "text/event-stream"), cookie, chunked=True)


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    folder: Path
    """The journal, its checkpoints and the access log lie here."""
    candidate: Backend
    content: str

    @property
    def secrets(self) -> list[str]:
        """What must not be found anywhere."""
        known = [value.split(" ", 1)[-1] for value in CREDENTIALS.values()]
        known += ["marker-set-cookie-0a1b", *IN_QUERY, *PERSONAL, TOKEN, "marker-private-key"]
        return known + (list(PLAIN.values()) if self.content == "none" else [])


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["none", "redacted"])
async def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """Give a gateway that has carried all of it, and compared every copy."""
    folder = tmp_path_factory.mktemp("secrets")
    umask = os.umask(0o022)
    async with Backend(answering(reply)) as primary, Backend(answering(reply)) as candidate:
        port = free_port()
        secret: Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "key"},
            "type": "Opaque",
            "stringData": {"token": "marker-private-key"},
        }
        objects = [
            *gateway(port),
            secret,
            backend("primary", primary.port),
            backend("candidate", candidate.port),
            http_route("chat", reference("primary"), mirrors=[mirror_to("candidate")]),
            shadow_policy("chat", journal={"content": request.param}),
        ]
        config = folder / "gateway.yaml"
        write_manifests(config, objects)
        written = folder / "written"
        written.mkdir()
        options = {
            "shadow_journal": str(written / "journal"),
            "gateway_access_log": str(written / "access.log"),
            "gateway_admin_token": TOKEN,
        }
        async with running_gateway(config, port, options=options) as running:
            sent = await _everything(running)

            async def compared() -> bool:
                return await running.admin.metric("mirrorgate_journal_records_total", result="written") >= sent

            await running.admin.until(compared, f"the journal has not got {sent} records")
            yield Rig(running, written, candidate, request.param)
            assert "Traceback" not in running.process.text
    os.umask(umask)


async def _everything(running: RunningGateway) -> int:
    """Send good requests, failing ones and bad ones; return how many are mirrored."""
    head = [("host", "chat.test"), *CREDENTIALS.items()]
    async with await running.connect() as client:
        for stream in (False, True):
            answer = await client.request("POST", CHAT + QUERY, head, body(stream=stream))
            assert answer.status == 200
            assert PLAIN["answer"].encode() in answer.body, "the client itself gets everything"
        assert (await client.request("POST", "/v1/fail" + QUERY, head, body(stream=False))).status == 500
        lost = [("host", "nowhere.test"), *CREDENTIALS.items()]
        assert (await client.request("POST", CHAT + QUERY, lost, body(stream=False))).status == 404
    async with await running.connect() as client:
        await client.send(request_bytes("POST", CHAT + QUERY, [*head, ("transfer-encoding", "odd")], b""))
        answer = await client.answer()
        assert answer.status == 400
        assert b"marker" not in answer.body
    return 3


def written(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the text of each file, unpacked."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield path.name, (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", "replace")


def found(secrets: list[str], text: str) -> list[str]:
    """Return the secrets that stand in a text, also where JSON or a query has escaped them."""
    plain = text.replace("\\u0020", " ").replace("%20", " ")
    return [secret for secret in secrets if secret in plain or secret.replace(" ", "") in plain]


async def test_files_hold_no_secret(rig: Rig) -> None:
    """The journal, what survives a restart, and the access log."""
    files = dict(written(rig.folder))
    assert any(name.startswith("access") for name in files)
    assert any(name.endswith(".jsonl") for name in files), files.keys()
    assert {name: hits for name, text in files.items() if (hits := found(rig.secrets, text))} == {}


async def test_the_logs_hold_no_secret(rig: Rig) -> None:
    """Nor does the shadow process, whose output is the gateway's. A prompt is in no log, whatever the policy."""
    assert found([*rig.secrets, *PLAIN.values()], rig.gateway.process.text) == []


async def test_the_admin_server_shows_no_secret(rig: Rig) -> None:
    """Each page, as a reader on this machine gets it."""
    for page in PAGES:
        answer = await rig.gateway.admin.get(page)
        assert answer.status == 200, page
        assert found(rig.secrets, answer.body.decode()) == [], page


async def test_metrics_hold_no_content(rig: Rig) -> None:
    """Whatever the policy: labels come from the configuration."""
    assert found([*rig.secrets, *PLAIN.values()], (await rig.gateway.admin.get("/metrics")).body.decode()) == []


async def test_the_candidate_gets_no_credentials(rig: Rig) -> None:
    """It gets the prompt, which is what it is asked about, and nothing that speaks for the client."""
    assert len(rig.candidate.requests) == 3
    credentials = [value.split(" ", 1)[-1] for value in CREDENTIALS.values()] + IN_QUERY + [TOKEN]
    for request in rig.candidate.requests:
        seen = " ".join([request.target, *(f"{name}: {value}" for name, value in request.headers)])
        assert found(credentials, seen) == []
        assert PLAIN["prompt"].encode() in request.body


async def test_only_the_owner_may_read_what_was_written(rig: Rig) -> None:
    """0700 and 0600, though the umask would allow more; the access log may be read by its group."""
    for path in [rig.folder / "journal", *(rig.folder / "journal").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((rig.folder / "access.log").stat().st_mode) == 0o640
