"""The unruly server over HTTP/2, in clear or over TLS: many requests on a connection, each failed in its own way."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from types import TracebackType
from typing import Self

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from ..model_server.malformed import GARBAGE
from .asks import LEG_HEADER, fault_header, pieces
from .unruly import fault_of, streams

__all__ = ["UnrulyHttp2Server"]


class UnrulyHttp2Server:
    """Serves every leg, and remembers what it got (`books.Server`).

    The header `x-chaos-LEG: KIND[=VALUE]` makes it fail that leg:

    - `reset=N`, `close=N`, `die=N`, `hang=N`: N bytes of the right answer's body, then the stream's reset, the
      connection's end, its reset, or silence; without a byte there is no head either
    - `refused`: the stream is refused (REFUSED_STREAM)
    - `goaway`: a GOAWAY that keeps this request, and the right answer; the connection ends with its last stream
    - `unbegun`: a GOAWAY that leaves this request out
    - `garbage`: bytes that are no frames; `deaf`: the body's window is never opened
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, most: int = 100) -> None:
        """`most` requests at a time on a connection."""
        self.seen: Counter[tuple[str, str]] = Counter()
        self.answered: Counter[tuple[str, str]] = Counter()
        self.port = 0
        self.open: set[_Session] = set()
        self._tls = tls
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def hang_up(self) -> None:
        """Close every connection in good order."""
        for session in list(self.open):
            session.end()

    def die(self) -> None:
        """Reset every connection."""
        for session in list(self.open):
            session.writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.die()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        session = _Session(self, writer, self._most)
        self.open.add(session)
        try:
            while data := await reader.read(65536):
                session.receive(data)
        except (ConnectionError, H2Error, asyncio.CancelledError):
            pass
        finally:
            self.open.discard(session)
            self._tasks.discard(task)
            writer.close()


class _Request:
    """A request as it comes in."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.fields = fields
        self.body = b""
        self.leg = fields.get(LEG_HEADER, "primary")
        self.id = fields.get("user-agent", "")
        self.fault = ("", "")


class _Session:
    """One connection."""

    def __init__(self, server: UnrulyHttp2Server, writer: asyncio.StreamWriter, most: int) -> None:
        self.writer = writer
        self._server = server
        self._requests: dict[int, _Request] = {}
        self._unsent: dict[int, list[bytes]] = {}
        self._leaving = False
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: most})
        self._flush()

    def receive(self, data: bytes) -> None:
        found = self._h2.receive_data(data)
        # What is given up in the same read is over for the library: nothing can be said on it any more.
        given_up = {event.stream_id or 0 for event in found if isinstance(event, events.StreamReset)}
        for number in given_up:
            self._forget(number)
        for event in found:
            number = getattr(event, "stream_id", 0) or 0
            if isinstance(event, events.RequestReceived):
                request = _Request({str(name): str(value) for name, value in event.headers or ()})
                self._server.seen[request.id, request.leg] += 1
                if number not in given_up:
                    self._request(number, request)
            elif isinstance(event, events.WindowUpdated):
                for waiting in list(self._unsent) if number == 0 else [number]:
                    self._send(waiting)
            elif isinstance(event, events.DataReceived):
                self._data(event, number)
            elif isinstance(event, events.StreamEnded) and number in self._requests:
                self._answer(number, self._requests[number])
        self._flush()

    def _data(self, event: events.DataReceived, number: int) -> None:
        """Take a piece of a body; what comes for nobody opens the connection's window again all the same."""
        request = self._requests.get(number)
        if request is not None:
            request.body += event.data or b""
        if request is None or request.fault[0] != "deaf":
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, number)

    def end(self) -> None:
        """Take no further requests, and close once nothing is under way."""
        if not self._leaving:
            self._leaving = True
            self._go_away(self._h2.highest_inbound_stream_id)
        if not self._requests:
            self.writer.close()

    def _request(self, number: int, request: _Request) -> None:
        self._requests[number] = request
        times = self._server.seen[request.id, request.leg]
        request.fault = fault_of(request.fields.get(fault_header(request.leg)), times)
        if request.fault[0] == "refused":
            self._h2.reset_stream(number, ErrorCodes.REFUSED_STREAM)
            self._forget(number)
        elif request.fault[0] == "unbegun":
            self._go_away(max(0, number - 2))
            self._leaving = True
            self._forget(number)

    def _answer(self, number: int, request: _Request) -> None:
        """Answer, or fail to."""
        kind, value = request.fault
        parts = pieces(request.id, int(request.fields.get("x-words", "1")), streams(request.body))
        if kind == "garbage":
            self._write(GARBAGE)
            self.writer.close()
            return
        if kind in ("", "goaway"):
            if kind:
                self._leaving = True
                self._go_away(number)
            self._head(number, parts)
            self._unsent[number] = parts
            self._send(number)
            return
        said = b"".join(parts)[: int(value or 0)]
        if said:
            self._head(number, parts)
            self._h2.send_data(number, said)  # shorter than any window
            self._flush()
        if kind == "reset":
            self._h2.reset_stream(number, ErrorCodes.INTERNAL_ERROR)
            self._forget(number)
        elif kind == "close":
            self.writer.close()
        elif kind == "die":
            self.writer.transport.abort()

    def _head(self, number: int, parts: list[bytes]) -> None:
        fields = [(":status", "200"), ("content-type", "text/event-stream" if len(parts) > 1 else "application/json")]
        if len(parts) == 1:
            fields.append(("content-length", str(len(parts[0]))))
        self._h2.send_headers(number, fields)

    def _send(self, number: int) -> None:
        """Send what the windows allow, and the end behind it."""
        parts, request = self._unsent.get(number), self._requests.get(number)
        if parts is None or request is None:
            return
        while parts and (room := self._h2.local_flow_control_window(number)) > 0:
            part, parts[0] = parts[0][:room], parts[0][room:]
            self._h2.send_data(number, part)
            if not parts[0]:
                del parts[0]
        if not parts:
            self._h2.end_stream(number)
            self._server.answered[request.id, request.leg] += 1
            self._forget(number)

    def _forget(self, number: int) -> None:
        self._requests.pop(number, None)
        self._unsent.pop(number, None)
        self._flush()
        if self._leaving and not self._requests:
            self.writer.close()

    def _go_away(self, last: int) -> None:
        """The library would send nothing after a GOAWAY of its own."""
        self._flush()
        self._write(GoAwayFrame(0, last_stream_id=last, error_code=0).serialize())

    def _flush(self) -> None:
        self._write(self._h2.data_to_send())

    def _write(self, data: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(data)
