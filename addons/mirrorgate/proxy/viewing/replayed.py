"""Client replay: a flow that mitmproxy replays goes through route, admission and pick as if a client had sent it.

The exchange is carried as every other, between an upstream of the pool and a client that is only imagined: what would
be written to it is in the flow already. The mark `is_replay` keeps it from being mirrored.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from mitmproxy import connection, flow, http

from ...resources.endpoints import Address
from ..dataplane import Dataplane, Port
from ..downstream.client import ClientConnection
from ..downstream.client_side import Inbound
from ..messages.heads import Malformed, request_head
from ..mitm import new_client, stock_mode
from .flow_pairs import AGAIN, ENDPOINT, LEG, LINKS, PREFIX

__all__ = ["Replays"]

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(rb"[\x21-\x22\x24-\x7e]+")
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect", b"te"))


class Replays:
    """Sends flows again."""

    def __init__(self, plane: Dataplane) -> None:
        self._plane = plane

    async def replay(self, held: http.HTTPFlow) -> None:
        """Send the flow's request and put the answer, or the error, into it; returns when it is over.

        A request that no client could have sent (an editor, or a file, may have put anything in) ends with an error
        that says why.
        """
        plane = self._plane
        try:
            if plane.draining or not plane.ports:
                raise Malformed("the gateway takes no requests")
            inbound = _inbound(held)
        except Malformed as error:
            await self._fail(held, str(error))
            return
        client = _ImaginedClient(plane, self._port_of(held), held)
        plane.connected(client)
        plane.start(client, inbound)
        await client.done

    def _port_of(self, held: http.HTTPFlow) -> int:
        """Return the logical port that the request came to, or would have."""
        ports = self._plane.ports
        sockname = held.client_conn.sockname
        known = ports.get(sockname[1]) if sockname else None
        if known is None:
            known = held.request.port if held.request.port in ports.values() else next(iter(ports.values()))
        return known

    async def _fail(self, held: http.HTTPFlow, message: str) -> None:
        held.error = flow.Error(f"cannot be replayed: {message}")
        for name, argument in (("error", held), ("update", [held])):
            pending = self._plane.hooks.fire(name, argument)
            if pending is not None:
                await pending
        held.live = False


class _NoTransport(asyncio.Transport):
    """The transport to a client that is only imagined: takes everything, and never has anything to say."""

    def __init__(self) -> None:
        super().__init__()
        self._closing = False

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True

    def write(self, data: object) -> None:
        return

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return

    def can_write_eof(self) -> bool:
        return False


class _ImaginedClient(ClientConnection):
    """Stands where a client's connection stands, for one exchange."""

    def __init__(self, plane: Dataplane, logical_port: int, held: http.HTTPFlow) -> None:
        super().__init__(plane, Port(logical_port))
        self.transport = _NoTransport()
        self.client = _client_of(held)
        self.since = time.monotonic()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def server_name(self) -> None:
        """A replay has no handshake that its host could differ from."""
        return

    @property
    def storing(self) -> int:
        """A replay is asked for by somebody who wants to see its answer, streamed or not."""
        return max(self.plane.storing, self.plane.settings.body_limit)

    def exchange_done(self, *, close: bool) -> None:
        self.carrier = None
        self.transport.close()
        self.plane.disconnected(self)
        if not self.done.done():
            self.done.set_result(None)

    def abort(self) -> None:
        """Hang up: for an exchange under way this is a client that leaves."""
        if self.transport.is_closing():
            return
        self.transport.close()
        if self.carrier is not None:
            asyncio.get_running_loop().call_soon(self._left)

    def sweep(self, now: float) -> None:
        """Nothing idles here but the exchange."""
        if self.carrier is not None:
            self.carrier.clocks.sweep(now)

    def _left(self) -> None:
        if self.carrier is not None:
            self.carrier.client_left()


def _client_of(held: http.HTTPFlow) -> connection.Client:
    """Return the connection that the flow came over, as far as it is known; one from a file may know nothing."""
    peername: tuple[Any, ...] | None = held.client_conn.peername
    sockname: tuple[Any, ...] | None = held.client_conn.sockname
    if not peername or not sockname:
        held.client_conn = new_client(peername or ("127.0.0.1", 0), sockname or ("127.0.0.1", 0), stock_mode(80))
    return held.client_conn


def _inbound(held: http.HTTPFlow) -> Inbound:
    """Make a flow's request into one that has just come in; raises `Malformed` where no client could have sent it."""
    request = held.request
    if held.websocket is not None or request.raw_content is None:
        raise Malformed("its content was not kept")
    data = request.data
    fields = tuple(field for field in data.headers.fields if field[0].lower() not in _FRAMING)
    if not any(name.lower() == b"host" for name, _ in fields):
        # HTTP/2 has the authority in its place.
        fields = ((b"host", data.authority or request.pretty_host.encode("ascii", "replace")), *fields)
    body = request.raw_content
    if body or any(name.lower() == b"content-length" for name, _ in data.headers.fields):
        fields = (*fields, (b"content-length", b"%d" % len(body)))
    for name, value in fields + tuple(request.trailers.fields if request.trailers else ()):
        if _TOKEN.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise Malformed(f"the header field {name[:40]!r} is malformed")
    if _TOKEN.fullmatch(data.method) is None or _TARGET.fullmatch(data.path) is None:
        raise Malformed("its method or path is malformed")
    head = request_head(data.method, data.path, "1.1", fields, keep_alive=False, upgrading=False)
    endpoint = held.metadata.get(ENDPOINT)
    direct = _address(endpoint) if held.metadata.get(LEG) and isinstance(endpoint, str) else None
    _forget_the_past(held, fields)
    inbound = Inbound(head)
    inbound.flow = held
    inbound.direct = direct
    inbound.pieces = [body] if body else []
    inbound.buffered = inbound.received = len(body)
    inbound.ended = True
    return inbound


def _address(endpoint: str) -> Address:
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise Malformed("the endpoint of its leg is not known")
    return Address(host.strip("[]"), int(port))


def _forget_the_past(held: http.HTTPFlow, fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """Make the flow one that begins; what it was before is in its backup, as mitmproxy's `revert` expects."""
    request = held.request
    request.headers = http.Headers(fields)
    request.stream = False
    request.timestamp_start = time.time()
    request.timestamp_end = None
    held.is_replay = "request"
    held.response = None
    held.error = None
    held.live = True
    held.server_conn = connection.Server(address=None)
    kept = (*LINKS, ENDPOINT) if held.metadata.get(LEG) else LINKS
    for name in [name for name in held.metadata if name.startswith(PREFIX) and name not in kept]:
        del held.metadata[name]
    if held.marked != AGAIN:  # else they say what is being done, and not what came of it the last time
        held.marked = ""
        held.comment = ""
