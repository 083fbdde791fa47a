"""gRPC calls over HTTP/2, as far as a streaming client needs them: messages both ways, flow control, statuses.

Not grpcio: a picker's default certificate is self-signed and names nobody, and grpcio checks names without exception.
It would also add a thread of its own to a process whose event loop is production's. gRPC over HTTP/2 is specified in
grpc's `PROTOCOL-HTTP2.md`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes

__all__ = ["Broken", "Call", "Connection", "connect"]

_PREFIX = 5
"""Bytes before each message: whether it is compressed, and its length."""
_LARGEST = 64 * 1024 * 1024
"""Bytes of a message that is read; the protocol's own pickers send 62,000 at most."""
_WINDOW = 1024 * 1024
_UNAVAILABLE = 14
_OK = 0


class Broken(Exception):
    """A call that ended badly."""

    def __init__(self, message: str, *, unreached: bool = False) -> None:
        super().__init__(message)
        self.unreached = unreached
        """Whether the server has not had its say, so that it may be asked again, or another."""


class Call:
    """One bidirectional call. Writing never waits; what does not fit the window is kept, and counted in `unsent`."""

    __slots__ = ("_connection", "_end", "_end_sent", "_error", "_incoming", "_messages", "_outgoing", "_over",
                 "_waiter", "on_message", "stream", "unsent")  # fmt: skip

    def __init__(self, connection: Connection, stream: int) -> None:
        self.stream = stream
        self.unsent = 0
        """Bytes that wait for the server to make room."""
        self.on_message: Callable[[bytes], None] | None = None
        """Takes messages as they come, instead of `receive`."""
        self._connection = connection
        self._outgoing: deque[bytes] = deque()
        self._end = self._end_sent = False
        self._incoming = bytearray()
        self._messages: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._over = False
        self._error: Broken | None = None

    @property
    def over(self) -> bool:
        """Whether the server has ended the call, well or not."""
        return self._over

    def write(self, message: bytes) -> None:
        """Send a message as soon as there is room."""
        if self._over or self._end:
            return
        self._outgoing.append(b"\0" + len(message).to_bytes(4, "big") + message)
        self.unsent += _PREFIX + len(message)
        self._connection.pump(self)

    def end(self) -> None:
        """Send no more."""
        if not self._over and not self._end:
            self._end = True
            self._connection.pump(self)

    def cancel(self) -> None:
        """Give the call up; harmless when it is over."""
        if not self._over:
            self._connection.cancel(self)
            self.ended(Broken("cancelled"))

    async def receive(self) -> bytes | None:
        """Return the next message, `None` at a good end. Raises `Broken`. One reader at a time."""
        while not self._messages:
            if self._error is not None:
                raise self._error
            if self._over:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._messages.popleft()

    # For the connection

    def next_piece(self, most: int) -> tuple[bytes, bool]:
        """Take up to `most` bytes to send, and tell whether they are the last."""
        pieces: list[bytes] = []
        while self._outgoing and most:
            head = self._outgoing[0]
            if len(head) <= most:
                pieces.append(self._outgoing.popleft())
            else:
                pieces.append(head[:most])
                self._outgoing[0] = head[most:]
            most -= len(pieces[-1])
        data = b"".join(pieces)
        self.unsent -= len(data)
        self._end_sent = self._end and not self._outgoing
        return data, self._end_sent

    @property
    def wants_to_write(self) -> bool:
        return bool(self._outgoing) or (self._end and not self._end_sent)

    def received(self, data: bytes) -> None:
        """Take bytes of the answer; raises `ProtocolError` for what is no gRPC message that we can read."""
        incoming = self._incoming
        incoming += data
        while len(incoming) >= _PREFIX:
            length = int.from_bytes(incoming[1:_PREFIX], "big")
            if incoming[0] or length > _LARGEST:
                raise ProtocolError("a compressed message, or one that is too large")
            if len(incoming) < _PREFIX + length:
                break
            message = bytes(incoming[_PREFIX : _PREFIX + length])
            del incoming[: _PREFIX + length]
            if self.on_message is not None:
                self.on_message(message)
            else:
                self._messages.append(message)
        self._notify()

    def ended(self, error: Broken | None) -> None:
        """Take note of the end; the first one counts."""
        if self._over:
            return
        self._over = True
        self._error = error
        self._outgoing.clear()
        self.unsent = 0
        self._notify()

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """One HTTP/2 connection to a gRPC server."""

    def __init__(self, authority: str, scheme: str) -> None:
        self.received = 0
        """Bytes that have come from the server."""
        self._authority = authority
        self._scheme = scheme
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._transport: asyncio.Transport
        self._calls: dict[int, Call] = {}
        self._writable = True
        self._leaving = False
        """Whether the server takes no more calls here."""
        self._closed = asyncio.Event()
        self.greeted = asyncio.Event()
        """Set once the server has said how many calls it takes at a time, or has hung up."""

    @property
    def usable(self) -> bool:
        """Whether another call may begin."""
        return self.open and len(self._calls) < self.most

    @property
    def open(self) -> bool:
        """Whether another call may begin, now or when one of those that run has ended."""
        return not self._leaving and not self._closed.is_set()

    @property
    def most(self) -> int:
        """Calls that the server takes at a time."""
        return self._http.remote_settings.max_concurrent_streams

    @property
    def gone(self) -> bool:
        return self._closed.is_set()

    def call(self, path: str) -> Call:
        """Begin a call. Raises `Broken` when the connection takes none."""
        if not self.usable:
            raise Broken("the connection takes no more calls", unreached=True)
        try:
            stream = self._http.get_next_available_stream_id()
            self._http.send_headers(
                stream,
                [
                    (":method", "POST"), (":scheme", self._scheme), (":path", path), (":authority", self._authority),
                    ("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "mirrorgate"),
                ],
            )  # fmt: skip
        except ProtocolError as error:
            self._leaving = True  # its streams are used up
            raise Broken(str(error), unreached=True) from error
        call = self._calls[stream] = Call(self, stream)
        self._flush()
        return call

    def pump(self, call: Call) -> None:
        """Send what fits of a call's messages."""
        http, stream = self._http, call.stream
        if stream not in self._calls:
            return
        try:
            while self._writable and call.wants_to_write:
                room = min(http.local_flow_control_window(stream), http.max_outbound_frame_size)
                data, last = call.next_piece(max(room, 0))
                if not data and not last:
                    break
                http.send_data(stream, data, end_stream=last)
                self._flush()
        except StreamClosedError:
            pass  # the server has ended the call, and its word of that is on its way to us
        except ProtocolError as error:
            self._fail(f"the HTTP/2 connection failed: {error}")

    def cancel(self, call: Call) -> None:
        if self._calls.pop(call.stream, None) is not None and not self._closed.is_set():
            try:
                self._http.reset_stream(call.stream, ErrorCodes.CANCEL)
                self._flush()
            except ProtocolError:
                pass  # the stream has closed by itself
            self._leave_if_done()

    def leave(self) -> None:
        """Take no more calls, and hang up when those that run are over."""
        self._leaving = True
        self._leave_if_done()

    def close(self) -> None:
        """Hang up; calls that run are broken."""
        self._fail("closed")

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._http.initiate_connection()
        self._http.update_settings({SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
        self._http.increment_flow_control_window(_WINDOW)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        try:
            for event in self._http.receive_data(data):
                self._handle(event)
            self._flush()
        except (ProtocolError, ValueError) as error:
            self._fail(f"the server breaks HTTP/2 or gRPC: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()
        self._fail("the connection was lost" if exc is None else f"the connection was lost: {exc}")

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._pump_all()

    # Events

    def _handle(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            if event.flow_controlled_length:
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if (call := self._calls.get(event.stream_id)) is not None:
                call.received(event.data)
        elif isinstance(event, ResponseReceived | TrailersReceived):
            if (call := self._calls.get(event.stream_id)) is not None:
                self._headers(call, {str(name): str(value) for name, value in event.headers})
        elif isinstance(event, StreamEnded):
            self._over(event.stream_id, Broken("the call ended without a status"))
        elif isinstance(event, StreamReset):
            refused = event.error_code == ErrorCodes.REFUSED_STREAM
            self._over(event.stream_id, Broken(f"the call was reset ({event.error_code})", unreached=refused))
        elif isinstance(event, ConnectionTerminated):
            self._fail("the server is going away")  # h2 goes on with no stream after that
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            if isinstance(event, RemoteSettingsChanged):
                self.greeted.set()
            self._pump_all()

    def _headers(self, call: Call, fields: dict[str, str]) -> None:
        """Read an answer's head or its trailers: the status of gRPC, or of an HTTP answer that is no gRPC."""
        status = fields.get("grpc-status")
        if status is not None:
            code = int(status) if status.isascii() and status.isdigit() and len(status) < 3 else -1
            message = f"gRPC status {status}: {fields.get('grpc-message', '')}".rstrip(": ")
            error = None if code == _OK else Broken(message, unreached=code == _UNAVAILABLE)
        elif fields.get(":status", "200") != "200":
            error = Broken(f"HTTP status {fields[':status']}")
        else:
            return
        self._over(call.stream, error)

    def _over(self, stream: int, error: Broken | None) -> None:
        call = self._calls.get(stream)
        if call is None:
            return
        call.ended(error)
        self.cancel(call)

    def _leave_if_done(self) -> None:
        if self._leaving and not self._calls:
            self._transport.close()

    def _fail(self, message: str) -> None:
        self._leaving = True
        self.greeted.set()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.ended(Broken(message, unreached=True))
        self._transport.abort()

    def _pump_all(self) -> None:
        for call in list(self._calls.values()):
            if call.wants_to_write:
                self.pump(call)

    def _flush(self) -> None:
        data = self._http.data_to_send()
        if data:
            self._transport.write(data)


async def connect(host: str, port: int, *, encrypted: bool) -> Connection:
    """Connect; over TLS, whatever certificate the server shows, as the protocol's reference gateways do."""
    loop = asyncio.get_running_loop()
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    context = _unverified() if encrypted else None
    _, connection = await loop.create_connection(
        lambda: Connection(authority, "https" if encrypted else "http"),
        host,
        port,
        ssl=context,
        server_hostname=host if encrypted else None,
    )
    return connection


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context
