"""Event streams, decoded piece by piece.

Specification: WHATWG HTML, section 9.2.6 "Interpreting an event stream": lines end with CR, LF or CRLF, a BOM at
the start is dropped, a line that begins with a colon is a comment, several `data` lines are joined with LF, and an
event that the stream's end cuts off is not dispatched.
"""

from __future__ import annotations

import msgspec

__all__ = ["Event", "EventDecoder"]

_BOM = b"\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event. There is one for every token, so it is of the kind of value that is made fastest."""

    data: str
    event: str = ""
    """The `event` field, empty when the event has none (a browser would call it `message`)."""
    id: str = ""
    """The last event id seen so far."""


class EventDecoder:
    """Turn pieces of a stream, cut anywhere, into events.

    An event whose lines are longer than `max_event` bytes in total is dropped and counted in `oversized`; what is
    held in memory never exceeds that by more than the piece at hand.
    """

    __slots__ = ("_between", "_cr", "_data", "_event", "_id", "_line", "_max", "_size", "_start", "oversized")

    def __init__(self, max_event: int = 8 << 20) -> None:
        self._max = max_event
        self._start: bytes | None = b""
        """The beginning of the stream while it may still turn out to be a BOM, `None` afterwards."""
        self._cr = False
        """Whether the last byte was a CR, so that a LF that follows belongs to it."""
        self._line = bytearray()
        """The line that is not at its end."""
        self._data: list[bytes] = []
        self._event = b""
        self._id = ""
        self._between = False
        """Whether nothing of an event is held, and the beginning of the stream is over."""
        self._size = 0
        """Bytes of the event so far; beyond the limit nothing more of it is kept."""
        self.oversized = 0

    def feed(self, data: bytes) -> list[Event]:
        """Take the next piece and return the events that it completes."""
        if self._between:
            events = self._whole_events(data)
            if events is not None:
                return events
        events = self._feed(data)
        self._between = (
            self._start is None
            and not (self._cr or self._line or self._data or self._event)
            and self._size == 0  # so that it holds no event that was too long, either
        )
        return events

    def _whole_events(self, data: bytes) -> list[Event] | None:
        """Read a piece that is one or more whole events of a single `data` line each, as model servers send them.

        `None` for any other piece, which is then taken line by line.
        """
        if not (data.startswith(b"data: ") and data.endswith(b"\n\n")) or b"\r" in data or len(data) > self._max:
            return None
        if data.find(b"\n") == len(data) - 2:
            return [Event(data[6:-2].decode("utf-8", "replace"), "", self._id)]
        values = data[6:-2].split(b"\n\ndata: ")
        if any(b"\n" in value for value in values):
            return None
        return [Event(value.decode("utf-8", "replace"), "", self._id) for value in values]

    def _feed(self, data: bytes) -> list[Event]:
        """Take the next piece line by line."""
        if self._start is not None:
            data = self._without_bom(data)
        if self._cr and data:
            self._cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        if not data:
            return []
        if b"\r" in data:
            self._cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *rest = data.split(b"\n")
        self._extend(first)
        if not rest:
            return []
        events: list[Event] = []
        self._take(self._end_line(), events)
        last = rest.pop()
        for line in rest:
            self._take(line, events)
        self._extend(last)
        return events

    def close(self) -> Event | None:
        """End the stream and return the event that is cut off by it, `None` when nothing is.

        The specification discards such an event. Callers may look at it to tell a `[DONE]` that lacks its empty
        line, which some servers send, from a stream that stopped.
        """
        events: list[Event] = []
        if self._start:
            self._extend(self._start)
        self._start = None
        line = self._end_line()
        if line:
            self._take(line, events)
        self._take(b"", events)
        return events[0] if events else None

    def _end_line(self) -> bytes:
        line = bytes(self._line)
        self._line.clear()
        return line

    def _without_bom(self, data: bytes) -> bytes:
        start = (self._start or b"") + data
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(_BOM)

    def _extend(self, piece: bytes) -> None:
        """Add to the line at hand; of one that is too long only its first byte stays, a comment's colon or not."""
        self._line += piece
        if self._size + len(self._line) > self._max:
            comment = self._line.startswith(b":")
            del self._line[1:]
            if not comment:
                self._size = self._max + 1

    def _take(self, line: bytes, events: list[Event]) -> None:
        """Interpret one whole line; an empty one dispatches the event."""
        if not line:
            self._dispatch(events)
            return
        if line.startswith(b":"):
            return
        self._size += len(line)
        if self._size > self._max:
            self._data.clear()
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._event = value
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")

    def _dispatch(self, events: list[Event]) -> None:
        if self._size > self._max:
            self.oversized += 1
        elif self._data:
            data = b"\n".join(self._data).decode("utf-8", "replace")
            events.append(Event(data, self._event.decode("utf-8", "replace"), self._id))
        self._data.clear()
        self._event = b""
        self._size = 0
