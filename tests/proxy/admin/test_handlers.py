"""The admin server's answers, over real connections on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from mirrorgate.proxy.admin.handlers import socket_peer
from mirrorgate.proxy.admin.server import AdminServer, Bind
from mirrorgate.proxy.admin.sources import AdminSources

SOURCES = AdminSources(
    ready=lambda: (True, "ready"),
    metrics=lambda accept: (f"text/plain; for={accept}", iter([b"a 1\n", b"b 2\n"])),
    resources=lambda: {"items": [{"kind": "Gateway"}]},
    routes=lambda: {"listeners": []},
)
VIEWS = ("/resources", "/routes", "/clusters", "/exchanges", "/verdict", "/overview")
OPEN = ("/ready", "/healthz", "/metrics")
TOKEN = {"Authorization": "Bearer secret"}


@asynccontextmanager
async def _client(sources: AdminSources = SOURCES, token: str = "", peer: str = "") -> AsyncIterator[httpx.AsyncClient]:
    server = AdminServer(sources, Bind("127.0.0.1", 0), token=token, peer_of=(lambda _: peer) if peer else socket_peer)
    server.start()
    try:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            yield client
    finally:
        await server.stop()


async def test_views_answer_json() -> None:
    """Compact for programs, with the headers that keep browsers from guessing and storing."""
    async with _client() as client:
        for path in VIEWS:
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert answer.headers["content-type"] == "application/json; charset=utf-8"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in answer.headers
            assert "server" not in answer.headers
            answer.json()
        assert (await client.get("/resources")).text == '{"items":[{"kind":"Gateway"}]}'
        assert (await client.get("/verdict")).json() == {"verdict": "HOLD", "reason": "collecting", "shadows": []}


async def test_one_verdict_has_its_fields_at_the_top_level() -> None:
    """For tools that read one value; a cluster that is no mirror's is not found."""
    sources = replace(SOURCES, verdict_of=lambda cluster: {"promote": 1} if cluster == "a/b" else None)
    async with _client(sources) as client:
        answer = await client.get("/verdict", params={"cluster": "a/b"})
        assert (answer.status_code, answer.json()) == (200, {"promote": 1})
        assert (await client.get("/verdict?cluster=other")).status_code == 404
        assert (await client.get("/verdict?cluster=")).json()["shadows"] == []
    async with _client(sources, peer="192.0.2.7") as client:
        assert (await client.get("/verdict?cluster=a/b")).status_code == 401


async def test_gates_answer_by_their_status() -> None:
    """200 when the decision is the wanted one, 409 when not, to GET and to the POST of a webhook alike."""
    found = {"": ("HOLD", "wait"), "good": ("PROMOTE", "fine"), "bad": ("REJECT", "broken")}
    async with _client(replace(SOURCES, decision_of=found.get)) as client:
        for ask in (client.get, client.post):
            for path, status in (
                ("/verdict/promote", 409),
                ("/verdict/promote?cluster=good", 200),
                ("/verdict/promote?cluster=bad", 409),
                ("/verdict/reject?cluster=good", 409),
                ("/verdict/reject?cluster=bad", 200),
                ("/verdict/reject?cluster=other", 404),
            ):
                assert (await ask(path)).status_code == status, path
        answer = await client.post("/verdict/reject?cluster=bad", json={"name": "canary", "phase": "Progressing"})
        assert answer.json() == {"verdict": "REJECT", "reason": "broken"}


async def test_a_webhook_may_carry_the_token_in_its_address() -> None:
    """As the password of Basic, since it can be given no header; for reading only."""
    async with _client(token="secret", peer="192.0.2.7") as client:
        for password, status in (("secret", 409), ("wrong", 401), ("", 401)):
            answer = await client.post("/verdict/promote", auth=("anybody", password))
            assert answer.status_code == status
        assert (await client.post("/mirror/pause", auth=("anybody", "secret"))).status_code == 401


async def test_people_get_indented_json() -> None:
    """With `?pretty`, or in a browser."""
    async with _client() as client:
        for answer in (
            await client.get("/resources?pretty"),
            await client.get("/resources?pretty=1"),
            await client.get("/resources", headers={"Accept": "text/html,*/*"}),
        ):
            assert answer.text == '{\n  "items": [\n    {\n      "kind": "Gateway"\n    }\n  ]\n}\n'
            assert answer.headers["content-type"].startswith("application/json")


async def test_ready_says_so() -> None:
    """200 or 503 with the text; a faulty check is not ready."""

    def broken() -> tuple[bool, str]:
        raise RuntimeError("no state")

    for ready, status, text in (
        (lambda: (True, "ready"), 200, "ready\n"),
        (lambda: (False, "draining"), 503, "draining\n"),
        (broken, 503, "the readiness check failed\n"),
    ):
        async with _client(replace(SOURCES, ready=ready)) as client:
            answer = await client.get("/ready")
            assert (answer.status_code, answer.text) == (status, text)
            assert (await client.get("/healthz")).status_code == 200


async def test_metrics_pass_the_accept_header_on() -> None:
    """The source chooses the format; the pieces are joined."""
    async with _client() as client:
        answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert answer.text == "a 1\nb 2\n"
        assert answer.headers["content-type"] == "text/plain; for=application/openmetrics-text"
        assert answer.headers["content-length"] == "8"


async def test_the_loop_runs_between_the_pieces_of_a_scrape() -> None:
    """A large scrape never holds the tokens of others back for its whole length."""
    turns: list[str] = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            asyncio.get_running_loop().call_soon(turns.append, "loop")
            turns.append("piece")
            yield b"%d\n" % number

    async with _client(replace(SOURCES, metrics=lambda accept: ("text/plain", pieces()))) as client:
        await client.get("/metrics")
    assert turns == ["piece", "loop"] * 3


async def test_another_machine_sees_only_what_is_open() -> None:
    """Wherever the server is bound; the token opens the rest."""
    async with _client(token="secret", peer="192.0.2.7") as client:
        for path in OPEN:
            assert (await client.get(path)).status_code == 200
        for path in (*VIEWS, "/"):
            answer = await client.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert "Gateway" not in answer.text
            assert (await client.get(path, headers={"Authorization": "Bearer wrong"})).status_code == 401
            assert (await client.get(path, headers=TOKEN)).status_code == 200


async def test_a_rebound_name_sees_nothing() -> None:
    """A page under a name that suddenly means 127.0.0.1 sends its own Host."""
    async with _client() as client:
        for path in (*VIEWS, "/"):
            answer = await client.get(path, headers={"Host": "evil.example:9901"})
            assert answer.status_code == 403
            assert "Host" in answer.json()["error"]["message"]
        for path in OPEN:
            assert (await client.get(path, headers={"Host": "evil.example"})).status_code == 200


async def test_two_hosts_are_none() -> None:
    """A second Host field does not bring a bad first one through."""
    async with _client() as client:
        for hosts in (["localhost", "evil.example"], ["evil.example", "localhost"]):
            reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
            fields = "".join(f"Host: {host}\r\n" for host in hosts)
            writer.write(f"GET /clusters HTTP/1.1\r\n{fields}Connection: close\r\n\r\n".encode())
            answer = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            assert b"clusters" not in answer
            assert answer[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 403", b""}


@asynccontextmanager
async def _changes(**actions: Callable[[], object]) -> AsyncIterator[httpx.AsyncClient]:
    async with _client(replace(SOURCES, **actions), token="secret") as client:  # type: ignore[arg-type]
        yield client


async def test_changes_need_the_token() -> None:
    """Also from this machine; nothing is done without it."""
    done: list[str] = []
    async with _changes(drain=lambda: done.append("drain")) as client:
        assert (await client.post("/drain")).status_code == 401
        assert (await client.post("/drain", headers={"Authorization": "Bearer no"})).status_code == 401
        assert done == []
        answer = await client.post("/drain", headers=TOKEN)
        assert (answer.status_code, answer.json()) == (200, {"done": True})
        assert done == ["drain"]


async def test_another_origin_changes_nothing() -> None:
    """A browser that sends the token on behalf of another site is refused."""
    done: list[str] = []
    async with _changes(pause_mirrors=lambda: done.append("pause")) as client:
        for origin in ("http://evil.example", "null", "http://127.0.0.1"):
            answer = await client.post("/mirror/pause", headers=TOKEN | {"Origin": origin})
            assert answer.status_code == 403
        assert done == []
        own = str(client.base_url).rstrip("/")
        assert (await client.post("/mirror/pause", headers=TOKEN | {"Origin": own})).status_code == 200
        assert done == ["pause"]


async def test_changes_answer_what_they_say() -> None:
    """A coroutine is awaited; an action that is not offered is 501; reading an action is 405."""

    async def resume() -> object:
        return {"paused": False}

    async with _changes(resume_mirrors=resume) as client:
        assert (await client.post("/mirror/resume", headers=TOKEN)).json() == {"paused": False}
        assert (await client.post("/drain", headers=TOKEN)).status_code == 501
        answer = await client.get("/drain", headers=TOKEN)
        assert (answer.status_code, answer.json()["error"]["status"]) == (405, 405)
        assert (await client.post("/clusters", headers=TOKEN)).status_code == 405


async def test_without_a_token_changes_are_off() -> None:
    """403, because no header would help."""
    async with _client(replace(SOURCES, drain=lambda: None)) as client:
        assert (await client.post("/drain")).status_code == 403
        assert (await client.post("/drain", headers=TOKEN)).status_code == 403


async def _raise() -> object:
    raise LookupError("no such cluster")


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (_raise, "LookupError: no such cluster"),
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: {"x": object()}, "TypeError"),
        (lambda: "\ud800", "UnicodeEncodeError"),
    ],
)
async def test_a_faulty_view_costs_only_its_answer(
    view: Callable[[], Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """500 as JSON with the reason, a traceback in the log, and the server goes on."""
    async with _client(replace(SOURCES, clusters=view)) as client:
        answer = await client.get("/clusters")
        assert answer.status_code == 500
        assert words in answer.json()["error"]["message"]
        assert "GET /clusters failed" in caplog.text
        assert (await client.get("/resources")).status_code == 200


async def test_a_faulty_scrape_is_a_500() -> None:
    """Prometheus sees `up == 0` instead of half of the metrics."""

    def pieces() -> Iterator[bytes]:
        yield b"a 1\n"
        raise RuntimeError("gone")

    async with _client(replace(SOURCES, metrics=lambda accept: ("text/plain", pieces()))) as client:
        answer = await client.get("/metrics")
        assert answer.status_code == 500
        assert "a 1" not in answer.text


async def test_what_is_not_there() -> None:
    """JSON like every other error, for any method."""
    async with _client() as client:
        for path in ("/nothing", "/resources/", "/../etc/passwd"):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert answer.json()["error"]["status"] == 404
        assert (await client.delete("/nothing")).status_code == 404
        assert (await client.options("/clusters")).status_code == 405


async def test_head() -> None:
    """The head of GET, without its body."""
    async with _client() as client:
        for path in (*OPEN, "/clusters", "/"):
            got, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"] == got.headers["content-type"]


async def test_the_dashboard_may_run_only_its_own_script() -> None:
    """Its policy allows this script and this style, and no frame around it."""
    async with _client() as client:
        answer = await client.get("/")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"


async def test_malformed_requests_leave_the_server_standing() -> None:
    """Garbage, an endless header, a large body: refused, and the next client is served."""
    async with _client(token="secret") as client:
        host, port = client.base_url.host, client.base_url.port
        for garbage in (
            b"\x00\xff\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"a: " + b"x" * 40_000 + b"\r\n\r\n",
            b"GET\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(garbage)
            assert len(await asyncio.wait_for(reader.read(), 5)) < 1000
            writer.close()
        with pytest.raises(httpx.HTTPError):
            (await client.post("/drain", headers=TOKEN, content=b"x" * 10_000_000)).raise_for_status()
        assert json.loads((await client.get("/resources")).text)["items"]
