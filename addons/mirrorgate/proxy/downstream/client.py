"""One client connection: requests come in one after another, each becomes an exchange, answers go out in order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mitmproxy import connection, http

from ...errors import Refusal
from ..carrying.retrying import hurry
from ..messages.heads import Fields, Malformed, RequestHead, render_response
from ..messages.http1 import RequestReader
from ..messages.rendering import last_chunk, rejection
from ..mitm import new_client, note_end, stock_mode
from . import tls_hooks
from .client_side import Inbound
from .departures import Farewell, has_left
from .http2 import PREFACE, Http2Connection

if TYPE_CHECKING:
    from ..carrying.carrier import Carrier
    from ..dataplane import Dataplane, Port
    from ..tls_contexts import Handshake

__all__ = ["ClientConnection"]

_HELD_MOST = 64 * 1024
"""Bytes held back behind a request for a switch of protocols, until the upstream has answered it."""

_WELCOME = 1.0
"""Seconds for which a connection's first request is not refused for overload: letting it in has cost more than that."""

_LINGER = 1.0
"""Seconds for which what a client still sends is read and dropped behind the last answer, so that the answer is not
lost to a reset. Envoy's delayed close takes as long."""


class ClientConnection(asyncio.Protocol):
    """A client's connection to one listener port (`client_side.ClientSide`, one exchange at a time)."""

    framed = False

    def __init__(self, plane: Dataplane, port: Port) -> None:
        self.plane = plane
        self.port = port
        self.client: connection.Client
        self.transport: asyncio.Transport
        self.carrier: Carrier | None = None
        self.since = 0.0
        """Monotonic time since which nothing was under way, or since which a head has been arriving."""
        self.writable = True
        self.reader = RequestReader(self, plane.settings.max_head)
        self._queue: list[Inbound] = []
        self._receiving: Inbound | None = None
        self._paused: set[str] = set()
        self._drained: Carrier | None = None
        self._discarding = False
        self._tunnel = False
        self._error: Malformed | None = None
        self._farewell = Farewell()
        self._closed = False
        self._welcome = 0.0
        """Until when the next request is served whatever else is to do, as it is the first."""
        self._first: bytes | None = b""
        """What may still become the preface of HTTP/2; `None` once it is known to be none."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        plane = self.plane
        peer = transport.get_extra_info("peername") or ("", 0)
        own = transport.get_extra_info("sockname") or ("", 0)
        self.client = new_client(peer, own, stock_mode(own[1] or 80))
        self.client.tls = self.port.tls
        self.since = time.monotonic()
        self._welcome = self.since + _WELCOME
        plane.connected(self)
        pending = plane.hooks.fire("client_connected", self.client)
        if pending is not None:
            self.hold("hook")
            plane.spawn(self._greet(pending))
        elif self.client.error:
            transport.abort()

    async def _greet(self, pending: object) -> None:
        await pending  # type: ignore[misc]
        self.unhold("hook")
        if self.client.error:
            self.transport.abort()

    @property
    def scheme(self) -> bytes:
        return b"https" if self.client.tls else b"http"

    @property
    def server_name(self) -> str | None:
        """Whom the TLS handshake asked for, empty for nobody; `None` without TLS."""
        return self.client.sni or "" if self.client.tls else None

    def tls_established(self, session: Handshake) -> None:
        tls_hooks.established(self.plane, self.client, session)
        self.since = time.monotonic()
        if self.client.alpn == b"h2":
            self._speak_http2(b"")

    def tls_failed(self, session: Handshake, message: str) -> None:
        tls_hooks.failed(self.plane, self.client, session, message)

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        if self._first is not None:
            data = self._after_preface(data)
            if not data:
                return
        if self._tunnel:
            if self.carrier is not None:
                self.carrier.tunnel_data(data)
            return
        if self.carrier is None and self.reader.idle:
            shedding = self.plane.shedding
            self.since = time.monotonic()  # a head begins; its later bytes do not earn it more time
            if (
                shedding is not None
                and self.since > self._welcome
                and shedding.late
                and self.writable
                and not self._queue
                and shedding.refusals.answer(self, data)
            ):
                return
        self._read(data)
        if len(self.reader.held) > _HELD_MOST:
            self.hold("upgrade")
        self._advance()

    def _after_preface(self, data: bytes) -> bytes:
        """Return what is HTTP/1.1; HTTP/2 begins with a preface that no request of HTTP/1.1 begins with."""
        first = (self._first or b"") + data
        if first.startswith(PREFACE):
            self._speak_http2(first)
            return b""
        if PREFACE.startswith(first):
            self._first = first  # the idle time goes on, so that a preface without end is no way to stay
            return b""
        self._first = None
        return first

    def _speak_http2(self, data: bytes) -> None:
        """Hand the connection over."""
        link = Http2Connection(self.plane, self.port, self.client, self.transport)
        self.transport.set_protocol(link)
        self.plane.handed_over(self, link)
        self._closed = True  # nothing of it is ours any more
        if data:
            link.data_received(data)

    def eof_received(self) -> bool:
        # A client that shuts its writing side down is taken for gone, as in Envoy: a close looks the same.
        if self._tunnel and self.carrier is not None:
            self.carrier.tunnel_eof()
            return True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        note_end(self.client)
        if self.carrier is not None:
            self.carrier.client_left()
        self._queue.clear()
        self._drained = None
        self.plane.disconnected(self)

    def pause_writing(self) -> None:
        self.writable = False
        if self.carrier is not None:
            self.carrier.client_writable(False)

    def resume_writing(self) -> None:
        self.writable = True
        drained, self._drained = self._drained, None
        if drained is not None:
            self.transport.set_write_buffer_limits()
            drained.client_drained()
        elif self.carrier is not None:
            self.carrier.client_writable(True)
        else:
            self._advance()

    # RequestSink

    def request_head(self, head: RequestHead) -> None:
        self._receiving = Inbound(head)
        self._receiving.welcome, self._welcome = self._receiving.began < self._welcome, 0.0
        self._queue.append(self._receiving)

    def request_body(self, data: bytes) -> None:
        inbound = self._receiving
        if inbound is not None:
            inbound.add(data)

    def request_end(self, trailers: Fields) -> None:
        inbound = self._receiving
        if inbound is not None:
            inbound.trailers, inbound.ended = trailers, True
            self._receiving = None

    # For the exchange

    @property
    def storing(self) -> int:
        """Bytes of a streamed answer that are kept on its flow; 0 keeps none."""
        return self.plane.storing

    @property
    def active(self) -> int:
        """Exchanges under way."""
        return int(self.carrier is not None)

    @property
    def closed(self) -> bool:
        return self._closed or self.transport.is_closing()

    def hold(self, reason: str) -> None:
        """Stop reading from the client until `unhold` is called for every reason."""
        if not self._paused and not self.transport.is_closing():
            self.transport.pause_reading()
        self._paused.add(reason)

    def unhold(self, reason: str) -> None:
        if reason in self._paused:
            self._paused.discard(reason)
            if not self._paused and not self.transport.is_closing():
                self.transport.resume_reading()

    def send_continue(self) -> None:
        self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def send_head(
        self,
        status: int,
        reason: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        content: bytes | None,
        trailers: http.Headers | None = None,
    ) -> None:
        """Send an answer's head, and with it a body that is framed already; `None` when the body follows."""
        self.write(render_response(status, reason, fields) + (content or b""))

    def end_body(self, trailers: http.Headers | None, *, chunked: bool) -> None:
        """Send the end of a body that streamed."""
        if chunked:
            self.write(last_chunk(trailers))

    def cut(self) -> None:
        """End an answer that is not whole, so that the client can tell."""
        self.transport.close()

    def write(self, data: bytes) -> None:
        if not self._closed and not self._discarding:
            self.transport.write(data)

    @property
    def straight(self) -> Callable[[bytes], object]:
        return self.transport.write

    @property
    def unsent(self) -> int:
        """Bytes that were written and the client's side has not taken."""
        return 0 if self._closed else self.transport.get_write_buffer_size()

    def when_drained(self, carrier: Carrier) -> bool:
        """Call `client_drained` once all that was written is sent; `False` when that is so already."""
        if self.unsent == 0:
            return False
        self._drained = carrier
        # With a high-water mark of 0 the transport reports when it has run empty.
        self.transport.set_write_buffer_limits(high=0)
        return True

    def start_tunnel(self) -> bytes:
        """Stop reading HTTP after a switch of protocols; returns what the client sent behind its request."""
        self._tunnel = True
        held, self.reader.held = self.reader.held, b""
        self.unhold("upgrade")
        return held

    def end_writing(self) -> None:
        if not self.closed and self.transport.can_write_eof():
            with contextlib.suppress(OSError):  # a reset that the loop has not told of yet
                self.transport.write_eof()

    def exchange_done(self, *, close: bool) -> None:
        """End the exchange under way: close, or go on to the next request."""
        carrier, self.carrier = self.carrier, None
        self.since = time.monotonic()
        self.unhold("body")
        if self.closed:
            return
        if self._tunnel:
            self.transport.close()
        elif close or (carrier is not None and not carrier.inbound.ended):
            self._linger()
        else:
            if self.reader.upgraded and not self._queue:  # else the request for the upgrade is still to come
                self.unhold("upgrade")
                self._read(None)
            if self._queue or self._error is not None:
                # Not at once: a burst of pipelined requests must not nest.
                asyncio.get_running_loop().call_soon(self._advance)
            elif self.plane.draining:
                self.transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        if not self._closed:
            self.transport.abort()

    def sweep(self, now: float) -> None:
        """End the connection when it has idled, or taken too long over a request head. `now` is monotonic."""
        if self._closed:
            return
        if self._paused and has_left(self.transport, half_open=self._tunnel):
            self.transport.abort()
            return
        if self.carrier is not None:
            self.carrier.clocks.sweep(now)
        if self.transport.is_closing():
            if self._farewell.too_long(self.unsent, now):
                self.transport.abort()
            return
        if self.carrier is not None or self._discarding:
            return
        if self.reader.idle:
            self.reader.memory.fade(now - self.since)
            if now - self.since > self.plane.settings.idle_timeout:
                self.transport.close()
        elif now - self.since > self.plane.settings.head_timeout:
            self._reject(Refusal.REQUEST_HEADER_TIMEOUT, "")

    def drain(self) -> None:
        """Close when nothing is under way; otherwise the exchange closes it, which waits for no person."""
        if self.carrier is not None:
            hurry(self.carrier)
        if self.carrier is None and not self._queue and not self._closed:
            self.transport.close()

    def _read(self, data: bytes | None) -> None:
        """Parse bytes of the client, or (`None`) what was held back behind an upgrade that is not granted."""
        try:
            if data is None:
                self.reader.resume()
            else:
                self.reader.feed(data)
        except Malformed as error:
            self._error = error
            self.hold("malformed")

    def _advance(self) -> None:
        if self.closed or self._discarding:
            return
        if self.carrier is not None:
            self.carrier.inbound_changed()
        elif self._queue:
            if self.writable:  # else the client does not read its answers: it gets no further ones yet
                self.plane.start(self, self._queue.pop(0))
        elif self._error is not None:
            error, self._error = self._error, None
            self._reject(error.refusal, str(error))
            return
        if self._error is not None and self.carrier is not None and self.carrier.inbound is self._receiving:
            # The body of the request under way is malformed.
            error, self._error = self._error, None
            self.carrier.malformed(error)
            return
        if self._queue:
            self.hold("pipeline")
        else:
            self.unhold("pipeline")

    def _reject(self, refusal: Refusal, message: str) -> None:
        """Answer what is not a request, and close. mitmproxy has no flow for it."""
        self.write(rejection(refusal, message))
        self.plane.rejected(self, refusal, message)
        self._linger()

    def _linger(self) -> None:
        """Say that this was the last answer, and close once the client has seen it (RFC 9112, 9.6)."""
        self._discarding = True
        self.end_writing()
        self._queue.clear()
        for reason in tuple(self._paused):
            self.unhold(reason)
        asyncio.get_running_loop().call_later(_LINGER, self.transport.close)
