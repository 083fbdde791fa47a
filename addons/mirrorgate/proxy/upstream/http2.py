"""An HTTP/2 connection to an upstream (prior knowledge, or ALPN over TLS), which carries many requests at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes
from mitmproxy import connection

from ...errors import Refusal
from ...resources.server_tls import ServerTls
from ..messages.heads import Malformed
from ..messages.http2_heads import response_from, trailers_from
from ..messages.http2_session import session_of
from ..mitm import note_end, note_open
from .connection_settings import probe
from .http2_stream import UpstreamStream

if TYPE_CHECKING:
    from .pool import ClusterPool

__all__ = ["UNKNOWN_STREAMS", "Http2Upstream"]

logger = logging.getLogger(__name__)

UNKNOWN_STREAMS = 2**31 - 1
"""Streams that a server is expected to take before its SETTINGS say (RFC 9113, 6.5.2: initially no limit)."""

_WINDOW = 1024 * 1024
_STREAM_WINDOW = 256 * 1024
_DEFAULT_WINDOW = 65535
_STREAM_NUMBERS = 2**31 - 3
"""A connection whose stream numbers are used up takes no more requests (RFC 9113, 5.1.1)."""


class Http2Upstream(asyncio.Protocol):
    """One connection to an endpoint."""

    framed = True
    tls: ServerTls | None = None

    def __init__(self, pool: ClusterPool, endpoint: str, server: connection.Server, client: connection.Client) -> None:
        self.pool = pool
        self.endpoint = endpoint
        self.server = server
        self.client = client
        self.user = None
        self.requests = 0
        self.idle_since = 0.0
        self.made = 0.0
        """When it was established, on the monotonic clock."""
        self.writable = True
        self.streams = UNKNOWN_STREAMS
        """Requests at a time that the server takes."""
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done with the server's SETTINGS: before, requests could be too many, and would come back refused."""
        self._transport: asyncio.Transport | None = None
        self._carried: dict[int, UpstreamStream] = {}
        self._leaving = False
        """Whether the server takes no more requests."""
        self.session = session_of(
            client=True,
            settings={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: pool.settings.max_head,
            },
            max_head=pool.settings.max_head,
        )

    @property
    def link(self) -> Http2Upstream:
        return self

    @property
    def closing(self) -> bool:
        return self._transport is None or self._transport.is_closing() or self._leaving

    @property
    def busy(self) -> bool:
        return bool(self._carried)

    @property
    def reusable(self) -> bool:
        """Whether further requests may follow."""
        settings = self.pool.settings
        if settings.max_requests and self.requests >= settings.max_requests:
            return False
        if settings.max_age and time.monotonic() - self.made >= settings.max_age:
            return False
        return not self.closing and self.session.highest_outbound_stream_id < _STREAM_NUMBERS

    def open(self) -> UpstreamStream:
        """Take a place for one request."""
        self.requests += 1
        return UpstreamStream(self)

    def rest(self) -> None:
        """Close once nothing is carried, where no further request may follow."""
        if not self._carried and not self.reusable:
            self.close()

    def resume(self) -> None:
        """Read on; the connection is never paused as a whole."""

    def abort(self) -> None:
        """Hang up at once; who uses it is told that the connection is gone."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection; one in use closes with its last request."""
        self._leaving = True
        if not self._carried and self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.made = time.monotonic()
        if self.pool.settings.keepalive is not None:
            probe(transport.get_extra_info("socket"), self.pool.settings.keepalive)
        note_open(self.server, transport)
        self.session.initiate_connection()
        self.session.increment_flow_control_window(_WINDOW - _DEFAULT_WINDOW)
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            found = self.session.receive_data(data)
        except H2Error:
            self.flush()
            self._break(Refusal.UPSTREAM_PROTOCOL)
            return
        opened: set[int] = set()
        for event in found:
            if isinstance(event, events.ConnectionTerminated):
                self._go_away(event)
            elif isinstance(event, events.WindowUpdated):
                opened.add(event.stream_id or 0)
            else:
                self._take(event)
        if opened:
            self._send(opened)
        self.flush()
        self.rest()

    def connection_lost(self, exc: Exception | None) -> None:
        note_end(self.server)
        if not self.greeted.done():
            self.greeted.set_exception(
                exc if isinstance(exc, OSError) else ConnectionResetError("closed by the server")
            )
            self.greeted.exception()  # looked at, be it waited for or not
        self._break(Refusal.UPSTREAM_CLOSED)
        self.pool.lost(self)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._send({0})

    # For the streams

    def send_head(self, stream: UpstreamStream, pairs: list[tuple[bytes, bytes]]) -> int:
        """Send a request's head; returns its stream's number, 0 when there is no connection any more."""
        try:
            number = self.session.get_next_available_stream_id()
            self.session.send_headers(number, pairs)
        except H2Error:
            self.lost_later(stream)
            return 0
        self._carried[number] = stream
        self.flush()
        return number

    def flush(self) -> None:
        data = self.session.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def reset(self, number: int, code: ErrorCodes) -> None:
        self._carried.pop(number, None)
        try:
            self.session.reset_stream(number, code)
        except H2Error:
            return  # it has ended by itself
        self.flush()

    def acknowledge(self, size: int, number: int) -> None:
        """Let the server send as much again on a stream; the connection's window is open already."""
        self.session.reopen_stream(size, number)
        self.flush()

    def lost_later(self, stream: UpstreamStream) -> None:
        """Tell a stream that it is gone, once whoever writes to it has returned."""
        asyncio.get_running_loop().call_soon(stream.fail, Refusal.UPSTREAM_CLOSED)

    # Frames

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.RemoteSettingsChanged):
            self._settings()
        else:
            if isinstance(event, events.DataReceived):
                # At once: a client that reads slowly holds its own stream, and not everything that the server sends.
                self.session.reopen(event.flow_controlled_length or 0)
            stream = self._carried.get(getattr(event, "stream_id", 0) or 0)
            if stream is not None:
                try:
                    self._of_stream(stream, event)
                except Malformed:
                    self.reset(stream.number, ErrorCodes.PROTOCOL_ERROR)
                    stream.fail(Refusal.UPSTREAM_PROTOCOL)
                except Exception:
                    # A failure of whoever uses the stream is one of that exchange, and of no other.
                    if stream.user is None:
                        logger.exception("the gateway failed on an answer of %s", self.endpoint)
                    stream.fail(Refusal.INTERNAL)

    def _of_stream(self, stream: UpstreamStream, event: events.Event) -> None:
        if isinstance(event, events.ResponseReceived):
            pairs = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
            stream.answer(response_from(pairs, to_head=stream.to_head, ended=event.stream_ended is not None))
        elif isinstance(event, events.DataReceived):
            stream.body(event.data or b"", event.flow_controlled_length or 0)
        elif isinstance(event, events.TrailersReceived):
            stream.trailers(trailers_from([(bytes(name), bytes(value)) for name, value in event.headers or ()]))
        elif isinstance(event, events.StreamEnded):
            self._carried.pop(stream.number, None)
            stream.end()
        elif isinstance(event, events.StreamReset):
            self._carried.pop(stream.number, None)
            refused = event.error_code == ErrorCodes.REFUSED_STREAM
            stream.fail(Refusal.UPSTREAM_REFUSED if refused else Refusal.UPSTREAM_RESET)

    def _settings(self) -> None:
        streams = min(self.session.remote_settings.max_concurrent_streams, UNKNOWN_STREAMS)
        if not self.greeted.done():
            self.streams = streams
            self.greeted.set_result(None)
        elif streams != self.streams:
            self.streams = streams
            if self.reusable:
                self.pool.resized(self)
        self._send({0})

    def _send(self, opened: AbstractSet[int]) -> None:
        """Send what waits for these windows, 0 being the connection's, a frame of each stream in turn: all that have
        come in one read together, or the first would take what is for all."""
        numbers = self._carried if 0 in opened else opened
        waiting = [stream for number in numbers if (stream := self._carried.get(number)) is not None and stream.waiting]
        while waiting and self.writable:
            waiting = [stream for stream in waiting if stream.send(frames=1)]

    def _go_away(self, event: events.ConnectionTerminated) -> None:
        """Send nothing more; what the server has not begun with may be sent again elsewhere."""
        self._leaving = True
        last = event.last_stream_id or 0
        self.pool.unready(self)
        for number in [number for number in self._carried if number > last]:
            self._carried.pop(number).fail(Refusal.UPSTREAM_REFUSED)

    def _break(self, refusal: Refusal) -> None:
        """End everything that is carried."""
        self._leaving = True
        carried, self._carried = self._carried, {}
        for stream in carried.values():
            stream.fail(refusal)
        if self._transport is not None:
            self._transport.abort()
