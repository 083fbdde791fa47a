"""A client's HTTP/2 connection: many exchanges at a time, each on a stream of its own (RFC 9113)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from h2 import events
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame
from mitmproxy import connection

from ...errors import REPLIES, Refusal
from ..carrying.retrying import hurry
from ..messages.heads import Malformed
from ..messages.http2_heads import request_from, trailers_from
from ..messages.http2_session import answer_at_once, session_of
from ..mitm import note_end
from .client_side import Inbound
from .departures import Farewell
from .http2_limits import Allowance
from .http2_stream import Http2Stream

if TYPE_CHECKING:
    from ..dataplane import Dataplane, Port

__all__ = ["PREFACE", "Http2Connection"]

logger = logging.getLogger(__name__)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client says first (RFC 9113, 3.4)."""

_AT_ONCE = 16 * 1024
"""Bytes that are parsed before the limits are looked at: a read of nothing but the smallest frames takes long."""

_UNREAD = 10.0
"""Seconds without progress that a client may take over the rest of an answer, once its exchange is over."""

_LINGER = 1.0
"""Seconds for which what a client still sends is read and dropped behind the last frame, so that neither the end of an
answer nor the GOAWAY is lost to a reset. Envoy's delayed close takes as long."""

_DEFAULT_WINDOW = 65535

_MISFRAMED = "the body is not as long as announced"

_USELESS = (events.PingReceived, events.PriorityUpdated, events.RemoteSettingsChanged, events.WindowUpdated)
"""What frames tell that ask for work and carry nothing."""


class Http2Connection(asyncio.Protocol):
    """Takes a client's connection over from the moment that it turns out to speak HTTP/2."""

    def __init__(self, plane: Dataplane, port: Port, client: connection.Client, transport: asyncio.Transport) -> None:
        self.plane = plane
        self.port = port
        self.client = client
        self.writable = True
        self.closed = False
        self._transport = transport
        self._discarding = False
        self._farewell = Farewell()
        limits, now = plane.settings.http2, time.monotonic()
        self._limits = limits
        self._streams: dict[int, Http2Stream] = {}
        self._begun: list[Http2Stream] = []
        self._changed: dict[Http2Stream, None] = {}
        self._shed: list[events.RequestReceived] = []
        """Requests that came up late in an overload."""
        self._since = now
        """Since when there has been no stream."""
        self._unfinished: float | None = now
        """Since when a frame, or a head, has been arriving; the preface to begin with."""
        self._last: int | None = None
        """The last stream that is carried, once a GOAWAY has said so."""
        self._resets = Allowance(limits.resets, limits.resets_per_second, now)
        self._controls = Allowance(limits.controls, limits.controls_per_second, now)
        self.session = session_of(
            client=False,
            settings={
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
                SettingCodes.MAX_HEADER_LIST_SIZE: plane.settings.max_head,
            },
            max_head=plane.settings.max_head,
        )
        self.session.initiate_connection()
        self.session.increment_flow_control_window(max(0, limits.window - _DEFAULT_WINDOW))
        self.flush()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        for start in range(0, len(data), _AT_ONCE):
            self._receive(data[start : start + _AT_ONCE])
            if self.closed or self._discarding or self._transport.is_closing():
                return
        self.flush()
        if self._shed:
            self._refuse_shed()
        begun, self._begun = self._begun, []
        for stream in begun:
            if stream.misframed and not stream.closed:
                stream.malformed(_MISFRAMED)  # it must not be sent on (RFC 9113, 8.1.1)
            elif not stream.closed:
                self.plane.start(stream, stream.inbound)
        changed, self._changed = self._changed, {}
        for stream in changed:
            if stream.carrier is None:
                continue
            if stream.misframed:
                stream.malformed(_MISFRAMED)
            elif stream not in begun:
                stream.carrier.inbound_changed()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        note_end(self.client)
        for stream in list(self._streams.values()):
            stream.left()
        self.plane.disconnected(self)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._send({0})

    # For the streams

    def now(self) -> float:
        return time.monotonic()

    def flush(self) -> None:
        """Hand what the library has framed to the socket."""
        data = self.session.data_to_send()
        if data and not self.closed and not self._discarding:
            self._transport.write(data)

    def earned(self) -> None:
        self._controls.earn(2.0)

    def acknowledge(self, size: int, number: int) -> None:
        """Let the client send as much again."""
        if not self.closed:
            try:
                self.session.acknowledge_received_data(size, number)
            except H2Error:
                return  # the connection has ended
            self.flush()

    def refuse(self, request: events.RequestReceived, *, ended: bool) -> None:
        """Refuse a request in an overload through the library, which holds the answer back as long as it must."""
        stream, shedding = self._open(request, ended=ended), self.plane.shedding
        if stream is not None and shedding is not None:
            shedding.refusals.answer_head(stream, stream.inbound)

    def reset(self, number: int, code: ErrorCodes) -> None:
        if not self.closed:
            try:
                self.session.reset_stream(number, code)
            except H2Error:
                return  # it has ended by itself
            self.flush()

    def forget(self, stream: Http2Stream) -> None:
        """Take note that a stream is over on both sides."""
        if self._streams.pop(stream.number, None) is not None and not self._streams:
            self._since = time.monotonic()
            if self._last is not None:
                self._linger()

    # For the data plane

    @property
    def active(self) -> int:
        return sum(stream.carrier is not None for stream in self._streams.values())

    def abort(self) -> None:
        if not self.closed:
            self._transport.abort()

    def drain(self) -> None:
        """Take no further requests, and close once those under way have ended."""
        for stream in list(self._streams.values()):
            if stream.carrier is not None:
                hurry(stream.carrier)
        self.go_away()
        if not self._streams:
            self._linger()

    def go_away(self) -> None:
        """Tell the client which of its requests is the last one; it goes elsewhere with others.

        The library would send nothing after a GOAWAY of its own.
        """
        if self._last is None and not self.closed and not self._discarding:
            self._last = self.session.highest_inbound_stream_id
            self._transport.write(GoAwayFrame(0, last_stream_id=self._last, error_code=0).serialize())

    def sweep(self, now: float) -> None:
        """End the connection when it has idled, or taken too long over a head. `now` is monotonic."""
        if self.closed:
            return
        for stream in list(self._streams.values()):
            if stream.carrier is not None:
                stream.carrier.clocks.sweep(now)
        settings = self.plane.settings
        if self._transport.is_closing():
            if self._farewell.too_long(self._transport.get_write_buffer_size(), now):
                self._transport.abort()
        elif self._unfinished is not None and now - self._unfinished > settings.head_timeout:
            self._end(ErrorCodes.ENHANCE_YOUR_CALM, Refusal.REQUEST_HEADER_TIMEOUT, "a head takes too long")
        elif not self._streams:
            if now - self._since > settings.idle_timeout and not self._discarding:
                self.go_away()
                self._linger()
        else:
            for stream in [stream for stream in self._streams.values() if stream.stuck]:
                if now - stream.since > _UNREAD:
                    stream.reset(ErrorCodes.CANCEL)
                    self.forget(stream)

    # Frames

    def _receive(self, data: bytes) -> None:
        try:
            found = self.session.receive_data(data)
        except H2Error as error:
            self._end(
                ErrorCodes(getattr(error, "error_code", 1)), Refusal.BAD_REQUEST, str(error) or "malformed HTTP/2"
            )
            return
        except Exception:
            logger.exception("the HTTP/2 library failed")
            self._end(ErrorCodes.INTERNAL_ERROR, Refusal.BAD_REQUEST, "malformed HTTP/2")
            return
        now = time.monotonic()
        useful = False
        opened: set[int] = set()
        for event in found:
            if isinstance(event, _USELESS):
                if not self._controls.spend(now):
                    self._end(ErrorCodes.ENHANCE_YOUR_CALM, Refusal.BAD_REQUEST, "too many control frames")
                    return
                if isinstance(event, events.WindowUpdated | events.RemoteSettingsChanged):
                    useful = True
                    opened.add(event.stream_id or 0 if isinstance(event, events.WindowUpdated) else 0)
            elif isinstance(event, events.StreamReset):
                if not self._reset_by_client(event, now):
                    return
            elif isinstance(event, events.RequestReceived):
                useful = True
                self._request(event)
            elif isinstance(event, events.DataReceived):
                useful = True
                if not self._data(event, now):
                    return
            elif isinstance(event, events.TrailersReceived):
                self._trailers(event)
            elif isinstance(event, events.StreamEnded):
                self._stream_ended(event)
        if opened:
            self._send(opened)
        buffer = self.session.incoming_buffer
        if not buffer._data and not buffer._headers_buffer:
            self._unfinished = None
        elif useful or self._unfinished is None:
            self._unfinished = now

    def _request(self, event: events.RequestReceived) -> None:
        number, plane = event.stream_id, self.plane
        assert number is not None
        open_ = len(self._streams) + len(self._shed)
        if (self._last is not None and number > self._last) or open_ >= self._limits.streams:
            self.reset(number, ErrorCodes.REFUSED_STREAM)
        elif plane.shedding is not None and plane.shedding.late and not plane.leaving:
            self._shed.append(event)
        elif (stream := self._open(event, ended=event.stream_ended is not None)) is not None:
            self._begun.append(stream)

    def _refuse_shed(self) -> None:
        """Refuse what came up late, in one write."""
        shed, self._shed = self._shed, []
        self._since = time.monotonic()
        if self.plane.shedding is not None and (data := self.plane.shedding.refusals.answer_streams(self, shed)):
            self._transport.write(data)

    def _open(self, event: events.RequestReceived, *, ended: bool) -> Http2Stream | None:
        """Make a stream of what the library has read; `None` for what is no request, and is answered."""
        number = event.stream_id
        assert number is not None
        pairs = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
        try:
            head = request_from(pairs, ended=ended, max_head=self.plane.settings.max_head)
        except Malformed as error:
            self._reject(number, error, ended=ended)
            return None
        stream = self._streams[number] = Http2Stream(self, number, Inbound(head))
        stream.inbound.ended = ended
        return stream

    def _reject(self, number: int, error: Malformed, *, ended: bool) -> None:
        """Answer what is not a request: with a reset, or with a status where the protocol was kept."""
        self.plane.rejected(self, error.refusal, str(error))
        if error.refusal is Refusal.BAD_REQUEST:
            self.reset(number, ErrorCodes.PROTOCOL_ERROR)
            return
        if answer_at_once(self.session, number, REPLIES[error.refusal].status, str(error).encode()) and not ended:
            self.reset(number, ErrorCodes.NO_ERROR)

    def _data(self, event: events.DataReceived, now: float) -> bool:
        """Take a piece of a request. Whether the connection goes on."""
        assert event.stream_id is not None
        size, data = event.flow_controlled_length or 0, event.data or b""
        if not data and event.stream_ended is None and not self._controls.spend(now):
            self._end(ErrorCodes.ENHANCE_YOUR_CALM, Refusal.BAD_REQUEST, "too many empty frames")
            return False
        stream = self._streams.get(event.stream_id)
        if stream is None:
            self.acknowledge(size, event.stream_id)
        else:
            stream.receive(data, size)
            self._changed[stream] = None
        return True

    def _trailers(self, event: events.TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is None:
            return
        try:
            stream.inbound.trailers = trailers_from([(bytes(n), bytes(v)) for n, v in event.headers or ()])
        except Malformed as error:
            stream.malformed(str(error))

    def _stream_ended(self, event: events.StreamEnded) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            stream.receive_end()
            self._changed[stream] = None

    def _reset_by_client(self, event: events.StreamReset, now: float) -> bool:
        """Let a request go. Whether the connection goes on."""
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            stream.left()
            self.forget(stream)
        if event.remote_reset and not self._resets.spend(now):
            self._end(ErrorCodes.ENHANCE_YOUR_CALM, Refusal.BAD_REQUEST, "too many requests are given up")
            return False
        return True

    def _send(self, opened: AbstractSet[int]) -> None:
        """Send what waits for these windows, 0 being the connection's, a frame of each stream in turn: all that have
        come in one read together, or the first would take what is for all."""
        numbers = self._streams if 0 in opened else opened
        waiting = [stream for number in numbers if (stream := self._streams.get(number)) is not None and stream.unsent]
        while waiting and self.writable:
            waiting = [stream for stream in waiting if stream.send(frames=1)]

    def _end(self, code: ErrorCodes, refusal: Refusal, message: str) -> None:
        """End the connection over an error; what is under way ends with it."""
        self.plane.rejected(self, refusal, message)
        if self.session.state_machine.state is not ConnectionState.CLOSED:
            self.session.close_connection(code)
        self.flush()
        self._linger()
        for stream in list(self._streams.values()):
            stream.left()

    def _linger(self) -> None:
        """Say nothing more, and close once the client has seen that."""
        if self.closed or self._discarding:
            return
        self._discarding = True
        self._unfinished = None
        self._since = time.monotonic()
        if self._transport.can_write_eof():
            with contextlib.suppress(OSError):  # a reset that the loop has not told of yet
                self._transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER, self._close_after_linger)

    def _close_after_linger(self) -> None:
        if not self.closed:
            self._transport.close()
