"""Takes in the connections that wait behind one that asyncio has accepted.

asyncio accepts one connection in a round of the event loop (`door.deepen` says why), so that a crowd would wait in the
kernel, for a second where the loop is full, and be served when its clients have given up. Here it comes in with the
first of it, and the loop sees how much there is to do. Where that is too much, a connection is turned away: plain ones
with an answer, which costs a tenth of letting it in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from .http2 import PREFACE

if TYPE_CHECKING:
    from ..dataplane import Dataplane

__all__ = ["Crowd"]

_AT_ONCE = 64
"""Connections that are taken in at most, in a round: what is under way waits for them."""

_BUSY = 8
"""Of which so many are let in at most while requests are refused: their first ones come in the next round."""

_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\ndate: %b\r\nconnection: close\r\n\r\n"
)
"""Without a body, since nobody knows whether the request is HEAD."""


class Crowd:
    """The connections that wait for one listener.

    Args:
        greet: makes the protocol of a connection.
        tls: whether clients speak TLS, and cannot be answered.
    """

    def __init__(self, plane: Dataplane, greet: Callable[[], asyncio.Protocol], *, tls: bool) -> None:
        self.server: asyncio.Server | None = None
        self._plane = plane
        self._greet = greet
        self._tls = tls

    def take_in(self) -> None:
        """Accept what waits. Where that fails, as without descriptors, asyncio tells of it in the next round."""
        if self.server is None:
            return
        for listening in self.server.sockets:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(listening.fileno())) as same:
                for number in range(_AT_ONCE):
                    self._let_in(same.accept()[0], number)

    def _let_in(self, peer: socket.socket, number: int) -> None:
        plane = self._plane
        shedding = plane.shedding
        if shedding is not None and shedding.requests and (number >= _BUSY or shedding.late):
            plane.door.refused["overload"] += 1
            self._turn_away(peer)
            return
        plane.spawn(asyncio.get_running_loop().connect_accepted_socket(self._greet, peer))

    def _turn_away(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            if self._tls:
                return
            peer.setblocking(False)
            try:
                asked = peer.recv(65536)  # what is unread when a socket is closed takes the answer with it
            except BlockingIOError:
                asked = b""
            if asked[:3] != PREFACE[:3]:
                peer.send(_ANSWER % self._plane.date())
