"""Peers that leave while nothing is read from them, or that do not read the rest."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable

import pytest

from mirrorgate.proxy.downstream.departures import Farewell, has_left
from mirrorgate.testing.in_loop import until

type Leave = Callable[[socket.socket], None]


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def half_close(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)


@pytest.fixture
async def pair() -> AsyncIterator[tuple[asyncio.Transport, socket.socket]]:
    """A paused transport with bytes that nobody reads, and its peer."""
    accepted: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    class Paused(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            accepted.set_result(transport)

    server = await asyncio.get_running_loop().create_server(Paused, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()) as peer:
        transport = await accepted
        peer.sendall(b"unread")
        yield transport, peer
        transport.abort()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("half_open", [False, True])
async def test_a_peer_that_stays_has_not_left(pair: tuple[asyncio.Transport, socket.socket], half_open: bool) -> None:
    """Whatever it has sent."""
    assert not has_left(pair[0], half_open=half_open)


@pytest.mark.parametrize(
    ("leave", "half_open", "left"),
    [(reset, False, True), (socket.socket.close, False, True), (half_close, False, True), (reset, True, True)],
)
async def test_a_peer_that_leaves_is_noticed(
    pair: tuple[asyncio.Transport, socket.socket], leave: Leave, half_open: bool, left: bool
) -> None:
    """Before anything of it is read."""
    transport, peer = pair
    leave(peer)
    await until(lambda: has_left(transport, half_open=half_open) is left)


async def test_a_half_open_peer_may_stay(pair: tuple[asyncio.Transport, socket.socket]) -> None:
    """In a tunnel it has said that it sends no more, and reads on."""
    transport, peer = pair
    half_close(peer)
    await until(lambda: has_left(transport, half_open=False))
    assert not has_left(transport, half_open=True)


async def test_our_own_end_is_no_departure(pair: tuple[asyncio.Transport, socket.socket]) -> None:
    """The transport tells of it by itself."""
    transport, _ = pair
    transport.abort()
    await until(lambda: transport.get_extra_info("socket").fileno() == -1)
    assert not has_left(transport, half_open=False)


def test_a_farewell_lasts_while_bytes_are_taken() -> None:
    """Ten seconds without one are too long."""
    farewell = Farewell()
    assert [farewell.too_long(unsent, now) for unsent, now in [(9, 100.0), (9, 109.0), (8, 110.5), (8, 120.0)]] == [
        False
    ] * 4
    assert farewell.too_long(8, 121.0)
