"""One request on an HTTP/2 connection to an upstream: what an exchange uses as it would use a connection of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from mitmproxy import http

from ...errors import Refusal
from ..messages.heads import Fields, Malformed, ResponseHead
from ..messages.rendering import sent_trailers

if TYPE_CHECKING:
    from .http2 import Http2Upstream
    from .upstream_side import UpstreamUser

__all__ = ["UpstreamStream"]

_HIGH_WATER = 64 * 1024
_LOW_WATER = 16 * 1024
"""Bytes of a request that wait for the server's window: above the one the client waits, below the other no more."""

_OF_HTTP1 = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"host", b"te")
)


class UpstreamStream:
    """A stream, used by one exchange (`upstream_side.UpstreamLink`)."""

    framed = True

    def __init__(self, link: Http2Upstream) -> None:
        self.link = link
        self.endpoint = link.endpoint
        self.server = link.server
        self.requests = link.requests
        self.user: UpstreamUser | None = None
        self.number = 0
        """0 until the request is sent."""
        self.to_head = False
        self.head: ResponseHead | None = None
        self.received = 0
        self._trailers: Fields = ()
        self._answered = False
        self._sent_end = False
        self._ending: list[tuple[bytes, bytes]] | None = None
        """Trailers of the request, once its body is complete; `None` before."""
        self._queue: deque[bytes | memoryview] = deque()
        self._queued = 0
        self._full = False
        self._paused = False
        self._unacknowledged = 0

    @property
    def closing(self) -> bool:
        return self.link.closing

    @property
    def reusable(self) -> bool:
        """Whether the stream has ended in good order, so that nothing has to be taken back."""
        return self._answered and self._sent_end

    def begin(self, user: UpstreamUser, *, head: bool) -> None:
        """Take the stream for one request."""
        self.user = user
        self.to_head = head

    def send_request(
        self,
        method: bytes,
        target: bytes,
        scheme: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        *,
        trailers_known: bool,
    ) -> None:
        """Send a request's head; `trailers_known` says that the sender understands trailers (`te`, for gRPC)."""
        authority = next((value for name, value in fields if name.lower() == b"host"), b"")
        pairs = [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", target)]
        pairs += [(name.lower(), value) for name, value in fields if name.lower() not in _OF_HTTP1]
        if trailers_known:
            pairs.append((b"te", b"trailers"))
        self.number = self.link.send_head(self, pairs)

    def write(self, data: bytes) -> None:
        if data and self.number:
            self._queue.append(data)
            self._queued += len(data)
            self.send()

    def end_body(self, trailers: http.Headers | None, *, chunked: bool) -> None:
        """Send the end of the request."""
        self._ending = [(name.lower(), value) for name, value in sent_trailers(trailers)]
        self.send()

    def send(self, frames: int = -1) -> bool:
        """Send what waits, as far as the windows and the socket take it, and at most so many frames where it is not
        negative. Whether more of it could go."""
        if self._sent_end or not self.number:
            return False
        before = self._queued
        try:
            self._send(frames)
        except H2Error:
            self.link.lost_later(self)
            return False
        self.link.flush()
        if not self._full and self._queued > _HIGH_WATER:
            self._full = True
            if self.user is not None:
                self.user.upstream_writable(False)
        elif self._full and self._queued <= _LOW_WATER:
            self._full = False
            if self.user is not None:
                self.user.upstream_writable(True)
        return 0 < self._queued < before

    def _send(self, frames: int) -> None:
        session, number, queue = self.link.session, self.number, self._queue
        while queue and self.link.writable and frames:
            frames -= 1
            room = min(session.local_flow_control_window(number), session.max_outbound_frame_size)
            if room <= 0:
                return
            piece = queue.popleft()
            if len(piece) > room:
                queue.appendleft(memoryview(piece)[room:])
                piece = piece[:room]
            self._queued -= len(piece)
            last = self._ending == [] and not queue
            session.send_data(number, bytes(piece), end_stream=last)
            if last:
                self._sent_end = True
                return
        if self._ending is not None and not queue:
            if self._ending:
                session.send_headers(number, self._ending, end_stream=True)
            else:
                session.end_stream(number)
            self._sent_end = True

    @property
    def waiting(self) -> bool:
        return self._queued > 0

    def pause(self) -> None:
        """Let the server's window run out."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._acknowledge()

    def abort(self) -> None:
        """Take the request back; the user, if any, is not told."""
        self.user = None
        self._queue.clear()
        self._queued = 0
        if self.number and not self.reusable:
            self.link.reset(self.number, ErrorCodes.NO_ERROR if self._answered else ErrorCodes.CANCEL)
        self._answered = self._sent_end = True
        self._paused = False
        self._acknowledge()

    def close(self) -> None:
        """End the use of the connection; it goes on with other streams, or closes when it has none."""
        self.link.rest()

    def tunnel(self) -> bytes:
        raise AssertionError("a stream never switches protocols")

    def end_writing(self) -> None:
        self.abort()

    # From the connection

    def answer(self, head: ResponseHead) -> None:
        self.head = head
        if self.user is not None:
            self.user.upstream_head(head)

    def body(self, data: bytes, size: int) -> None:
        self.received += len(data)
        self._unacknowledged += size
        length = None if self.head is None or self.head.bodiless else self.head.content_length
        if length is not None and self.received > length:
            raise Malformed("the body is longer than announced")
        if data and self.user is not None:
            self.user.upstream_body([data])
        if not self._paused:
            self._acknowledge()

    def trailers(self, fields: Fields) -> None:
        self._trailers = fields

    def end(self) -> None:
        head = self.head
        if head is None or (head.content_length not in (None, self.received) and not head.bodiless):
            self.fail(Refusal.UPSTREAM_PROTOCOL)
            return
        self._answered = True
        if self.user is not None:
            self.user.upstream_end(self._trailers)

    def fail(self, refusal: Refusal) -> None:
        """Tell the user, if any, that nothing more comes."""
        user, self.user = self.user, None
        if user is not None:
            user.upstream_failed(refusal)

    def _acknowledge(self) -> None:
        size, self._unacknowledged = self._unacknowledged, 0
        if size:
            self.link.acknowledge(size, self.number)
