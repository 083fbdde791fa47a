"""The admin server: readiness, metrics, and what the gateway knows, for people and tools.

One tornado `HTTPServer` in the event loop that the proxy runs in. What it shows comes through
`sources`; `access` says who may see and change what.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass

from tornado.httpserver import HTTPServer

from .access import Access
from .handlers import PeerOf, application, socket_peer
from .page import load_page
from .sources import AdminSources

__all__ = ["DEFAULT_BIND", "AdminServer", "Bind", "parse_bind"]

DEFAULT_BIND = "127.0.0.1:9901"
"""Of the option `gateway_admin`."""


@dataclass(frozen=True, slots=True)
class Bind:
    host: str
    port: int
    """0 lets the kernel choose."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_bind(text: str) -> Bind | None:
    """Parse `host:port`, `[ipv6]:port`; `None` for an empty text, ValueError for anything else."""
    text = text.strip()
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: an IPv6 address stands in brackets, as in [::1]:9901")
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError(f"{text!r} is not host:port, such as 127.0.0.1:9901")
    return Bind(host, int(port))


class AdminServer:
    """Serves *sources* at *bind*.

    Args:
        sources: what is shown.
        bind: where; port 0 is chosen by the kernel and then found in `address`.
        token: the bearer token for changes and for readers on other machines; empty for none.
        peer_of: names the peer of a request.
        listening: a socket that listens already, a worker's, in place of `bind`.
    """

    def __init__(
        self,
        sources: AdminSources,
        bind: Bind,
        *,
        token: str = "",
        peer_of: PeerOf = socket_peer,
        listening: socket.socket | None = None,
    ) -> None:
        self._bind = bind
        self._listening = listening
        self._application = application(sources, Access(token, bind.host), load_page(), peer_of)
        self._server: HTTPServer | None = None
        self._address: Bind | None = None

    @property
    def address(self) -> Bind | None:
        """Where the server listens; `None` while it does not."""
        return self._address

    @property
    def url(self) -> str:
        """The address for a browser, empty while the server does not listen."""
        if self._address is None:
            return ""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._address.host, self._address.host)
        return f"http://{Bind(host, self._address.port)}/"

    def start(self) -> None:
        """Listen. Call it in the running event loop.

        Raises:
            OSError: the address is taken, or not one of this machine.
        """
        if self._server is not None:
            return
        try:
            sockets = _listen(self._bind) if self._listening is None else [self._listening]
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
            raise OSError(error.errno, f"the admin server cannot listen on {self._bind}: {reason}") from error
        self._server = HTTPServer(
            self._application,
            idle_connection_timeout=60.0,
            body_timeout=10.0,
            max_header_size=16 * 1024,
            max_body_size=64 * 1024,
            xheaders=False,
        )
        self._server.add_sockets(sockets)
        if self._listening is None:
            self._address = Bind(self._bind.host, _port(sockets[0]))

    async def stop(self) -> None:
        """Close the listening sockets and every connection; stopping twice is harmless."""
        server, self._server, self._address = self._server, None, None
        if server is not None:
            server.stop()
            await server.close_all_connections()


def _listen(bind: Bind) -> list[socket.socket]:
    """Listen on every address of the host that this machine has, all on one port.

    tornado's own `bind_sockets` leaves sockets open when it fails, and `localhost` fails with it where IPv6 is off.
    """
    found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    port = bind.port
    absent: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            listening = socket.socket(family, kind, protocol)
            sockets.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.setblocking(False)
            listening.bind((address[0], port, *address[2:]))
            listening.listen(128)
            port = _port(listening)
        except OSError as error:
            if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                absent = error
                if sockets and sockets[-1].family == family:
                    sockets.pop().close()
                continue
            for listening in sockets:
                listening.close()
            raise
    if not sockets:
        raise absent or OSError(errno.EADDRNOTAVAIL, "the host has no address")
    return sockets


def _port(listening: socket.socket) -> int:
    port: int = listening.getsockname()[1]
    return port
