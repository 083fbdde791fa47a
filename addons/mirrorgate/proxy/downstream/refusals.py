"""Answers requests that an overloaded gateway refuses, as cheaply as it can, and tells of them in batches.

A request that came whole is answered with bytes made beforehand, once llhttp has found where it ends; any other one
behind its head. mitmproxy has no flow for either. Each is counted, and one of every batch is described.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...errors import REPLIES, Refusal
from ...events import RequestsShed
from ...exchange import Exchange
from ...plans import Refused
from ..messages.heads import Fields, Malformed, RequestHead, render_response
from ..messages.http1 import RequestReader
from ..messages.rendering import local_fields, reason_of, reply_body
from .whole_request import WholeRequest

if TYPE_CHECKING:
    from ..dataplane import Dataplane
    from .client import ClientConnection
    from .client_side import ClientSide, Inbound

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
        self._bytes = 0
        self._sample: Exchange | None = None

    def answer(self, connection: ClientConnection, data: bytes) -> bool:
        """Refuse what a connection has read, if that is one request of HTTP/1.1 and all of it. Whether it was."""
        whole, plane = self._whole, self._plane
        if plane.leaving or not whole.read(data):
            return False
        if (date := plane.date()) is not self._date:
            self._date = date
            self._answers = {openai: _rendered(date, openai=openai) for openai in (False, True)}
        head, body = self._answers[plane.director.speaks_openai(whole.url.decode("latin-1"))]
        if whole.head:
            body = b""
        if self._sample is None:
            self._sample = _described(connection, _head_of(data))
        self.count += 1
        self._bytes += len(body)
        connection.write(head + body)
        return True

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


def _described(client: ClientConnection | ClientSide, head: RequestHead | None) -> Exchange:
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


def _rendered(date: bytes, *, openai: bool) -> tuple[bytes, bytes]:
    fields, body = _reply(date, openai=openai)
    return render_response(_REPLY.status, reason_of(_REPLY.status), fields), body
