"""HTTP/1.1 messages off the wire: strict reading on top of llhttp (through httptools).

llhttp is strict by itself: both Content-Length and Transfer-Encoding, duplicate or signed lengths, bare LF, obs-fold,
NUL and control characters, bad chunk sizes are errors. This module adds the limits on heads, trailers and chunk
extensions, and the framing of messages that llhttp cannot know: answers to HEAD, and requests that ask for an upgrade.

What is left of a long body of declared length is counted and goes past the parser, which would copy it. A fresh parser
reads what follows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import httptools

from ...errors import Refusal
from .head_memory import HeadMemory
from .heads import Fields, HeadNotes, Malformed, RequestHead, request_head, too_large

__all__ = ["MAX_HEADER_FIELDS", "Reader", "RequestReader", "RequestSink"]

MAX_HEADER_FIELDS = 100
"""Fields in a head or in trailers; Envoy's default."""

_PAST = 16 * 1024
"""Bytes of a body that have to be left for a parser of its own for what follows to cost less than their copying."""

_SYNTHETIC = b"POST / HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n"


class RequestSink(Protocol):
    """What a `RequestReader` tells; calls come in the order head, body..., end."""

    def request_head(self, head: RequestHead) -> None: ...
    def request_body(self, data: bytes) -> None: ...
    def request_end(self, trailers: Fields) -> None: ...


class Reader(ABC):
    """What both directions share: collecting fields, the limits on them, and what goes past the parser."""

    def __init__(self, max_head: int) -> None:
        self._max_head = max_head
        self._fields: list[tuple[bytes, bytes]] = []
        self._unfinished = 0
        """Bytes fed since a message began, or since a piece of its body came: llhttp and httptools hold no more than
        that of a head, of trailers or of a chunk's extensions."""
        self._fed = 0
        """Bytes that were fed last."""
        self._most = 0
        """What a head or trailers that end in what is fed now may have at most: they may have begun inside what was
        fed before."""
        self._missing = 0
        """Bytes that are missing of a body of declared length."""
        self._past = False
        """Whether they go past the parser."""

    def on_message_begin(self) -> None:
        self._fields.clear()
        self._unfinished = self._unfinished or 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def _take_fields(self) -> Fields:
        """Return the fields of a head, or of trailers, that is complete."""
        fields = tuple(self._fields)
        if fields:
            self._fields.clear()
            # What is fed holds all that is told of, several messages maybe, and is mostly well below the limit.
            if len(fields) > MAX_HEADER_FIELDS or (
                self._most > self._max_head and sum([len(n) + len(v) + 4 for n, v in fields]) > self._max_head
            ):
                raise too_large()
        self._unfinished = 0
        return fields

    def _feed(
        self, parser: httptools.HttpRequestParser | httptools.HttpResponseParser, data: bytes | memoryview
    ) -> int | None:
        """Parse bytes. Where llhttp stopped for a switch of protocols, `None` when it took all."""
        self._most = len(data) + (self._most if self._unfinished else self._fed)
        self._fed = len(data)
        self._unfinished += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            at: int = upgrade.args[0]
            return at
        except httptools.HttpParserCallbackError as error:
            # Never called while another exception is handled: that would stand here in the cause's place.
            cause = error.__context__
            raise cause if cause is not None else error from None
        except httptools.HttpParserError as error:
            raise Malformed(str(error) or "malformed HTTP") from None
        if self._unfinished > self._max_head or len(self._fields) > MAX_HEADER_FIELDS:
            raise too_large()
        if self._missing >= _PAST:
            self._past = True
        return None

    def _feed_past(self, data: bytes | memoryview) -> bytes | memoryview:
        """Take bytes of a body past the parser, and return those behind it."""
        missing = self._missing
        piece = data[:missing]
        self._missing -= len(piece)
        self._past = self._missing > 0
        self._tell(bytes(piece))
        if not self._past:
            self._end_past()
        return data[missing:]

    @abstractmethod
    def _tell(self, data: bytes) -> None:
        """Tell of a piece of the body."""

    @abstractmethod
    def _end_past(self) -> None:
        """Tell of the end of a body that went past the parser, which is of no use any more."""


class RequestReader(Reader):
    """Reads the requests of one client connection, one after another."""

    def __init__(self, sink: RequestSink, max_head: int) -> None:
        super().__init__(max_head)
        self._sink = sink
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._upgrading: RequestHead | None = None
        """The request that llhttp takes for an upgrade, until its body is framed."""
        self._synthetic = False
        self._last = False
        """Whether the request under way is the last of its connection."""
        self._ended = False
        """Whether that one has come whole, past its parser, which would take nothing more."""
        self.memory: HeadMemory[RequestHead] = HeadMemory()
        self._head: RequestHead | None = None
        """One that was told of what is fed now."""
        self._between = True
        """Whether the request that came last has come whole, and another may follow."""
        self.upgraded = False
        """Whether the request that came last asked for an upgrade; what follows is held back in `held`."""
        self.held = b""

    @property
    def idle(self) -> bool:
        """Whether no part of a further request has arrived."""
        return self._unfinished == 0

    def feed(self, data: bytes) -> None:
        """Take bytes of the client; raises `Malformed`. After an upgrade request, bytes wait in `held`."""
        alone = self._between and not self._unfinished and not self.memory.weary
        if alone and (known := self.memory.recall(data)) is not None:
            again, body = known  # whole, so that the parser, which is between two requests, need not see it
            self._sink.request_head(again)
            if body < len(data):
                self._sink.request_body(data[body:])
            self._sink.request_end(())
            return
        self._between = False
        self._parse(data)
        head, self._head = self._head, None
        if alone and self._between and not self._unfinished and head is not None:
            _keep(self.memory, head, data)

    def _parse(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while rest:  # no recursion: one read may hold thousands of requests for an upgrade
            if self._past:
                rest = self._feed_past(rest)
                continue
            if self._ended:
                raise Malformed("data behind the last request of a connection")
            if self.upgraded:
                self.held += rest
                return
            at = self._feed(self._parser, rest)
            if at is None:
                return
            rest = memoryview(rest)[at:]
            self._after_upgrade_head()

    @property
    def past(self) -> int:
        """Bytes of a body that are missing and need not be fed; 0 where they do."""
        return self._missing if self._past else 0

    def take_past(self, size: int) -> None:
        """Take note that so many of these bytes have come; the end is told after the last."""
        self._missing -= size
        self._past = self._missing > 0
        if not self._past:
            self._end_past()

    def resume(self) -> None:
        """Go on reading HTTP after an upgrade that was not granted."""
        held, self.held, self.upgraded = self.held, b"", False
        self._parser = httptools.HttpRequestParser(self)
        if held:
            self.feed(held)

    def _after_upgrade_head(self) -> None:
        # llhttp takes the head for the whole message when it asks for an upgrade. A body that the head declares is
        # still framed HTTP, so it is read by a fresh parser behind a head that only carries the framing.
        head, self._upgrading = self._upgrading, None
        assert head is not None
        self._parser = httptools.HttpRequestParser(self)
        if head.has_body:
            coding = (
                b"transfer-encoding: chunked" if head.chunked else b"content-length: %d" % (head.content_length or 0)
            )
            self._synthetic = True
            self._feed(self._parser, _SYNTHETIC % coding)
        elif head.upgrade == b"websocket":
            self.upgraded, self._between = True, False

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._max_head:
            raise Malformed("the request target is larger than the limit", Refusal.HEADERS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        fields = self._take_fields()
        target, self._url = self._url, b""
        if self._synthetic:
            return
        parser = self._parser
        upgrading = bool(parser.should_upgrade())
        head = request_head(
            parser.get_method(),
            target,
            parser.get_http_version(),
            fields,
            keep_alive=bool(parser.should_keep_alive()),
            upgrading=upgrading,
        )
        if upgrading:
            self._upgrading = head
        else:
            self._missing = head.content_length or 0
            self._last = not head.keep_alive
        self._head, self._between = head, False
        self._sink.request_head(head)

    def on_body(self, data: bytes) -> None:
        self._unfinished = 0
        self._missing -= len(data)
        self._sink.request_body(data)

    def _tell(self, data: bytes) -> None:
        self._sink.request_body(data)

    def _end_past(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._ended = self._last
        self._between = not self._last
        self._sink.request_end(())

    def on_message_complete(self) -> None:
        if self._upgrading is not None and self._upgrading.has_body:
            return  # llhttp's end of an upgrade's head; the body is read by the next parser
        self._synthetic = False
        self._between = not self._last
        self._sink.request_end(self._take_fields())


def _keep(memory: HeadMemory[RequestHead], head: RequestHead, data: bytes) -> None:
    """Remember the head of a request that came whole, if there is nothing to be decided about one like it."""
    shape = head.shape
    if shape is None or not shape.plain or not head.keep_alive or head.version != b"HTTP/1.1":
        return
    if memory.keep(head, data, length=shape.length):
        head.notes = HeadNotes()
