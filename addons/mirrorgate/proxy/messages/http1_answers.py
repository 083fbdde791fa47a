"""Strict reading of HTTP/1.1 answers: what `http1` says of requests holds for them, too.

llhttp cannot be told that an answer to HEAD has no body, or that a body until the close is over: that is known here.
"""

from __future__ import annotations

from typing import Protocol

import httptools

from .head_memory import HeadMemory
from .heads import Fields, Malformed, ResponseHead, response_head, too_large
from .http1 import Reader

__all__ = ["ResponseReader", "ResponseSink"]


class ResponseSink(Protocol):
    """What a `ResponseReader` tells; a switch of protocols is a head alone."""

    def response_head(self, head: ResponseHead) -> None: ...
    def response_body(self, data: bytes) -> None: ...
    def response_end(self, trailers: Fields) -> None: ...


class ResponseReader(Reader):
    """Reads the responses on one upstream connection."""

    def __init__(self, sink: ResponseSink, max_head: int) -> None:
        super().__init__(max_head)
        self._sink = sink
        self._parser = httptools.HttpResponseParser(self)
        self._reason = b""
        self._expecting_head = False
        self._no_body = False
        """Whether a body is announced that will not come, since the request is HEAD."""
        self._until_close = False
        self._interim = False
        self._switching: ResponseHead | None = None
        self._ended = True
        self.memory: HeadMemory[ResponseHead] = HeadMemory()
        self._head: ResponseHead | None = None
        """That of the answer under way."""
        self._fresh = False
        """Whether nothing of an answer has come that may be known again."""
        self.between_chunks = False
        """Whether no chunk of a body has begun, or the last that has is over; its size line may have come in part."""
        self.keep_alive = False
        """Whether the connection may carry another request, known at the end of a response; false for good after
        anything malformed."""
        self.rest = b""
        """After 101: what came behind the head."""

    def begin(self, *, head: bool) -> None:
        """Expect the response of the next request; `head` says that it is HEAD."""
        self._expecting_head = head
        self._no_body = False
        self._until_close = False
        self._ended = False
        self._fresh = not head and not self.memory.weary
        self._unfinished = 0
        self.keep_alive = False

    def feed(self, data: bytes) -> None:
        """Take bytes of the upstream; raises `Malformed`."""
        fresh, self._fresh = self._fresh, False
        if fresh and (known := self.memory.recall(data)) is not None:
            head, body = known  # whole, so that the parser, which is between two answers, need not see it
            self._sink.response_head(head)
            if body < len(data):
                self._sink.response_body(data[body:])
            self.keep_alive = True
            self._end(())
            return
        try:
            self._read(data)
        except Malformed:
            self.keep_alive = False
            raise
        if fresh and self._ended and self.keep_alive and self._head is not None:
            _keep(self.memory, self._head, data)
        self._head = None

    def eof(self) -> bool:
        """Take the end of the connection. Whether that completes the response (a body until close)."""
        if self._until_close and not self._ended:
            self.keep_alive = False
            self._end(())
            return True
        return False

    def _read(self, data: bytes) -> None:
        rest: bytes | memoryview = self._feed_past(data) if self._past else data
        if not rest:
            return
        if self._ended:
            raise Malformed("data without a request")
        at = self._feed(self._parser, rest)
        if at is not None:
            switching, self._switching = self._switching, None
            if switching is None:
                raise Malformed("an unexpected switch of protocols")
            self.rest = data[at:]
            self._ended = True
            self._sink.response_head(switching)
            return
        if self._no_body and not self._ended:
            # llhttp cannot be told that a HEAD's answer has no body, so a fresh parser reads the next one.
            self.keep_alive = bool(self._parser.should_keep_alive())
            self._parser = httptools.HttpResponseParser(self)
            self._end(())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._ended:
            raise Malformed("a second response to one request")
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        self._reason += reason
        if len(self._reason) > self._max_head:
            raise too_large()

    def on_headers_complete(self) -> None:
        fields = self._take_fields()
        parser = self._parser
        status = parser.get_status_code()
        head = response_head(status, self._reason, parser.get_http_version(), fields, to_head=self._expecting_head)
        self._interim = status < 200 and status != 101
        if self._interim:
            if head.chunked or head.content_length:
                # llhttp would read it, and tell of a body that no head came before.
                raise Malformed("a body in an interim answer")
            return
        if status == 101:
            self._switching = head
            return
        self.between_chunks = head.chunked
        self._no_body = self._expecting_head and status not in (204, 304) and head.content_length != 0
        self._until_close = not head.bodiless and not head.chunked and head.content_length is None
        self._missing = 0 if head.bodiless else head.content_length or 0
        self._head = head
        self._sink.response_head(head)

    def on_body(self, data: bytes) -> None:
        self._unfinished = 0
        if self._no_body:
            raise Malformed("a body in the answer to HEAD")
        self._missing -= len(data)
        self._sink.response_body(data)

    def on_chunk_header(self) -> None:
        self.between_chunks = False

    def on_chunk_complete(self) -> None:
        self.between_chunks = True

    def _tell(self, data: bytes) -> None:
        self._sink.response_body(data)

    def _end_past(self) -> None:
        # Once the head is read, llhttp knows whether it leaves the connection open.
        self.keep_alive = bool(self._parser.should_keep_alive())
        self._parser = httptools.HttpResponseParser(self)
        self._end(())

    def on_message_complete(self) -> None:
        trailers = self._take_fields()
        if self._interim or self._no_body or self._switching is not None:
            return
        self.keep_alive = bool(self._parser.should_keep_alive())
        self._end(trailers)

    def _end(self, trailers: Fields) -> None:
        self._ended = True
        self.between_chunks = False
        self._sink.response_end(trailers)


def _keep(memory: HeadMemory[ResponseHead], head: ResponseHead, data: bytes) -> None:
    """Remember the head of an answer that came whole, if there is nothing to be decided about one like it."""
    shape = head.shape
    if shape is None or not shape.plain or shape.length is None or head.bodiless or head.version != b"HTTP/1.1":
        return
    memory.keep(head, data, length=shape.length, date=shape.date)
