"""Connections that are one too many: counted by address, closed unread, and free again when a client leaves."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.proxy.downstream.door import Door, deepen, network_of
from mirrorgate.testing.backends import answering, response_bytes
from mirrorgate.testing.clients import Client, WireError
from mirrorgate.testing.in_loop import until

MOST = int(Path("/proc/sys/net/core/somaxconn").read_text())
ECHO = answering(response_bytes(body=b"ok"))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "20010db800010002"),
        ("2001:db8:1:2::9", "20010db800010002"),
        ("fe80::1%eth0", "fe80000000000000"),
        ("", ""),
        ("odd:address", "odd:address"),
    ],
)
def test_one_client_has_one_network(address: str, network: str) -> None:
    """An IPv6 host owns 64 bits of addresses, which must not make it many clients."""
    assert network_of(address) == network


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())), st.integers(0, 3), st.integers(0, 3))
def test_the_limits_hold_in_any_order(steps: list[tuple[str, bool]], most: int, most_of_one: int) -> None:
    """Against a plain count; who was let in leaves once, and nothing is remembered of those who left."""
    door = Door()
    inside: list[str] = []
    away = 0
    for address, comes in steps:
        if not comes:
            if address in inside:
                inside.remove(address)
                door.leave(address)
        elif door.turns_away(address, most, most_of_one):
            away += 1
            assert (most and len(inside) >= most) or (most_of_one and inside.count(address) >= most_of_one)
        else:
            inside.append(address)
            door.enter(address)
            assert not most or len(inside) <= most
            assert not most_of_one or inside.count(address) <= most_of_one
    assert sum(door.refused.values()) == away
    for address in inside:
        door.leave(address)
    assert (door.open, door._of) == (0, {})


async def turned_away(client: Client) -> bool:
    """Tell whether the gateway has hung up instead of answering."""
    try:
        return (await client.request("GET", "/")).status != 200
    except (ConnectionError, WireError):
        return True


@pytest.mark.parametrize(
    ("settings", "reason"),
    [(Settings(max_connections=2), "total"), (Settings(max_connections_per_address=2), "address")],
)
async def test_a_connection_too_many_is_closed_and_others_go_on(run: Any, settings: Settings, reason: str) -> None:
    """Without an answer; when a client leaves its place is free."""
    running = await run(ECHO, settings=settings)
    first, second = [await running.client() for _ in range(2)]
    for client in (first, second):
        assert (await client.request("GET", "/")).status == 200
    assert await turned_away(await running.client())
    plane = running.gateway.plane
    assert plane.door.refused == {"total": 0, "address": 0, "overload": 0} | {reason: 1}
    assert (await first.request("GET", "/")).status == 200
    await second.close()
    await until(lambda: plane.door.open == 1)
    assert not await turned_away(await running.client())


async def test_the_kernel_keeps_a_crowd() -> None:
    """Though asyncio is told to accept one at a time; a listening socket's `tcpi_sacked` is its backlog."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, backlog=1)
    async with server:
        deepen(server)
        told = server.sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    assert struct.unpack_from("I", told, 28) == (min(1024, MOST),)
