"""Answers requests that an overloaded gateway refuses, as cheaply as it can, and tells of them in batches.

A request that came whole is answered with bytes made beforehand, once llhttp has found where it ends; any other one
behind its head. One over HTTP/2 is answered past the library, as far as it lets itself be. mitmproxy has no flow for
any. Each is counted, and one of every batch is described.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from h2.events import RequestReceived

from ...errors import REPLIES, Refusal
from ...events import RequestsShed
from ...exchange import Exchange
from ...plans import Refused
from ..messages.heads import Fields, Malformed, RequestHead, render_response
from ..messages.http1 import RequestReader
from ..messages.http2_answers import WholeAnswer
from ..messages.http2_heads import request_from
from ..messages.http2_session import answer_past, ended_by_peer
from ..messages.rendering import local_fields, reason_of, reply_body
from .whole_request import WholeRequest

if TYPE_CHECKING:
    from ..dataplane import Dataplane
    from .client import ClientConnection
    from .client_side import ClientSide, Inbound
    from .http2 import Http2Connection

__all__ = ["Refusals"]

_REPLY = REPLIES[Refusal.OVERLOAD]
_RETRY = (b"retry-after", b"1")


class Refusals:
    """The answers of one data plane, and the count of those that were not told of yet."""

    def __init__(self, plane: Dataplane) -> None:
        self.count = 0
        """Since `tell`."""
        self._plane = plane
        self._whole = WholeRequest()
        self._date = b""
        self._answers: dict[bool, tuple[bytes, bytes]] = {}
        """Head and body, by whether the path speaks OpenAI's API."""
        self._frames: dict[tuple[bool, bool], WholeAnswer] = {}
        """Over HTTP/2; also by whether the method is HEAD."""
        self._bytes = 0
        self._sample: Exchange | None = None

    def answer(self, connection: ClientConnection, data: bytes) -> bool:
        """Refuse what a connection has read, if that is one request of HTTP/1.1 and all of it. Whether it was."""
        whole, plane = self._whole, self._plane
        if plane.leaving or not whole.read(data):
            return False
        self._render()
        head, body = self._answers[plane.director.speaks_openai(whole.url.decode("latin-1"))]
        if whole.head:
            body = b""
        if self._sample is None:
            self._sample = _described(connection, _head_of(data))
        self.count += 1
        self._bytes += len(body)
        connection.write(head + body)
        return True

    def answer_streams(self, link: Http2Connection, requests: Sequence[RequestReceived]) -> bytes:
        """Refuse requests of HTTP/2, and return what is to be sent for them.

        One that is not whole, or whose client does not take what would go past the library, is answered through it.
        """
        self._render()
        pieces: list[bytes] = []
        speaks_openai, session = self._plane.director.speaks_openai, link.session
        for request in requests:
            number, pairs = request.stream_id, request.headers or []
            assert number is not None
            ended = ended_by_peer(session, number)
            if ended is None:
                continue  # given up in the same read
            pseudo = dict(pairs[:4])
            openai = speaks_openai(pseudo.get(b":path", b"").decode("latin-1"))
            answer = self._frames[openai, pseudo.get(b":method") == b"HEAD"]
            if not (ended and link.writable and answer_past(session, number, answer.size)):
                link.refuse(request, ended=ended)
                continue
            if self._sample is None:
                self._sample = _described(link, _head_from(pairs))
            self.count += 1
            self._bytes += answer.size
            link.earned()
            pieces.append(answer.frames(number))
        return b"".join(pieces)

    def answer_head(self, client: ClientSide, inbound: Inbound) -> None:
        """Refuse a request of which the head has been read; what else has not come of it ends its connection."""
        head = inbound.head
        openai = self._plane.director.speaks_openai(head.path.decode("latin-1"))
        close = not inbound.ended or not head.keep_alive or self._plane.leaving
        fields, body = _reply(self._plane.date(), openai=openai)
        if client.framed:
            pass
        elif close:
            fields.append((b"connection", b"close"))
        elif head.version == b"HTTP/1.0":
            fields.append((b"connection", b"keep-alive"))
        if head.method == b"HEAD":
            body = b""
        if self._sample is None:
            self._sample = _described(client, head)
        self.count += 1
        self._bytes += len(body)
        client.send_head(_REPLY.status, reason_of(_REPLY.status), fields, body)
        client.exchange_done(close=close)

    def _render(self) -> None:
        """Make the answers anew, once a second: they have the date."""
        if (date := self._plane.date()) is self._date:
            return
        self._date = date
        for openai in (False, True):
            fields, body = _reply(date, openai=openai)
            self._answers[openai] = render_response(_REPLY.status, reason_of(_REPLY.status), fields), body
            for head in (False, True):
                self._frames[openai, head] = WholeAnswer(_REPLY.status, fields, b"" if head else body)

    def tell(self) -> None:
        """Emit what was refused since the last time, if anything was."""
        sample, self._sample = self._sample, None
        if sample is not None:
            self._plane.emit(RequestsShed(sample.finish(sample.began), self.count, self._bytes))
        self.count = self._bytes = 0


class _Head:
    """Keeps the head of a request that is read (`messages.http1.RequestSink`)."""

    head: RequestHead | None = None

    def request_head(self, head: RequestHead) -> None:
        self.head = head

    def request_body(self, data: bytes) -> None:
        """Let it pass by."""

    def request_end(self, trailers: Fields) -> None:
        """Let it pass by."""


def _head_of(data: bytes) -> RequestHead | None:
    """Read the head of a whole request; `None` where it would have been answered 400."""
    sink = _Head()
    try:
        RequestReader(sink, len(data)).feed(data)
    except Malformed:
        return None
    return sink.head


def _head_from(pairs: Sequence[tuple[bytes, bytes]]) -> RequestHead | None:
    """Read the head of a request of HTTP/2; `None` where it would have been reset."""
    try:
        return request_from(pairs, ended=False, max_head=sys.maxsize)
    except Malformed:
        return None


def _described(client: ClientConnection | ClientSide | Http2Connection, head: RequestHead | None) -> Exchange:
    peer = client.client.peername
    facts = Exchange(id="", started=time.time(), began=0.0, client=f"{peer[0]}:{peer[1]}", status=_REPLY.status)
    facts.refuse(Refusal.OVERLOAD)
    if head is not None:
        facts.method, facts.path = head.method.decode("latin-1"), head.path.decode("latin-1")
        facts.authority, facts.protocol = head.authority.decode("latin-1"), head.version.decode("latin-1")
        facts.user_agent = head.user_agent.decode("utf-8", "surrogateescape")
        facts.forwarded_for = head.forwarded_for.decode("latin-1")
        named = (value for name, value in head.fields if name.lower() == b"x-request-id")
        facts.request_id = next(named, b"").decode("latin-1")
    return facts


def _reply(date: bytes, *, openai: bool) -> tuple[list[tuple[bytes, bytes]], bytes]:
    body, content_type = reply_body(_REPLY, Refused(Refusal.OVERLOAD), openai=openai)
    return [*local_fields(body, content_type, (_RETRY,)), (b"date", date)], body
