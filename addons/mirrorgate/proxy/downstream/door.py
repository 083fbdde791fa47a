"""How many clients may be connected at once, altogether and from one address; who is one too many is turned away.

A connection over a limit is closed before a byte of it is read: nothing is known of it but its address, and an answer
would cost what the limit is there to save. Envoy's connection limit does the same.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import sys
from collections.abc import Callable

__all__ = ["ONE_AT_ONCE", "Door", "Doorway", "deepen", "network_of"]

_BACKLOG = 1024
"""Connections that the kernel keeps until they are accepted; net.core.somaxconn bounds it."""

ONE_AT_ONCE = 0 if sys.version_info >= (3, 14) else 1
"""The backlog with which asyncio accepts one connection in a round: since 3.14 it accepts one more than that."""


class Door:
    """Counts connections. A limit of 0 is none."""

    def __init__(self) -> None:
        self.open = 0
        self.refused = {"total": 0, "address": 0, "overload": 0}
        """Connections that were turned away, by the limit that they were over, or because the event loop is behind."""
        self._of: dict[str, int] = {}

    def turns_away(self, address: str, most: int, most_of_one: int) -> bool:
        """Tell whether a connection of a client would be one too many, and count it if so."""
        if most and self.open >= most:
            self.refused["total"] += 1
            return True
        if most_of_one and self._of.get(network_of(address), 0) >= most_of_one:
            self.refused["address"] += 1
            return True
        return False

    def enter(self, address: str) -> None:
        self.open += 1
        network = network_of(address)
        self._of[network] = self._of.get(network, 0) + 1

    def leave(self, address: str) -> None:
        self.open -= 1
        network = network_of(address)
        left = self._of[network] - 1
        if left:
            self._of[network] = left
        else:
            del self._of[network]


class Doorway(asyncio.Protocol):
    """What hears of a new connection first: it turns it away, or gives it to the protocol that serves it. Then it calls
    `behind`, for those that wait behind it."""

    def __init__(
        self,
        turns_away: Callable[[str], bool],
        serving: Callable[[], asyncio.Protocol],
        behind: Callable[[], None] | None = None,
    ) -> None:
        self._turns_away = turns_away
        self._serving = serving
        self._behind = behind

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        peer = transport.get_extra_info("peername")
        if not peer or self._turns_away(peer[0]):  # one that was reset before it was accepted is nobody's
            transport.abort()
        else:
            protocol = self._serving()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        if self._behind is not None:
            self._behind()


def deepen(server: asyncio.Server) -> None:
    """Let the kernel keep a crowd of connections for a server that was made with `ONE_AT_ONCE`.

    asyncio takes the backlog also for how often it tries to accept at each turn of the loop. Without descriptors it
    logs every one of these tries with a traceback, and sets a timer for each, of which each begins so many tries
    again: 1024 of them held the loop up for 1.8 s at a time, and every stream with it. A single try is a single line
    and a single timer a second.
    """
    for listening in server.sockets:
        with socket.socket(fileno=os.dup(listening.fileno())) as same:
            same.listen(_BACKLOG)


def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the 64 bits of IPv6 that one host is given."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped is not None else parsed.packed[:8].hex()
