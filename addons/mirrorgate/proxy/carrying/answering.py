"""The way down: the upstream's answer, through the hooks, to the client. No piece of it costs a task or a wait."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from mitmproxy import http

from ...errors import Refusal
from ...exchange import State
from ...routing.overrides import Override
from ..messages.heads import Fields, ResponseHead
from ..messages.rendering import answer_fields, last_chunk, reason_sent, websocket_upgrade
from ..messages.sketch import begin_response
from ..mitm import killed
from . import ending, replying
from .hooking import through
from .overriding import Overridden, overridden, override_of, waits_for_the_end
from .relaying import relay

if TYPE_CHECKING:
    from .carrier import Carrier

__all__ = ["Answer"]

_EVENT_STREAMS = (b"text/event-stream", b"application/x-ndjson", b"application/jsonl", b"application/stream+json")
_TAIL = 4
"""Pieces kept from the end of an answer, where its token usage stands."""


class Answer(msgspec.Struct, eq=False):
    """The answer of one exchange (`upstream_side.UpstreamUser`)."""

    _carrier: Carrier
    _room: int
    """Bytes of a streamed body that may still be kept on the flow; negative: none is kept."""
    _head: ResponseHead | None = None
    head_sent: bool = False
    """Whether the client has begun to get the upstream's answer."""
    upstream_full: bool = False
    """Whether the upstream takes no more of the request."""
    _streaming: bool = False
    _chunked: bool = False
    _buffer: list[bytes] = []
    _buffered: int = 0
    _stored: list[bytes] = []
    _tail: deque[bytes] = msgspec.field(default_factory=partial(deque, maxlen=_TAIL))
    _backlog: list[bytes] = []
    _backlog_end: Fields | None = None
    _backlog_failure: Refusal | None = None
    _instead: Overridden | None = None
    """What is sent in place of the upstream's answer."""

    # upstream.UpstreamUser

    def upstream_head(self, head: ResponseHead) -> None:
        carrier, now = self._carrier, time.monotonic()
        if carrier.call is not None:
            carrier.call.answered(head.status)
        if carrier.retrying is not None and carrier.retrying.answered(head):
            return
        facts = carrier.facts
        facts.to(State.RESPONDING)
        facts.head_at = now
        facts.details = "via_upstream"
        self._head = head
        if carrier.shaped is not None:
            override = override_of(carrier, head.status, list(head.fields), local=False)
            if override is not None:
                self._override(override, head)
                return
        response = begin_response(carrier.flow, head, facts.unix(now))
        facts.streamed = head.content_type.lower().startswith(_EVENT_STREAMS)
        limit = carrier.plane.settings.stream_answers_over
        large = limit == 0 or (head.content_length or 0) > limit
        if facts.streamed or large or head.status == 101 or carrier.inbound.head.streams_both_ways:
            response.stream = True
        pending = carrier.hooks.fire("responseheaders")
        if carrier.consulted is not None:
            pending = carrier.consulted.head(head, pending)
        carrier.hooks.after(pending, self._begin)

    def upstream_body(self, pieces: list[bytes]) -> None:
        carrier = self._carrier
        if self._instead is not None:
            return  # nobody gets it
        if carrier.hooks.pending:
            self._backlog += pieces
        elif carrier.over:
            return
        elif self._streaming:
            carrier.clocks.touch()
            self._stream(pieces)
        elif carrier.facts.state is State.TUNNEL:
            carrier.clocks.touch()
            for piece in pieces:
                carrier.facts.bytes_sent += len(piece)
                carrier.connection.write(piece)
        else:
            carrier.clocks.touch()
            self._collect(pieces)

    def upstream_end(self, trailers: Fields) -> None:
        carrier = self._carrier
        if carrier.hooks.pending:
            self._backlog_end = trailers
            return
        if carrier.over:
            return
        if self._instead is not None:
            carrier.run(replying.replace(carrier, self._instead))
            return
        if carrier.facts.state is State.TUNNEL:
            carrier.connection.end_writing()
            carrier.finish()
            return
        response = carrier.flow.response
        assert response is not None
        if trailers:
            response.trailers = http.Headers(trailers)
        response.data.timestamp_end = carrier.facts.unix(time.monotonic())
        if self._streaming:
            for part in through(response.stream, b"", last=True):
                if part:
                    self._write(part)
            if self._room >= 0:
                response.data.content = b"".join(self._stored)
        else:
            content = response.data.content = b"".join(self._buffer)
            self._tail.append(content[-4096:])
            self._buffer = []
        carrier.hooks.after(carrier.hooks.fire("response"), self._complete)

    def upstream_failed(self, refusal: Refusal) -> None:
        carrier = self._carrier
        if refusal is Refusal.INTERNAL:
            ending.bug(carrier)
        elif carrier.over:
            return
        elif self._instead is not None:
            carrier.run(replying.replace(carrier, self._instead))
        elif carrier.facts.state is State.TUNNEL:
            carrier.close = True
            carrier.finish()
        elif carrier.hooks.pending:
            self._backlog_failure = refusal
        elif carrier.facts.state is State.FORWARDING:
            carrier.failed(refusal)
        else:
            self._break(refusal)

    def upstream_writable(self, writable: bool) -> None:
        self.upstream_full = not writable
        if writable:
            self._carrier.connection.unhold("body")
        else:
            self._carrier.connection.hold("body")

    # Steps

    def _override(self, override: Override, head: ResponseHead) -> None:
        """Answer as the policy says. A short rest of the upstream's answer is read, to keep its connection."""
        carrier = self._carrier
        self._instead = overridden(carrier, override, head.status, list(head.fields))
        if carrier.shaped is not None:
            carrier.shaped.overridden = True
        if not waits_for_the_end(head):
            carrier.run(replying.replace(carrier, self._instead))

    def _begin(self) -> None:
        """Begin to answer, now that addons have seen the head."""
        carrier, head, response = self._carrier, self._head, self._carrier.flow.response
        if carrier.over or head is None:
            return
        if killed(carrier.flow):
            ending.cut(carrier, Refusal.KILLED)
            return
        if response is None or (head.status == 101 and not websocket_upgrade(carrier.inbound.head)):
            self._break(Refusal.UPSTREAM_PROTOCOL)
            return
        if head.status == 101:
            self._switch()
            return
        if response.stream and not head.bodiless and not self._bodiless:
            self._streaming = True
            self._send_head()
        if self._backlog or self._backlog_end is not None or self._backlog_failure is not None:
            self._catch_up()

    def _catch_up(self) -> None:
        """Take what came while an addon was waited for."""
        if self._backlog:
            pieces, self._backlog = self._backlog, []
            self.upstream_body(pieces)
        if self._backlog_end is not None:
            trailers, self._backlog_end = self._backlog_end, None
            self.upstream_end(trailers)
        elif self._backlog_failure is not None and not self._carrier.over:
            self._break(self._backlog_failure)

    def _stream(self, pieces: list[bytes]) -> None:
        carrier = self._carrier
        facts = carrier.facts
        if carrier.mirror is not None:
            carrier.mirror.answer(pieces)
        if carrier.tape is not None:
            carrier.tape.answer(pieces)
        if carrier.consulted is not None:
            carrier.consulted.pieces(pieces)
        if carrier.shaped is not None:
            carrier.shaped.answer(pieces)
        if facts.streamed:
            now = time.monotonic()
            if facts.first_piece_at is None:
                facts.first_piece_at = now
                if carrier.call is not None:
                    carrier.call.first_piece()
            facts.last_piece_at = now
            facts.pieces += 1
        stream = carrier.flow.response.stream  # type: ignore[union-attr]
        if stream is not True:
            pieces = [part for piece in pieces for part in through(stream, piece) if part]
            if not pieces:
                return
        self._write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _write(self, data: bytes) -> None:
        carrier = self._carrier
        self._tail.append(data)
        if self._room >= 0:
            self._store(data)
        carrier.facts.bytes_sent += len(data)
        carrier.connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def _store(self, data: bytes) -> None:
        """Keep a piece on the flow; a body that turns out too large is not kept at all, as if it had only streamed."""
        self._room -= len(data)
        if self._room < 0:
            self._stored.clear()
        else:
            self._stored.append(data)

    def _collect(self, pieces: list[bytes]) -> None:
        """Buffer the body so that addons may change it; one that grows too large streams from there on."""
        carrier = self._carrier
        self._buffer += pieces
        self._buffered += sum(map(len, pieces))
        response = carrier.flow.response
        if self._buffered > carrier.plane.settings.stream_answers_over and response is not None:
            if self._bodiless:
                self._buffer.clear()  # it is sent to nobody
                return
            response.stream = True
            self._streaming = True
            self._send_head()
            buffer, self._buffer = self._buffer, []
            self._stream(buffer)

    def _complete(self) -> None:
        """Send the end of the answer, now that addons have seen it whole."""
        carrier, head, response = self._carrier, self._head, self._carrier.flow.response
        if carrier.over or head is None or response is None:
            return
        if killed(carrier.flow):
            ending.cut(carrier, Refusal.KILLED, hook=False)
            return
        if self._streaming:
            carrier.connection.end_body(response.trailers, chunked=self._chunked)
        else:
            if carrier.mirror is not None and response.raw_content:
                carrier.mirror.answer([response.raw_content])
            if carrier.tape is not None and response.raw_content:
                carrier.tape.answer([response.raw_content])
            self._send_head(response.raw_content or b"")
        if carrier.consulted is not None:
            carrier.consulted.end(response)
        self._read_usage()
        carrier.clocks.stop("request")  # it bounds the upstream; a client may read as slowly as it likes, but read
        if carrier.connection.when_drained(carrier):
            carrier.over = True
            return  # the place is held until the client has the last byte
        carrier.finish()

    def _send_head(self, content: bytes | None = None) -> None:
        """Send the answer's head, and with it a buffered body (`content`); a streamed one follows."""
        carrier, head, response, plan = self._carrier, self._head, self._carrier.flow.response, self._carrier.plan
        assert head is not None
        assert response is not None
        assert plan is not None
        if not carrier.inbound.ended or carrier.plane.leaving:
            carrier.close = True
        bodiless = self._bodiless or response.status_code == 101
        if bodiless and content:
            content = b""  # what there is of it is for those who look
        fields, self._chunked, until_close = answer_fields(
            response,
            head,
            plan,
            content,
            bodiless=bodiless,
            framed=carrier.connection.framed,
            old_client=carrier.inbound.head.version == b"HTTP/1.0",
            close=carrier.close,
            date=carrier.plane.date,
        )
        carrier.close = carrier.close or until_close
        carrier.facts.status = response.status_code
        self.head_sent = True
        if content is not None:
            carrier.facts.bytes_sent += len(content)
            if self._chunked:  # buffered, with trailers
                chunk = b"%x\r\n%b\r\n" % (len(content), content) if content else b""
                content = chunk + last_chunk(response.trailers)
        reason = reason_sent(response, head)
        carrier.connection.send_head(response.status_code, reason, fields, content, response.trailers)
        if content is None and head.chunked and self._room < 0:
            relay(carrier, self._tail, chunked=self._chunked)

    def _break(self, refusal: Refusal) -> None:
        """End an answer that broke after its head: Envoy calls every such break a protocol error."""
        carrier = self._carrier
        if self.head_sent:
            carrier.facts.details = "upstream_reset_after_response_started{protocol_error}"
            ending.cut(carrier, Refusal.UPSTREAM_PROTOCOL)
        else:
            carrier.run(ending.fail(carrier, Refusal.UPSTREAM_PROTOCOL))

    def _switch(self) -> None:
        """Pass a switch of protocols on, once addons have seen it."""
        carrier, upstream, response = self._carrier, self._carrier.upstream, self._carrier.flow.response
        assert upstream is not None
        assert response is not None
        rest = upstream.tunnel()
        if rest:
            self._backlog.append(rest)
        response.data.timestamp_end = carrier.facts.unix(time.monotonic())
        carrier.hooks.after(carrier.hooks.fire("response"), self._become_tunnel)

    def _become_tunnel(self) -> None:
        carrier, upstream, response = self._carrier, self._carrier.upstream, self._carrier.flow.response
        if carrier.over:
            return
        if killed(carrier.flow) or response is None or upstream is None:
            ending.cut(carrier, Refusal.KILLED, hook=False)
            return
        if response.status_code != 101:  # an addon has refused the switch
            self._send_head(response.raw_content or b"")
            carrier.finish()
            return
        self._send_head(b"")
        carrier.facts.to(State.TUNNEL)
        carrier.clocks.stop("request")  # it bounds an answer, and a tunnel has no end to wait for
        carrier.close = True
        held = carrier.connection.start_tunnel()
        if held:
            carrier.tunnel_data(held)
        self._catch_up()

    @property
    def _bodiless(self) -> bool:
        """Whether the client gets no body, as addons have left the answer (RFC 9112, 6.3)."""
        response = self._carrier.flow.response
        return self._carrier.facts.method == "HEAD" or (response is not None and response.status_code in (204, 304))

    def _read_usage(self) -> None:
        facts, shaped = self._carrier.facts, self._carrier.shaped
        if facts.model or facts.streamed or (shaped is not None and shaped.counts_tokens):
            usage = self._carrier.plane.director.usage(b"".join(self._tail))
            if usage is not None:
                facts.prompt_tokens, facts.completion_tokens = usage
