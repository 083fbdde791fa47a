"""A headless gateway imports what it needs, and mitmproxy's own features work in it all the same."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from mitmproxy.io import FlowReader

from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, mirror_to, reference
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import ProcessError, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

HEAVY = {
    "aiohttp",
    "flask",
    "google",
    "grpc",
    "httpx",
    "jinja2",
    "kubernetes",
    "ldap3",
    "matplotlib",
    "mitmproxy.addons.dumper",
    "mitmproxy.addons.proxyauth",
    "mitmproxy.addons.tlsconfig",
    "mitmproxy.addons.view",
    "mitmproxy.contentviews",
    "mitmproxy.tools",
    "numpy",
    "plotly",
    "pyasn1",
    "pyperclip",
    "rapidfuzz",
    "rich",
    "sortedcontainers",
    "unittest",
    "urwid",
    "werkzeug",
    "xml",
}
"""Modules and packages of which a headless gateway has no need."""
LATER = {"mitmproxy.command_lexer", "mitmproxy.flowfilter", "pyparsing", "ruamel.yaml"}
"""Of these there is a stand-in."""
PROBE = """
import sys, types
def response(flow):
    pass
def client_disconnected(client):
    print("imported:", *(n for n, m in list(sys.modules.items()) if type(m).__name__ != "LaterModule"), flush=True)
"""
STUBBED = "/v1/stub"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[FakeModelServer]:
    async with FakeModelServer() as running:
        yield running


def manifests(folder: Path, server: FakeModelServer, port: int) -> Path:
    """Write a gateway with one route, which mirrors."""
    config = folder / "gateway.yaml"
    route = http_route("models", reference("model"), mirrors=[mirror_to("model")])
    write_manifests(config, [*gateway(port), backend("model", server.port), route])
    return config


async def test_a_headless_gateway_imports_nothing_heavy(server: FakeModelServer, tmp_path: Path) -> None:
    """Not at the start, and not with a request that is mirrored."""
    port = free_port()
    (tmp_path / "probe.py").write_text(PROBE, encoding="utf-8")
    options = {"scripts": str(tmp_path / "probe.py")}
    async with running_gateway(manifests(tmp_path, server, port), port, options=options) as running:
        assert (await running.chat("models.test")).status == 200
        line = await running.process.printed(lambda line: line.startswith("imported: "))
    imported = set(line.split()[1:])
    packages = {name.partition(".")[0] for name in imported}
    assert {"mirrorgate.wiring.addon", "mitmproxy.addons.script"} <= imported
    assert (imported | packages) & HEAVY == set()
    assert imported & LATER == set()


async def test_a_shadow_process_comes_with_the_first_mirror(server: FakeModelServer, tmp_path: Path) -> None:
    """A gateway that mirrors nothing has none; the one that a reload brings gets the first copy, which waits for it."""
    port = free_port()
    config = tmp_path / "gateway.yaml"
    alone = [*gateway(port), backend("model", server.port), http_route("models", reference("model"))]
    write_manifests(config, alone)
    async with running_gateway(config, port) as running:
        assert (await running.chat("models.test")).status == 200
        with pytest.raises(ProcessError, match="there are 0 shadow processes"):
            running.shadow_pid()
        before = len(server.requests)
        manifests(tmp_path, server, port)
        await running.process.printed(lambda line: "configuration generation 2 takes effect" in line)
        assert (await running.chat("models.test")).status == 200
        await server.until(lambda: len(server.requests) == before + 2)

        async def compared() -> bool:
            return len(await running.admin.comparisons()) == 1

        await running.admin.until(compared, "the first copy is not compared")
        assert await running.admin.metric("mirrorgate_shadow_dropped_total") == 0
        shadow = running.shadow_pid()
        write_manifests(config, alone)
        await running.process.printed(lambda line: "configuration generation 3 takes effect" in line)
        assert running.shadow_pid() == shadow


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def featured(server: FakeModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGateway]:
    """A gateway with features of mitmproxy's own turned on."""
    folder = tmp_path_factory.mktemp("featured")
    (folder / "stub.json").write_text('{"stub": true}', encoding="utf-8")
    port = free_port()
    options = {
        "proxyauth": "someone:secret",
        "modify_headers": "/~q & ~m POST/x-stock/set",
        "map_local": f"|{STUBBED}|{folder / 'stub.json'}",
        "block_list": "|~u /v1/blocked|451",
        "save_stream_file": str(folder / "flows"),
        "save_stream_filter": "~u chat",
    }
    async with running_gateway(manifests(folder, server, port), port, options=options) as running:
        yield running


async def asked(gateway: RunningGateway, path: str, *, credentials: str = "someone:secret") -> tuple[int, bytes]:
    """Ask with a POST, and return status and body."""
    word = base64.b64encode(credentials.encode()).decode()
    headers = [("host", "models.test"), ("authorization", f"Basic {word}")]
    async with await gateway.connect() as client:
        answer = await client.request("POST", path, headers, chat_body())
    return answer.status, answer.body


async def test_addons_of_mitmproxys_do_what_their_options_say(
    featured: RunningGateway, server: FakeModelServer
) -> None:
    """Each was imported when its option was set."""
    assert (await asked(featured, CHAT, credentials="someone:guess"))[0] == 401
    assert (await asked(featured, "/v1/blocked"))[0] == 451
    assert await asked(featured, STUBBED) == (200, b'{"stub": true}')
    before = len(server.requests)
    assert (await asked(featured, CHAT))[0] == 200
    await server.until(lambda: len(server.requests) > before)
    assert ("x-stock", "set") in [(name.lower(), value) for name, value in server.requests[before].headers]


async def test_exchanges_are_saved_when_it_ends(server: FakeModelServer, tmp_path: Path) -> None:
    """With the filter that was asked for, in mitmproxy's own file."""
    port = free_port()
    options = {"save_stream_file": str(tmp_path / "flows"), "save_stream_filter": "~m POST"}
    async with running_gateway(manifests(tmp_path, server, port), port, options=options) as running:
        async with await running.connect() as client:
            await client.send(request_bytes("GET", "/v1/models", [("host", "models.test")]))
            assert (await client.answer()).status == 200
        assert (await running.chat("models.test")).status == 200
        assert await running.process.stop() == 0
    with (tmp_path / "flows").open("rb") as file:
        saved = [flow.request.path for flow in await asyncio.to_thread(lambda: list(FlowReader(file).stream()))]
    assert saved == [CHAT]
