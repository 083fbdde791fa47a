"""The clients against the server that stands behind the proxies, without a proxy between."""

import asyncio
import dataclasses
import json

import pytest

from mirrorgate.testing.bench.load import Load, _Client, request_of
from mirrorgate.testing.bench.origin import Origin, _Connection
from mirrorgate.testing.bench.scenarios import SCENARIOS, Scenario


class Watched(Load):
    """Tells when something has come back."""

    def __init__(self, scenario: Scenario, port: int) -> None:
        super().__init__(scenario, port)
        self.something = asyncio.Event()

    def answered(self, client: _Client, good: bool) -> None:
        super().answered(client, good)
        if self.measuring:
            self.something.set()


async def loaded(scenario: Scenario) -> tuple[Load, Origin]:
    """Run a scenario until something has come back."""
    origin = Origin()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(origin), "127.0.0.1", 0)
    async with server:
        load = Watched(scenario, server.sockets[0].getsockname()[1])
        async with asyncio.timeout(60):
            await load.run(0.0, load.something.wait(), None)
    return load, origin


@pytest.mark.parametrize("name", ["small", "fresh", "upload", "download", "torrent", "stream", "rate"])
async def test_what_is_asked_is_answered(name: str) -> None:
    """Whole answers are counted, and no errors."""
    scenario = dataclasses.replace(SCENARIOS[name], connections=2, ramp=0.0, events=min(5, SCENARIOS[name].events))
    load, origin = await loaded(scenario)
    assert load.seen.errors == 0
    assert 0 < len(load.seen.e2e) <= origin.requests
    assert (load.seen.events > 0) == bool(scenario.events)
    assert len(load.seen.delays) == load.seen.events
    assert all(delay >= 0 for delay in load.seen.delays)
    assert len(load.seen.gaps) < load.seen.events or not load.seen.events


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_request_is_as_large_as_the_scenario_says(name: str) -> None:
    """Its prompt fills the body, and it says itself what it wants back."""
    head, _, body = request_of(SCENARIOS[name], "127.0.0.1:80").partition(b"\r\n\r\n")
    assert len(body) == SCENARIOS[name].body_bytes
    assert (b"X-Bench-Events" in head) == bool(json.loads(body).get("stream"))


async def test_a_server_that_is_not_there_is_an_error() -> None:
    """Connections that fail are counted."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    load = Load(dataclasses.replace(SCENARIOS["small"], connections=1), port)
    await load.run(0.0, asyncio.sleep(0.1), None)
    assert load.seen.errors > 0
    assert load.seen.e2e == []


async def test_clients_keep_their_connections() -> None:
    """Unless the scenario wants a new one for each request: what a connection costs is not what a request costs."""
    made = 0

    def connected() -> asyncio.Protocol:
        nonlocal made
        made += 1
        return _Connection(origin)

    origin = Origin()
    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        load = Watched(dataclasses.replace(SCENARIOS["small"], connections=2), port)
        async with asyncio.timeout(60):
            await load.run(0.0, load.something.wait(), None)
    assert made == 2
