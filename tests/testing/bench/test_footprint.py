"""What a proxy holds, measured on a server of this process."""

import asyncio
import os
import sys

import pytest

from mirrorgate.testing.bench.footprint import footprint
from mirrorgate.testing.bench.origin import Origin, _Connection

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")


async def test_clients_and_streams_are_there_while_they_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one has had an answer, or the first event of one."""
    monkeypatch.setattr("mirrorgate.testing.bench.footprint._WARM", 3)
    monkeypatch.setattr("mirrorgate.testing.bench.footprint._SETTLED", 0.0)
    origin = Origin()
    made: list[_Connection] = []

    def connected() -> _Connection:
        made.append(_Connection(origin))
        return made[-1]

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await footprint("here", os.getpid(), port, clients=40, streams=5)
    assert (found.clients, found.streams, origin.requests, len(made)) == (40, 5, 48, 48)
    assert found.idle > 0


async def test_a_refusal_is_no_footprint() -> None:
    """What is not answered 200 is said."""

    class Refusing(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")

    server = await asyncio.get_running_loop().create_server(Refusing, "127.0.0.1", 0)
    async with server:
        with pytest.raises(OSError, match="503"):
            await footprint("here", os.getpid(), server.sockets[0].getsockname()[1], clients=1, streams=1)
