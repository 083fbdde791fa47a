"""An answer as it comes in: bytes of HTTP/1.1, cut anywhere, to status, fields and timed pieces of the body.

Pure: no socket, no clock. The parser is llhttp (httptools) in its strict mode; what it does not bound is bounded
here: the head's size, the number of pieces, and bytes that never become a body.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

import httptools

from ..records import Headers
from .holding import Holding

__all__ = ["DISCARD_LIMIT", "HEAD_LIMIT", "KEEP_LIMIT", "Answer", "AnswerReader", "LegOutcome"]

KEEP_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of a body that are kept for the comparison."""
DISCARD_LIMIT: Final = 64 * 1024 * 1024
"""Bytes on the wire after which an answer is cut off; between the two limits it is read, counted and forgotten."""
HEAD_LIMIT: Final = 256 * 1024
"""Bytes of status line and header fields, interim responses included."""
_PIECES_LIMIT: Final = 1 << 18
"""Pieces of a body; two for each token of the longest answers of today's models."""


class LegOutcome(enum.StrEnum):
    """How a shadow leg ended."""

    COMPLETE = "complete"
    REFUSED = "refused"
    """No connection could be had: refused, unreachable, or a name that does not resolve."""
    CONNECT_TIMEOUT = "connect_timeout"
    TIMEOUT = "timeout"
    IDLE_TIMEOUT = "idle_timeout"
    RESET = "reset"
    """The connection ended before the answer did."""
    PROTOCOL_ERROR = "protocol_error"
    CANCELLED = "cancelled"
    TOO_LARGE = "too_large"


@dataclass(slots=True)
class Answer:
    """What one leg got. Times are seconds since the leg began."""

    outcome: LegOutcome = LegOutcome.CANCELLED
    status: int = 0
    """0 when no head arrived."""
    headers: Headers = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    """Body pieces as they arrived, de-chunked; what one read of the socket brought is one piece."""
    times: list[float] = field(default_factory=list)
    size: int = 0
    """Bytes of body, those beyond `KEEP_LIMIT` included."""
    kept: int = 0
    """Bytes in `chunks`."""
    sent: float = 0.0
    """When the request's head was written."""
    head_at: float = 0.0
    """When the answer's head was complete; 0 when it never was."""
    finished: float = 0.0
    detail: str = ""
    """What went wrong, for a person; empty for a complete answer."""

    def header(self, name: bytes) -> str:
        """Return the first field of this lower-case name, decoded as Latin-1, empty when absent."""
        for key, value in self.headers:
            if key.lower() == name:
                return value.decode("latin-1")
        return ""


class AnswerReader:
    """Reads one answer. `done` turns true once, with the outcome in `answer`."""

    def __init__(
        self, method: str, holding: Holding | None = None, keep: int = KEEP_LIMIT, discard: int = DISCARD_LIMIT
    ) -> None:
        """`holding` counts what is kept; whoever drops the answer gives `answer.kept` back."""
        self.answer = Answer()
        self.done = False
        self.keep_alive = False
        """Whether the connection may be used again, once `done`."""
        self._bodiless = method == "HEAD"
        self._holding = holding
        self._keep = keep
        self._discard = discard
        self._wire = 0
        self._head_wire = 0
        self._headers: Headers = []
        self._in_body = False
        self._framed = False
        self._pieces: list[bytes] = []
        self._complete = False
        self._parser = httptools.HttpResponseParser(self)

    @property
    def discarding(self) -> bool:
        """Whether what arrives is only counted: more has come than is kept."""
        return self.answer.size > self.answer.kept

    @property
    def untouched(self) -> bool:
        """Whether not one byte has arrived."""
        return self._wire == 0

    def feed(self, data: bytes, now: float) -> None:
        """Take what one read of the socket brought at `now`, seconds since the leg began."""
        if self.done:
            self.keep_alive = False
            return
        self._wire += len(data)
        if not self._in_body:
            self._head_wire += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(LegOutcome.PROTOCOL_ERROR, "the server switched protocols unasked", now)
            return
        except httptools.HttpParserError as error:
            self._take_pieces(now)
            if self._complete:
                self._finish(LegOutcome.COMPLETE, now)
                self.keep_alive = False
            else:
                self._fail(LegOutcome.PROTOCOL_ERROR, str(error) or type(error).__name__, now)
            return
        self._take_pieces(now)
        if self._complete:
            over = self.answer.size > self._keep
            self._finish(LegOutcome.TOO_LARGE if over else LegOutcome.COMPLETE, now)
        elif not self._in_body and self._head_wire > HEAD_LIMIT:
            self._fail(LegOutcome.PROTOCOL_ERROR, f"the head exceeds {HEAD_LIMIT} bytes", now)
        elif self._wire > self._discard or len(self.answer.chunks) >= _PIECES_LIMIT:
            self._fail(LegOutcome.TOO_LARGE, f"cut off after {self._wire} bytes", now)

    def framed_head(self, status: int, headers: Headers, now: float) -> None:
        """Take the head of an answer that somebody else has framed (HTTP/2); interim ones are of no interest."""
        if self.done or self._in_body or 100 <= status < 200:
            return
        self._in_body = self._framed = True
        self.answer.status, self.answer.headers = status, headers
        self._take_pieces(now)

    def framed_body(self, data: bytes, now: float) -> None:
        """Take a piece of its body."""
        if self.done:
            return
        self._wire += len(data)
        if data:
            self._pieces.append(data)
            self._take_pieces(now)
        if self._wire > self._discard or len(self.answer.chunks) >= _PIECES_LIMIT:
            self._fail(LegOutcome.TOO_LARGE, f"cut off after {self._wire} bytes", now)

    def framed_end(self, now: float) -> None:
        """Take its end."""
        if not self.done:
            over = self.answer.size > self._keep
            self._finish(LegOutcome.TOO_LARGE if over else LegOutcome.COMPLETE, now)

    def eof(self, now: float) -> None:
        """Take the end of the connection, which ends a body that has no other end (RFC 9112, 6.3)."""
        if self.done:
            return
        if self._in_body and not self._framed:
            over = self.answer.size > self._keep
            self._finish(LegOutcome.TOO_LARGE if over else LegOutcome.COMPLETE, now)
            self.keep_alive = False
            return
        self._fail(LegOutcome.RESET, "the connection ended before the answer", now)

    def stop(self, outcome: LegOutcome, detail: str, now: float) -> None:
        """End the answer from outside: a timeout, a cancel, a broken connection."""
        if not self.done:
            self._fail(outcome, detail, now)

    # Called by the parser.

    def on_message_begin(self) -> None:
        if self._complete:
            # Bytes beyond the answer belong to no request: the connection is not to be trusted with another.
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._in_body or 100 <= status < 200:
            return
        self._in_body = True
        self.answer.status = status
        self.answer.headers = self._headers
        self.keep_alive = self._parser.should_keep_alive()
        names = {name.lower() for name, _ in self._headers}
        chunked = any(
            value.rstrip().lower().endswith(b"chunked")
            for name, value in self._headers
            if name.lower() == b"transfer-encoding"
        )
        self._framed = chunked or (b"content-length" in names and b"transfer-encoding" not in names)
        if self._bodiless:
            # llhttp cannot know that this answers a HEAD and waits for the body that the length announces.
            self._complete = True
            self.keep_alive = False

    def on_body(self, data: bytes) -> None:
        if not self._complete:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        if self._in_body:
            self._complete = True
        else:
            self._headers = []

    def _take_pieces(self, now: float) -> None:
        answer = self.answer
        if self._in_body and not answer.head_at:
            answer.head_at = now
        if not self._pieces:
            return
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        kept = piece[: max(0, self._keep - answer.kept)]
        answer.size += len(piece)
        if kept and self._holding is not None and not self._holding.take(len(kept)):
            self._keep = answer.kept
            kept = b""
        if kept:
            answer.kept += len(kept)
            answer.chunks.append(kept)
            answer.times.append(now)

    def _fail(self, outcome: LegOutcome, detail: str, now: float) -> None:
        self.answer.detail = detail
        self.keep_alive = False
        self._finish(outcome, now)

    def _finish(self, outcome: LegOutcome, now: float) -> None:
        self.answer.outcome = outcome
        self.answer.finished = now
        self.done = True
        # It points back here: an answer of many megabytes would wait for the garbage collector, and be counted nowhere.
        del self._parser
