"""One connection to an upstream that speaks HTTP/1.1."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mitmproxy import connection, http

from ...errors import Refusal
from ...resources.server_tls import ServerTls
from ..messages.heads import Fields, Malformed, ResponseHead, field_lines
from ..messages.http1_answers import ResponseReader
from ..messages.rendering import last_chunk
from ..mitm import note_end, note_open
from ..tls_transport import pieces_of
from .connection_settings import probe
from .upstream_side import UpstreamUser

if TYPE_CHECKING:
    from .pool import ClusterPool

__all__ = ["Upstream"]

logger = logging.getLogger(__name__)


class Upstream(asyncio.Protocol):
    """One connection to an endpoint, used by at most one exchange at a time (`upstream_side.UpstreamLink`)."""

    framed = False
    tls: ServerTls | None = None

    def __init__(self, pool: ClusterPool, endpoint: str, server: connection.Server, client: connection.Client) -> None:
        self.pool = pool
        self.endpoint = endpoint
        self.server = server
        self.client = client
        self.user: UpstreamUser | None = None
        self.requests = 0
        self.idle_since = 0.0
        self.made = 0.0
        """When it was established, on the monotonic clock."""
        self._transport: asyncio.Transport | None = None
        self._reader = ResponseReader(self, pool.settings.max_head)
        self._pieces: list[bytes] = []
        self._trailers: Fields | None = None
        self._raw = False
        self._gave_way = False
        """Whether another protocol is at the socket."""

    streams = 1
    """Requests at a time."""

    @property
    def busy(self) -> bool:
        return self.user is not None

    @property
    def closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    @property
    def reusable(self) -> bool:
        """Whether another request may follow, known once the response has ended."""
        settings = self.pool.settings
        if settings.max_requests and self.requests >= settings.max_requests:
            return False
        if settings.max_age and time.monotonic() - self.made >= settings.max_age:
            return False
        return self._reader.keep_alive and not self._raw and not self.closing

    def begin(self, user: UpstreamUser, *, head: bool) -> None:
        """Take the connection for one request."""
        self.user = user
        self.requests += 1
        self._reader.begin(head=head)

    @property
    def link(self) -> Upstream:
        return self

    def send_request(
        self,
        method: bytes,
        target: bytes,
        scheme: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        *,
        trailers_known: bool,
    ) -> None:
        """Send a request's head."""
        self.write(b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, field_lines(fields)))

    def write(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self.tls is None:
            self._transport.write(data)
            return
        for piece in pieces_of(data):
            self._transport.write(piece)

    def end_body(self, trailers: http.Headers | None, *, chunked: bool) -> None:
        """Send the end of a body that streamed."""
        if chunked:
            self.write(last_chunk(trailers))

    def tunnel(self) -> bytes:
        """Stop reading HTTP after a switch of protocols; returns what came behind the head."""
        self._raw = True
        rest, self._reader.rest = self._reader.rest, b""
        return rest

    def end_writing(self) -> None:
        """Pass the end of a tunnel's stream on."""
        if self._transport is not None and self._transport.can_write_eof() and not self._transport.is_closing():
            with contextlib.suppress(OSError):  # a reset that the loop has not told of yet
                self._transport.write_eof()

    def pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def give_way(self, protocol: asyncio.Protocol) -> None:
        """Let another protocol be at the socket until the answer ends."""
        if self._transport is not None:
            self._gave_way = True
            self._transport.set_protocol(protocol)

    @property
    def between_chunks(self) -> bool:
        """Whether what comes next begins a chunk, or goes on with its size line."""
        return self._reader.between_chunks

    def abort(self) -> None:
        """Hang up at once; the user, if any, is not told."""
        self.user = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.made = time.monotonic()
        if self.pool.settings.keepalive is not None:
            probe(transport.get_extra_info("socket"), self.pool.settings.keepalive)
        note_open(self.server, transport)

    def data_received(self, data: bytes) -> None:
        user = self.user
        if user is None:
            # Nobody asked: a response out of turn poisons the connection.
            self.abort()
            return
        if self._raw:
            user.upstream_body([data])
            return
        try:
            try:
                self._reader.feed(data)
            except Malformed:
                self._deliver()
                self._fail(Refusal.UPSTREAM_PROTOCOL)
            else:
                self._deliver()
        except Exception:
            self.bug()

    def eof_received(self) -> bool:
        if self._raw and self.user is not None:
            self.user.upstream_end(())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        note_end(self.server)
        if self.user is not None:
            if exc is None and not self._raw and self._reader.eof():
                try:
                    self._deliver()
                except Exception:
                    self.bug()
            else:
                self._fail(Refusal.UPSTREAM_CLOSED)
        self.pool.lost(self)

    def pause_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_writable(False)

    def resume_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_writable(True)

    def response_head(self, head: ResponseHead) -> None:
        if self.user is not None:
            self.user.upstream_head(head)

    def response_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def response_end(self, trailers: Fields) -> None:
        self._trailers = trailers
        if self._gave_way:
            self._gave_way = False
            if self._transport is not None:
                self._transport.set_protocol(self)

    def _deliver(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            if self.user is not None:
                self.user.upstream_body(pieces)
        if self._trailers is not None:
            trailers, self._trailers = self._trailers, None
            if self.user is not None:
                self.user.upstream_end(trailers)

    def bug(self) -> None:
        """End a failure of whoever uses the connection as a failure of that exchange, and of no other."""
        if self.user is None:
            logger.exception("the gateway failed on an answer of %s", self.endpoint)
        self._fail(Refusal.INTERNAL)

    def _fail(self, refusal: Refusal) -> None:
        user, self.user = self.user, None
        if self._transport is not None:
            self._transport.abort()
        if user is not None:
            user.upstream_failed(refusal)
