"""An HTTP/2 client over one connection, for tests: many requests at a time, and frames that a good one never sends."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from h2 import events
from h2.config import H2Configuration
from h2.exceptions import H2Error

from ..http2_lasting import LastingSession

__all__ = ["Http2Client", "Http2Stream"]

Pairs = list[tuple[str, str]]


@dataclass(slots=True)
class Http2Stream:
    """An answer as it comes in."""

    number: int
    status: int = 0
    headers: Pairs = field(default_factory=list)
    informational: list[int] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    trailers: Pairs = field(default_factory=list)
    ended: bool = False
    reset: int | None = None
    """The error code of a reset; `None` without one."""

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each == name), None)


class Http2Client:
    """One connection. Every wait is bounded by `timeout`, in seconds; `session` is the library's, to misbehave with."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, timeout: float) -> None:
        self.timeout = timeout
        self.session = LastingSession(
            H2Configuration(header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.streams: dict[int, Http2Stream] = {}
        self.goaway: int | None = None
        """The error code of a GOAWAY; `None` without one."""
        self.last_stream: int | None = None
        self.closed = False
        self.granting = True
        """Whether windows are opened again for what has arrived."""
        self._writer = writer
        self._changed = asyncio.Event()
        self.session.initiate_connection()
        self.flush()
        self._task = asyncio.get_running_loop().create_task(self._read(reader), name="HTTP/2 client")

    @classmethod
    async def connect(
        cls,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        timeout: float = 10.0,
    ) -> Self:
        """Connect with prior knowledge, or by ALPN: `tls` has to offer h2."""
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls, server_hostname=server_name if tls else None
            )
        return cls(reader, writer, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def flush(self) -> None:
        """Send what the library has framed."""
        self._writer.write(self.session.data_to_send())

    def send_raw(self, data: bytes) -> None:
        self._writer.write(data)

    def begin(
        self,
        method: str,
        path: str,
        *,
        authority: str = "test",
        scheme: str = "http",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | Any = None,
        ended: bool = True,
    ) -> Http2Stream:
        """Send a request; a body that is not bytes is sent as JSON. `ended` says that it is whole."""
        fields: Pairs = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
        fields += headers
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            fields.append(("content-type", "application/json"))
        return self.begin_with(fields, body, ended=ended)

    def begin_with(self, fields: Pairs, body: bytes | None = None, *, ended: bool = True) -> Http2Stream:
        """Send exactly these fields, and a body."""
        number = self.session.get_next_available_stream_id()
        stream = self.streams[number] = Http2Stream(number)
        self.session.send_headers(number, fields, end_stream=ended and not body)
        if body:
            self.session.send_data(number, body, end_stream=ended)
        self.flush()
        return stream

    def more(self, stream: Http2Stream, data: bytes, *, ended: bool = False) -> None:
        self.session.send_data(stream.number, data, end_stream=ended)
        self.flush()

    async def upload(self, stream: Http2Stream, data: bytes, *, ended: bool = True) -> None:
        """Send as the windows allow, until the answer is over, which needs no more of it."""
        view = memoryview(data)
        while view:
            await self.until(lambda: stream.over or self.session.local_flow_control_window(stream.number) > 0)
            if stream.over:
                return
            room = min(self.session.local_flow_control_window(stream.number), self.session.max_outbound_frame_size)
            self.session.send_data(stream.number, bytes(view[:room]), end_stream=ended and room >= len(view))
            self.flush()
            view = view[room:]

    def give_up(self, stream: Http2Stream) -> None:
        """Reset a request."""
        self.session.reset_stream(stream.number, 8)
        self.flush()

    async def request(self, method: str, path: str, **more: Any) -> Http2Stream:
        """Send a request and wait for the end of its answer."""
        return await self.until_over(self.begin(method, path, **more))

    async def until_over(self, stream: Http2Stream) -> Http2Stream:
        await self.until(lambda: stream.over)
        return stream

    async def until(self, holds: Any) -> None:
        """Wait until something holds; what holds is looked at whenever something has arrived."""
        async with asyncio.timeout(self.timeout):
            while not holds():
                if self.closed:
                    raise ConnectionError(f"the connection has ended (GOAWAY {self.goaway})")
                self._changed.clear()
                await self._changed.wait()

    async def until_closed(self) -> None:
        async with asyncio.timeout(self.timeout):
            await asyncio.wait([self._task])

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(65536):
                for event in self.session.receive_data(data):
                    self._take(event)
                self.flush()
                self._changed.set()
        except (H2Error, ConnectionError):
            pass
        finally:
            self.closed = True
            self._changed.set()

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.ConnectionTerminated):
            self.goaway, self.last_stream = int(event.error_code or 0), event.last_stream_id
            return
        stream = self.streams.get(getattr(event, "stream_id", 0) or 0)
        if stream is None:
            return
        pairs = [(str(name), str(value)) for name, value in getattr(event, "headers", None) or ()]
        if isinstance(event, events.InformationalResponseReceived):
            stream.informational.append(int(dict(pairs)[":status"]))
        elif isinstance(event, events.ResponseReceived):
            stream.status, stream.headers = int(pairs[0][1]), pairs[1:]
        elif isinstance(event, events.TrailersReceived):
            stream.trailers = pairs
        elif isinstance(event, events.DataReceived):
            stream.pieces.append(event.data or b"")
            if self.granting:
                self.session.acknowledge_received_data(event.flow_controlled_length or 0, stream.number)
        elif isinstance(event, events.StreamEnded):
            stream.ended = True
        elif isinstance(event, events.StreamReset):
            stream.reset = int(event.error_code or 0)
