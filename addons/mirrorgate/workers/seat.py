"""What makes a gateway a worker: which one it is, and what the supervisor shares with it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Final

from ..proxy.admin.server import AdminServer, Bind
from ..proxy.admin.sources import AdminSources
from .heartbeat import beat_on
from .rows import Rows

__all__ = ["Seat"]

_LOOPBACK: Final = Bind("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class Seat:
    """Handed over on the command line; descriptors are inherited."""

    index: int
    count: int
    rows: int
    """Descriptor of `rows.allocate`."""
    admin: int
    """Descriptor of a listening Unix socket, for the supervisor's questions."""
    lifeline: int
    """Descriptor of a pipe that ends with the supervisor."""
    shadow: str
    """Path of the socket that the shadow process listens on."""

    def __str__(self) -> str:
        return ",".join(map(str, astuple(self)))

    @classmethod
    def parse(cls, text: str) -> Seat:
        """Read what `str` wrote; raises ValueError for anything else."""
        numbers, shadow = text.split(",", 5)[:5], text.split(",", 5)[-1]
        index, count, rows, admin, lifeline = map(int, numbers)
        return cls(index, count, rows, admin, lifeline, shadow)

    def open_rows(self) -> Rows:
        return Rows(self.rows, self.count, self.index)

    def beat(self) -> None:
        """Tell the supervisor from now on that the running loop turns. Who has not begun is starting, not hanging."""
        beat_on(self.open_rows())

    def admin_server(self, sources: AdminSources, token: str) -> AdminServer:
        """Return the server of the supervisor's questions; who may reach its socket is on this machine and us."""
        listening = socket.socket(fileno=self.admin)
        listening.setblocking(False)
        return AdminServer(sources, _LOOPBACK, token=token, peer_of=lambda _: _LOOPBACK.host, listening=listening)

    def follow(self, orphaned: Callable[[], None]) -> None:
        """Call `orphaned` when the supervisor is gone: a worker that nobody supervises ends as if told to."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            if not os.read(self.lifeline, 1):
                loop.remove_reader(self.lifeline)
                orphaned()

        loop.add_reader(self.lifeline, ended)
