"""One request of an HTTP/2 connection, and its answer: what an exchange sees of its client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from mitmproxy import http

from ...errors import Refusal
from ..messages.heads import Fields, Malformed
from ..messages.http2_heads import response_fields
from ..messages.rendering import sent_trailers
from .client_side import Inbound

if TYPE_CHECKING:
    from ..carrying.carrier import Carrier
    from .http2 import Http2Connection

__all__ = ["Http2Stream"]

_HIGH_WATER = 64 * 1024
_LOW_WATER = 16 * 1024
"""Bytes of an answer that wait for the client's window: above the one the upstream waits, below the other no more."""


class Http2Stream:
    """A stream (`client_side.ClientSide`)."""

    framed = True

    def __init__(self, link: Http2Connection, number: int, inbound: Inbound) -> None:
        self.number = number
        self.inbound = inbound
        self.plane = link.plane
        self.port = link.port
        self.client = link.client
        self.carrier: Carrier | None = None
        self.since = 0.0
        """Monotonic time of the last progress of what the client has still to take once the exchange is over."""
        self._link = link
        self._held: set[str] = set()
        self._unacknowledged = 0
        self._queue: deque[bytes | memoryview] = deque()
        self._queued = 0
        self._writable = True
        self._ended = False
        """Whether the answer is complete, be it sent or not."""
        self._trailers: list[tuple[bytes, bytes]] = []
        self._closed = False
        """Whether nothing more can be sent: the end is, or a reset came or went."""
        self._drained: Carrier | None = None

    # From the connection

    def receive(self, data: bytes, size: int) -> None:
        """Take a piece of the request; `size` is what it takes of the window, padding included."""
        if self._ended:
            self.inbound.received += len(data)  # nobody wants it any more
        else:
            self.inbound.add(data)
        self._unacknowledged += size
        if not self._held:
            self._acknowledge()

    def receive_end(self, trailers: Fields = ()) -> None:
        self.inbound.trailers = self.inbound.trailers or trailers
        self.inbound.ended = True

    @property
    def misframed(self) -> bool:
        """Whether the body is longer than announced, or its end came before."""
        inbound = self.inbound
        length = inbound.head.content_length
        if length is None:
            return False
        return inbound.received > length or (inbound.ended and inbound.received != length)

    def malformed(self, message: str) -> None:
        """End the exchange: the body of its request breaks the protocol."""
        if self.carrier is not None:
            self.carrier.malformed(Malformed(message))
            return
        if not self._ended:
            self.plane.rejected(self._link, Refusal.BAD_REQUEST, message)
        self.reset(ErrorCodes.PROTOCOL_ERROR)
        self._link.forget(self)

    def left(self) -> None:
        """Take note that the client has given up the request, or is gone."""
        self._closed = True
        self._queue.clear()
        self._queued = 0
        self._drained = None
        carrier = self.carrier
        if carrier is not None:
            carrier.client_left()
        else:
            self._link.forget(self)

    def send(self, frames: int = -1) -> bool:
        """Send what waits, as far as the windows and the socket take it, and at most so many frames where it is not
        negative. Whether more of it could go."""
        if self._closed:
            return False
        before = self._queued
        try:
            self._send(frames)
        except H2Error:
            # The stream has ended under us. Not at once: whoever writes must not hear of the end while it does.
            asyncio.get_running_loop().call_soon(self.left)
            return False
        if self.carrier is None and self._queued < before:
            self.since = self._link.now()
        self._link.flush()
        self._tell()
        return 0 < self._queued < before

    def _send(self, frames: int) -> None:
        link, number, queue = self._link, self.number, self._queue
        session = link.session
        while queue and link.writable and frames:
            frames -= 1
            room = min(session.local_flow_control_window(number), session.max_outbound_frame_size)
            if room <= 0:
                return
            piece = queue.popleft()
            if len(piece) > room:
                queue.appendleft(memoryview(piece)[room:])
                piece = piece[:room]
            self._queued -= len(piece)
            last = self._ended and not queue and not self._trailers
            session.send_data(number, bytes(piece), end_stream=last)
            link.earned()
            if last:
                self._closed = True
                return
        if self._ended and not queue:
            if self._trailers:
                session.send_headers(number, self._trailers, end_stream=True)
            else:
                session.end_stream(number)
            self._closed = True

    def _tell(self) -> None:
        """Tell the exchange how its client takes the answer."""
        if self._closed:
            drained, self._drained = self._drained, None
            if drained is not None:
                drained.client_drained()
            elif self.carrier is None:
                self._end()
        elif self._writable and self._queued > _HIGH_WATER:
            self._writable = False
            if self.carrier is not None:
                self.carrier.client_writable(False)
        elif not self._writable and self._queued <= _LOW_WATER:
            self._writable = True
            if self.carrier is not None:
                self.carrier.client_writable(True)

    def _acknowledge(self) -> None:
        size, self._unacknowledged = self._unacknowledged, 0
        if size:
            self._link.acknowledge(size, self.number)

    def _end(self) -> None:
        """Leave the connection: everything is sent. A request that is not whole is not wanted any more."""
        if not self.inbound.ended:
            self._link.reset(self.number, ErrorCodes.NO_ERROR)
        self._acknowledge()
        self._link.forget(self)

    def reset(self, code: ErrorCodes) -> None:
        """End the stream before its end."""
        if not self._closed:
            self._closed = True
            self._link.reset(self.number, code)
        self._queue.clear()
        self._queued = 0

    # For the exchange

    @property
    def writable(self) -> bool:
        return self._writable

    @property
    def closed(self) -> bool:
        return self._closed or self._link.closed

    @property
    def scheme(self) -> bytes:
        return b"https" if self.client.tls else b"http"

    @property
    def server_name(self) -> str | None:
        return self.client.sni or "" if self.client.tls else None

    @property
    def storing(self) -> int:
        return self.plane.storing

    @property
    def straight(self) -> None:
        """A piece of a body is framed for its stream."""
        return

    @property
    def unsent(self) -> int:
        return self._queued

    @property
    def stuck(self) -> bool:
        """Whether the exchange is over, and the client has still to take its answer."""
        return self.carrier is None and self._queued > 0

    def hold(self, reason: str) -> None:
        """Let the client's window run out until `unhold` is called for every reason."""
        self._held.add(reason)

    def unhold(self, reason: str) -> None:
        self._held.discard(reason)
        if not self._held and self._unacknowledged:
            self._acknowledge()

    def send_continue(self) -> None:
        self._headers([(b":status", b"100")])

    def send_head(
        self,
        status: int,
        reason: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        content: bytes | None,
        trailers: http.Headers | None = None,
    ) -> None:
        if self.closed:
            return
        pairs = response_fields(status, fields)
        if content is None:
            self._headers(pairs)
            return
        self._trailers = _lower(trailers)
        self._ended = True
        if not content and not self._trailers:
            self._headers(pairs, end=True)
            return
        self._headers(pairs)
        if content:
            self._queue.append(content)
            self._queued += len(content)
        self.send()

    def write(self, data: bytes) -> None:
        if data and not self.closed:
            self._queue.append(data)
            self._queued += len(data)
            self.send()

    def end_body(self, trailers: http.Headers | None, *, chunked: bool) -> None:
        self._trailers = _lower(trailers)
        self._ended = True
        self.send()

    def _headers(self, pairs: list[tuple[bytes, bytes]], *, end: bool = False) -> None:
        if self.closed:
            return
        try:
            self._link.session.send_headers(self.number, pairs, end_stream=end)
        except H2Error:
            asyncio.get_running_loop().call_soon(self.left)
            return
        self._closed = end
        self._link.flush()

    def when_drained(self, carrier: Carrier) -> bool:
        """Call `client_drained` once all that was written is sent; `False` when that is so already."""
        if self._closed or not self._queued:
            return False
        self._drained = carrier
        return True

    def start_tunnel(self) -> bytes:
        raise AssertionError("a stream never asks for a switch of protocols")

    def end_writing(self) -> None:
        self.cut()

    def exchange_done(self, *, close: bool) -> None:
        """Take note that the exchange is over. What the client has not taken yet is still sent."""
        self.carrier = None
        self._held.clear()
        self._acknowledge()
        self.since = self._link.now()
        if self._closed:
            self._end()
        elif not self._ended:
            self.reset(ErrorCodes.INTERNAL_ERROR)
            self._end()
        if self.plane.leaving:
            self._link.go_away()

    def cut(self) -> None:
        """End an answer that is not whole, so that the client can tell."""
        self.reset(ErrorCodes.INTERNAL_ERROR)

    def abort(self) -> None:
        self.reset(ErrorCodes.CANCEL)


def _lower(trailers: http.Headers | None) -> list[tuple[bytes, bytes]]:
    """Return the trailers that may be sent, as HTTP/2 wants their names."""
    return [(name.lower(), value) for name, value in sent_trailers(trailers)]
