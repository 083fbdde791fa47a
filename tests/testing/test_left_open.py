"""What a test leaves open is closed with its loop, and has its name."""

import asyncio

import pytest

from mirrorgate.testing import left_open


def test_a_connection_is_closed_with_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody else is blamed for it later."""
    told: list[str] = []
    monkeypatch.setattr(left_open, "LEFT_OPEN", told)
    left: list[asyncio.BaseTransport] = []

    async def leave() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        left.append(transport)
        server.close()

    asyncio.run(leave())
    assert any("test_a_connection_is_closed_with_its_loop" in line for line in told)
    del left[:]  # where it is collected it has nothing to say any more


def test_what_is_closed_is_not_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport that closes is nobody's mistake."""
    told: list[str] = []
    monkeypatch.setattr(left_open, "LEFT_OPEN", told)

    accepted: asyncio.Queue[asyncio.BaseTransport] = asyncio.Queue()

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.put_nowait(transport)

    async def tidy() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Server, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        transport.close()
        (await accepted.get()).close()
        server.close()

    asyncio.run(tidy())
    assert told == []
