"""One request's conversation with an endpoint picker, from the request's head to the answer's end.

The request waits for the picker's choice. The answer waits for nothing but what the picker has to say about its head,
and for that not long; its body is copied to the picker as long as the picker keeps up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from ...routing.table import HeaderChanges
from . import messages
from .grpc_calls import Call

__all__ = ["Consultation", "Picked", "Question"]

_HEAD_WAIT = 0.2
"""Seconds that an answer's head waits for the picker: Envoy's default for one message."""
_MOST_UNSENT = 256 * 1024
"""Bytes of an answer that may wait for the picker to read; over it the picker gets no more of this answer."""
_GATHER = 0.05
"""Seconds for which pieces of a streamed answer are gathered; its first piece goes at once."""
_LINGER = 5.0
"""Seconds that the picker gets to end the call after the answer's end."""

Fields = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Question:
    """A request as the picker sees it."""

    fields: Fields
    """Pseudo-fields first."""
    body: bytes
    subset: tuple[str, ...] | None = None
    """Endpoints that the picker must choose from; `None`: the pool's."""


@dataclass(frozen=True, slots=True)
class Picked:
    """The picker's choice."""

    endpoints: tuple[str, ...]
    """`ip:port`, the first that is valid is used."""
    changes: HeaderChanges
    body: bytes | None = None
    """The body to send; `None` leaves it as it was."""


class Consultation:
    """The conversation. `ask` once; then, if the request is sent, `answer_head`, `answer_pieces` and `answer_end`."""

    def __init__(self, call: Call, *, waits_for_head: bool = True) -> None:
        self.lagged = False
        """Whether the rest of the answer was kept from the picker, which did not read fast enough."""
        self.missed_head = False
        """Whether the picker said nothing about the answer's head in time."""
        self._call = call
        self._waits_for_head = waits_for_head
        self._wants_head = self._wants_body = True
        self._head: asyncio.Future[HeaderChanges] | None = None
        self._pieces: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    # The request

    async def ask(self, question: Question) -> Picked | messages.Immediate:
        """Ask for an endpoint. Raises `Broken`, or `Unreadable` for an answer that makes no sense."""
        call, body = self._call, question.body
        call.write(messages.request_head(question.fields, ended=not body, subset=question.subset))
        for message in messages.request_body(body):
            call.write(message)
        destination, changes = "", HeaderChanges()
        pieces: list[bytes] | None = None
        head_told, body_told = False, not body
        while not (head_told and body_told):
            data = await call.receive()
            if data is None:  # a good end: the picker has no more to say
                break
            reply = messages.read_reply(data)
            content = reply.content
            destination = reply.destination or destination
            if reply.wants_response_head is not None:
                self._wants_head, self._wants_body = reply.wants_response_head, bool(reply.wants_response_body)
            if isinstance(content, messages.Immediate):
                call.end()
                return content
            if isinstance(content, messages.Head) and not content.response:
                head_told, changes = True, _joined(changes, content.changes)
                if content.replaced:
                    pieces, body_told = [content.body or b""], True
            elif isinstance(content, messages.Body) and not content.response:
                changes = _joined(changes, content.changes)
                if content.piece is not None:
                    pieces = [*(pieces or ()), content.piece]
                # A picker that leaves the body as it is says so once, after its end.
                body_told = body_told or content.ended or content.piece is None
        endpoints = tuple(filter(None, (each.strip() for each in destination.split(","))))
        self._call.on_message = self._hear
        return Picked(endpoints, changes, None if pieces is None else b"".join(pieces))

    # The answer

    def answer_head(self, fields: Fields, served: str, *, ended: bool) -> Awaitable[HeaderChanges] | None:
        """Tell of an answer's head, pseudo-field first; what comes back is awaited for a moment only."""
        if self._call.over or not self._wants_head:
            return None
        self._call.write(messages.response_head(fields, served=served, ended=ended))
        if ended:
            self._finish()
        if not self._waits_for_head:
            return None
        self._head = asyncio.get_running_loop().create_future()
        return self._head_changes(self._head)

    def answer_pieces(self, pieces: Sequence[bytes]) -> None:
        """Copy pieces of the answer to the picker; never waits."""
        if not self._wants_body or self._ended or self._call.over:
            return
        self._pieces += pieces
        if self._timer is None:
            self._send_pieces()
            self._timer = asyncio.get_running_loop().call_later(_GATHER, self._gathered)

    def answer_end(self, trailers: Fields = ()) -> None:
        """Tell of the answer's end."""
        if self._ended or self._call.over:
            return
        if self._wants_body:
            self._send_pieces(ended=not trailers)
        if trailers and not self._ended:
            self._call.write(messages.response_trailers(trailers))
        self._finish()

    def close(self) -> None:
        """End the conversation: at once when the answer did not come to its end."""
        if self._timer is not None:
            self._timer.cancel()
        if self._head is not None and not self._head.done():
            self._head.set_result(HeaderChanges())
        if not self._ended:
            self._call.cancel()

    def _gathered(self) -> None:
        self._timer = None
        if self._pieces and not self._ended:
            self.answer_pieces(())

    def _send_pieces(self, *, ended: bool = False) -> None:
        pieces, self._pieces = self._pieces, []
        size = sum(map(len, pieces))
        if self._call.unsent + size > _MOST_UNSENT:
            self.lagged = self._ended = True
            self._call.cancel()
        elif size or ended:
            for message in messages.response_body(b"".join(pieces), ended=ended):
                self._call.write(message)

    def _finish(self) -> None:
        self._ended = True
        self._call.end()
        asyncio.get_running_loop().call_later(_LINGER, self._call.cancel)

    async def _head_changes(self, told: asyncio.Future[HeaderChanges]) -> HeaderChanges:
        await asyncio.wait((told,), timeout=_HEAD_WAIT)
        if told.done():
            return told.result()
        self.missed_head = True
        told.set_result(HeaderChanges())
        return told.result()

    def _hear(self, data: bytes) -> None:
        """Take what the picker says about the answer. Its body is on its way to the client and stays as it is."""
        try:
            content = messages.read_reply(data).content
        except messages.Unreadable:
            self._call.cancel()
            return
        head = self._head
        if isinstance(content, messages.Head) and content.response and head is not None and not head.done():
            head.set_result(content.changes)


def _joined(first: HeaderChanges, second: HeaderChanges) -> HeaderChanges:
    if not second:
        return first
    return HeaderChanges(first.set + second.set, first.add + second.add, first.remove + second.remove)
