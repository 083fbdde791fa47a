"""A connection of a shadow leg that speaks HTTP/2: one exchange, then it is closed.

By prior knowledge in clear, by ALPN over TLS. The library frames and checks; a stream that is reset, and a GOAWAY that
leaves it out, end the answer as a broken connection does.
"""

from __future__ import annotations

import asyncio
from typing import Final

from h2 import events
from h2.config import H2Configuration
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from ..http2_lasting import LastingSession
from ..records import Headers, Target
from .answering import AnswerReader, LegOutcome
from .pacing import Brake, Pace

__all__ = ["Http2Connection"]

_WINDOW: Final = 1024 * 1024
_DEFAULT_WINDOW: Final = 65535
_OF_A_CONNECTION: Final = frozenset(
    (b"host", b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te")
)
"""Fields that have no place in HTTP/2 (RFC 9113, 8.2.2); Host becomes the authority."""


class Http2Connection(asyncio.Protocol):
    """Carries one leg, as `connecting.Connection` does in HTTP/1.1."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pace: Pace) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._answered: asyncio.Future[None] | None = None
        self._origin = 0.0
        self._stream = 0
        self._room = asyncio.Event()
        """Set whenever more of the request may perhaps be sent."""
        self._writable = True
        self._received = 0.0
        self._brake = Brake(loop, pace)
        self._session = LastingSession(H2Configuration(client_side=True, header_encoding=None))

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    @property
    def last_received(self) -> float:
        """When bytes arrived last, seconds since the leg began; now, while we ourselves do not read."""
        return self._now() if self._brake.on else self._received

    def begin(self, reader: AnswerReader, origin: float) -> asyncio.Future[None]:
        """Give what arrives from now on to `reader`; the result resolves when its answer is over."""
        self._reader, self._origin = reader, origin
        self._answered = self._loop.create_future()
        if self.closed:
            self.stop(LegOutcome.RESET, "the connection was closed")
        return self._answered

    def end(self) -> bool:
        """Detach the reader. The connection serves no other request."""
        self._reader = self._answered = None
        self._brake.release(self._transport)
        return False

    def send_head(self, method: str, target: Target, fields: Headers, length: int | None) -> None:
        """Send the request's head; a body, if only an empty one, follows by `send` and `finish`."""
        authority = next((value for name, value in fields if name.lower() == b"host"), None)
        pairs = [
            (b":method", method.encode("latin-1")),
            (b":scheme", b"http" if target.tls is None else b"https"),
            (b":authority", authority or f"{target.host}:{target.port}".encode("latin-1")),
            (b":path", target.path.encode("latin-1")),
            *((name.lower(), value.strip()) for name, value in fields if name.lower() not in _OF_A_CONNECTION),
        ]
        if length is not None:
            pairs.append((b"content-length", b"%d" % length))
        try:
            self._stream = self._session.get_next_available_stream_id()
            self._session.send_headers(self._stream, pairs)
        except H2Error as error:
            self.stop(LegOutcome.RESET, str(error))
        self._flush()

    async def send(self, data: bytes) -> None:
        """Send a piece of the body as the server's windows let it; what an ended connection does not take is lost."""
        rest = memoryview(data)
        while rest and not self.closed:
            try:
                window = self._session.local_flow_control_window(self._stream) if self._writable else 0
                size = min(window, self._session.max_outbound_frame_size, len(rest))
                if size > 0:
                    self._session.send_data(self._stream, bytes(rest[:size]))
            except H2Error:
                return  # the stream has ended meanwhile
            if size > 0:
                rest = rest[size:]
                self._flush()
            else:
                self._room.clear()
                await self._room.wait()

    def finish(self) -> None:
        """Send the end of the body."""
        try:
            self._session.end_stream(self._stream)
        except H2Error:
            return  # the stream has ended meanwhile
        self._flush()

    def abort(self) -> None:
        """Close at once and forget what is not written."""
        if self._transport is not None:
            self._transport.abort()

    def stop(self, outcome: LegOutcome, detail: str) -> None:
        """End the answer under way from outside."""
        if self._reader is not None:
            self._reader.stop(outcome, detail, self._now())
            self._resolve()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        settings = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW}
        self._session.local_settings = Settings(client=True, initial_values=settings)
        self._session.initiate_connection()
        self._session.increment_flow_control_window(_WINDOW - _DEFAULT_WINDOW)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._received = self._now()
        try:
            for event in self._session.receive_data(data):
                self._take(event)
        except H2Error as error:
            self.stop(LegOutcome.PROTOCOL_ERROR, str(error) or type(error).__name__)
            self.abort()
            return
        self._flush()
        self._room.set()
        reader = self._reader
        if reader is not None and reader.discarding and not reader.done and self._transport is not None:
            self._brake.press(self._transport, len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop(LegOutcome.RESET, str(exc) if exc is not None else "the connection was closed")
        self._transport = None
        self._brake.release(None)
        self._room.set()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._room.set()

    def _take(self, event: events.Event) -> None:
        reader, now = self._reader, self._received
        if isinstance(event, events.DataReceived):
            if reader is not None:
                reader.framed_body(event.data or b"", now)
            self._session.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, events.ResponseReceived) and reader is not None:
            pairs = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
            status = next((value for name, value in pairs if name == b":status"), b"")
            if not (status.isdigit() and len(status) == 3):
                self.stop(LegOutcome.PROTOCOL_ERROR, "an answer without a status")
                return
            reader.framed_head(int(status), [pair for pair in pairs if not pair[0].startswith(b":")], now)
        elif isinstance(event, events.StreamEnded) and reader is not None:
            reader.framed_end(now)
        elif isinstance(event, events.StreamReset):
            self.stop(LegOutcome.RESET, f"the stream was reset, code {int(event.error_code or 0)}")
        elif isinstance(event, events.ConnectionTerminated) and (event.last_stream_id or 0) < self._stream:
            self.stop(LegOutcome.RESET, "the server goes away and leaves the request out")
        if reader is not None and reader.done:
            self._resolve()

    def _flush(self) -> None:
        data = self._session.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _now(self) -> float:
        return self._loop.time() - self._origin

    def _resolve(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)
