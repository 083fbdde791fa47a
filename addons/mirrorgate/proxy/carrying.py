"""Carries one exchange from its head to its release.

The way up to admission is a coroutine, since an addon may make it wait at any hook. From there on everything is
callbacks, so that a piece of the answer costs one call and no task. Whatever happens, `_finish` runs once: it gives
back what the exchange holds and tells of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from mitmproxy import flow as mitm_flow
from mitmproxy import http

from ..plans import Directed, Plan, Refused, RequestFacts
from ..errors import REPLIES, LocalReply, Refusal
from ..exchange import Exchange, Permit, State
from .http1 import Fields, Malformed, ResponseHead
from .mitm import killed, wait_for_resume
from .rendering import answer_head, forwarded_head, local_fields, reply_body, websocket_upgrade

if TYPE_CHECKING:
    from .client import ClientConnection, Inbound
    from .dataplane import Dataplane
    from .mirroring import MirrorHandle
    from .upstream import ClusterPool, Upstream

__all__ = ["Carrier"]

logger = logging.getLogger(__name__)

_EVENT_STREAMS = ("text/event-stream", "application/x-ndjson", "application/jsonl", "application/stream+json")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_HIGH_WATER = 256 * 1024
_TAIL = 4
"""Pieces kept from the end of an answer, where its token usage stands."""


class Carrier:
    """One exchange: the flow that addons see, the connections it uses, and what is known of it."""

    def __init__(self, plane: Dataplane, connection: ClientConnection, inbound: Inbound) -> None:
        self.plane = plane
        self.connection = connection
        self.client = connection.client
        self.inbound = inbound
        self.flow = plane.new_flow(connection, inbound)
        head = inbound.head
        self.facts = Exchange(
            id=self.flow.id,
            started=inbound.started,
            method=head.method.decode("latin-1"),
            path=head.path.decode("latin-1"),
            authority=head.authority.decode("latin-1"),
            protocol=head.version.decode("latin-1"),
            client=f"{self.client.peername[0]}:{self.client.peername[1]}",
        )
        self.plan: Plan | None = None
        self.pool: ClusterPool | None = None
        self.upstream: Upstream | None = None
        self.mirror: MirrorHandle | None = None
        self.in_flight: Permit | None = None
        self.last_byte = time.monotonic()
        self._gone = False
        self._over = False
        """Nothing more goes to the client or comes from the upstream; hooks may still be running."""
        self._finished = False
        self._close = not head.keep_alive
        self._wake: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._duration_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._queued_at = 0.0
        self._in_queue = False
        self._streams_up = False
        self.sent_up = False
        """The request has been passed on completely."""
        self._hook_pending = False
        self._backlog: list[bytes] = []
        self._backlog_end: Fields | None = None
        self._backlog_failure: Refusal | None = None
        self._head: ResponseHead | None = None
        self.head_sent = False
        self._streaming = False
        self._chunked = False
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._tail: deque[bytes] = deque(maxlen=_TAIL)
        self._stored: list[bytes] = []
        self._stored_up: list[bytes] = []

    @property
    def address(self) -> Any:
        """Where the waiter wants to go (`upstream.Waiter`)."""
        assert self.plan is not None
        return self.plan.address

    # The way up: route, read, plan, admit

    def start(self) -> None:
        self._run(self._request_phase())

    async def _request_phase(self) -> None:
        flow, plane = self.flow, self.plane
        directed = plane.director.route(self._facts_of_request())
        self._note_route(directed)
        before = self._signature()
        if not await self._hook("requestheaders"):
            return
        head = self.inbound.head
        if head.expects_continue:
            if not self.inbound.ended and (directed.refused is None or flow.response is not None):
                self.connection.write(_CONTINUE)
            flow.request.headers.pop("expect", None)
        if flow.response is None and directed.refused is not None and not self.inbound.ended:
            # The body is not waited for: nothing can make use of it.
            await self._refuse(directed.refused)
            return
        if flow.response is None and self._wants_streaming(directed):
            directed = self._rerouted(directed, before)
            if directed.refused is not None:
                await self._refuse(directed.refused)
                return
            self._streams_up = True
            flow.request.stream = flow.request.stream or True
            await self._plan_and_admit(directed, None)
            return
        self.facts.to(State.READING)
        if not await self._read_body():
            return
        if not await self._hook("request"):
            return
        if flow.response is not None:
            await self._answer_by_addon()
            return
        directed = self._rerouted(directed, before)
        if directed.refused is not None:
            await self._refuse(directed.refused)
            return
        await self._plan_and_admit(directed, flow.request.raw_content or b"")

    def _facts_of_request(self) -> RequestFacts:
        request = self.flow.request
        return RequestFacts(
            port=self.connection.port.logical,
            method=request.data.method,
            path=request.data.path,
            host=self._host(),
            fields=request.headers.fields,
            scheme="http",
            client=self.client.peername[0],
        )

    def _host(self) -> bytes:
        # An absolute target's authority wins over Host (RFC 9112, 3.2.2), unless an addon has set another Host.
        for name, value in self.flow.request.headers.fields:
            if name.lower() == b"host":
                head = self.inbound.head
                return head.authority if value.strip() == self._wire_host else value.strip()
        return self.inbound.head.authority

    @property
    def _wire_host(self) -> bytes:
        return next((value.strip() for name, value in self.inbound.head.fields if name.lower() == b"host"), b"")

    def _signature(self) -> tuple[object, ...]:
        data = self.flow.request.data
        return data.method, data.path, data.host, data.port, data.headers.fields

    def _rerouted(self, directed: Directed, before: tuple[object, ...]) -> Directed:
        """Match again if an addon has changed what routing looks at; an address that it set is used as it is."""
        now = self._signature()
        if now == before:
            return directed
        if now[2:4] != before[2:4]:
            data = self.flow.request.data
            directed = self.plane.director.direct(data.host, data.port)
        else:
            directed = self.plane.director.route(self._facts_of_request())
        self._note_route(directed)
        return directed

    def _note_route(self, directed: Directed) -> None:
        facts = self.facts
        facts.listener = directed.listener
        facts.route = directed.route
        facts.rule = directed.rule_index
        facts.cluster = directed.cluster
        metadata = self.flow.metadata
        metadata["mirrorgate.route"] = directed.route
        if directed.cluster:
            metadata["mirrorgate.cluster"] = directed.cluster

    def _wants_streaming(self, directed: Directed) -> bool:
        inbound, settings = self.inbound, self.plane.settings
        if self.flow.request.stream:
            return True
        if inbound.ended or directed.needs_body:
            return False
        expected = inbound.head.content_length or inbound.received
        return settings.stream_over is not None and (expected > settings.stream_over or settings.stream_over == 0)

    async def _read_body(self) -> bool:
        """Read the whole body, up to its limit. Whether the exchange goes on."""
        inbound, limit = self.inbound, self.plane.settings.body_limit
        while True:
            declared = inbound.head.content_length or 0
            if max(inbound.received, declared) > limit:
                await self._refuse(Refused(Refusal.BODY_TOO_LARGE, f"the request body is larger than {limit} bytes"))
                return False
            if inbound.ended:
                break
            await self._wait()
            if self._over:
                return False
            if self._gone:
                await self._client_gone()
                return False
        pieces = inbound.take()
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        data = self.flow.request.data
        data.content = body
        data.timestamp_end = time.time()
        if inbound.trailers:
            self.flow.request.trailers = http.Headers(inbound.trailers)
        self.facts.bytes_received = len(body)
        return True

    async def _plan_and_admit(self, directed: Directed, body: bytes | None) -> None:
        plane, facts = self.plane, self.facts
        planned = plane.director.plan(directed, self._facts_of_request(), body)
        if isinstance(planned, Refused):
            facts.model = planned.model or ""
            await self._refuse(planned)
            return
        self.plan = planned
        facts.cluster = planned.cluster
        facts.pool = planned.pool
        facts.endpoint = str(planned.address)
        facts.model = planned.model or ""
        facts.target_model = planned.target_model or ""
        metadata = self.flow.metadata
        metadata["mirrorgate.cluster"] = planned.cluster
        metadata["mirrorgate.endpoint"] = facts.endpoint
        if planned.model:
            metadata["mirrorgate.model"] = planned.model
        if planned.target_model and planned.target_model != planned.model:
            metadata["mirrorgate.target_model"] = planned.target_model
        plane.picked(planned, facts.id, time.time())
        facts.to(State.ADMITTING)
        loop = asyncio.get_running_loop()
        if planned.timeouts.request and (not self._streams_up or self.inbound.ended):
            self._timer = loop.call_later(planned.timeouts.request, self._timed_out, Refusal.REQUEST_TIMEOUT)
        if planned.timeouts.max_duration:
            self._duration_timer = loop.call_later(
                planned.timeouts.max_duration, self._timed_out, Refusal.MAX_DURATION
            )
        self._queued_at = time.monotonic()
        self._in_queue = True
        self.pool = plane.pool(planned)
        self.pool.acquire(self)

    # upstream.Waiter

    def assigned(self, upstream: Upstream) -> None:
        """Take the connection and pass the request on at once: what is admitted must not wait for a task's turn."""
        assert self.plan is not None
        self._in_queue = False
        now = time.monotonic()
        self.facts.queued = now - self._queued_at
        self.last_byte = now
        self.upstream = upstream
        upstream.begin(self, head=self.facts.method == "HEAD")
        self.flow.server_conn = upstream.server
        self.in_flight = self.plane.director.started(self.plan)
        self.facts.to(State.FORWARDING)
        idle = self.plan.timeouts.stream_idle
        if idle:
            self._idle_timer = asyncio.get_running_loop().call_later(idle, self._idle_tick, idle)
        try:
            self._forward(upstream, self.plan)
        except Exception:
            self._bug()

    def refused(self, refusal: Refusal) -> None:
        self._in_queue = False
        self._run(self._fail_before_head(refusal))

    def _forward(self, upstream: Upstream, plan: Plan) -> None:
        flow = self.flow
        upgrade = websocket_upgrade(self.inbound.head)
        body = None if self._streams_up else plan.body
        chunked_up = self._streams_up and self.inbound.head.chunked
        fields = forwarded_head(
            flow.request.headers.fields,
            plan,
            client=self.client.peername[0],
            body=body,
            content_length=self.inbound.head.content_length if self._streams_up else None,
            chunked=chunked_up or bool(flow.request.trailers and not self._streams_up),
            upgrade=upgrade,
        )
        self.facts.request_id = plan.request_id
        rendered = b"%b %b HTTP/1.1\r\n%b\r\n" % (
            flow.request.data.method,
            plan.path,
            b"".join([b"%b: %b\r\n" % field for field in fields]),
        )
        self._chunked_up = chunked_up
        self.mirror = self.plane.mirror(self, plan, fields, body) if not upgrade else None
        if body is None:
            upstream.write(rendered)
            self._send_up()
            return
        trailers = flow.request.trailers
        if trailers:
            rest = b"".join([b"%b: %b\r\n" % field for field in trailers.fields])
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            upstream.write(rendered + chunk + b"0\r\n" + rest + b"\r\n")
        else:
            upstream.write(rendered + body if len(body) < 65536 else rendered)
            if len(body) >= 65536:
                upstream.write(body)
        self.sent_up = True

    # The streamed upload

    def inbound_changed(self) -> None:
        """Take note that more of the request has arrived."""
        self.last_byte = time.monotonic()
        if self._streams_up and self.upstream is not None and not self._over:
            self._send_up()
            return
        if self._streams_up and self.inbound.buffered > _HIGH_WATER:
            self.connection.hold("body")
        wake = self._wake
        if wake is not None and not wake.done():
            wake.set_result(None)

    def _send_up(self) -> None:
        """Pass on what has arrived of a streamed upload, and its end."""
        upstream, inbound = self.upstream, self.inbound
        if upstream is None or self.sent_up:
            return
        for piece in inbound.take():
            self.facts.bytes_received += len(piece)
            for part in self._through(self.flow.request.stream, piece):
                if part:
                    upstream.write(b"%x\r\n%b\r\n" % (len(part), part) if self._chunked_up else part)
                    if self.plane.settings.store_streamed:
                        self._stored_up.append(part)
                    if self.mirror is not None:
                        self.mirror.chunk(part)
        if inbound.ended and not self.sent_up:
            self.sent_up = True
            self._run(self._end_upload())

    async def _end_upload(self) -> None:
        flow, upstream = self.flow, self.upstream
        assert upstream is not None
        tail = b"".join(part for part in self._through(flow.request.stream, b"", last=True) if part)
        if tail:
            upstream.write(b"%x\r\n%b\r\n" % (len(tail), tail) if self._chunked_up else tail)
        flow.request.data.timestamp_end = time.time()
        if self._stored_up:
            flow.request.data.content = b"".join(self._stored_up)
            self._stored_up = []
        if self.inbound.trailers:
            flow.request.trailers = http.Headers(self.inbound.trailers)
        plan = self.plan
        if plan is not None and plan.timeouts.request and self._timer is None and not self._over:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(plan.timeouts.request, self._timed_out, Refusal.REQUEST_TIMEOUT)
        if not await self._hook("request") or self._over:
            return
        if self._chunked_up:
            trailers = flow.request.trailers.fields if flow.request.trailers else ()
            upstream.write(b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % field for field in trailers]))
        if self.mirror is not None:
            self.mirror.end()

    def upstream_writable(self, writable: bool) -> None:
        if writable:
            self.connection.unhold("body")
        else:
            self.connection.hold("body")

    # The way down: upstream.UpstreamUser

    def upstream_head(self, head: ResponseHead) -> None:
        now = time.time()
        self.facts.to(State.RESPONDING)
        self.facts.head_at = now
        self.facts.details = "via_upstream"
        self._head = head
        response = http.Response(
            head.version, head.status, head.reason, http.Headers(head.fields), None, None, now, None
        )
        self.flow.response = response
        content_type = response.headers.get("content-type", "").lower()
        self.facts.streamed = content_type.startswith(_EVENT_STREAMS)
        settings = self.plane.settings
        large = settings.stream_over is not None and (
            settings.stream_over == 0 or (head.content_length or 0) > settings.stream_over
        )
        if self.facts.streamed or large or head.status == 101:
            response.stream = True
        self._after(self._fire("responseheaders"), self._respond)

    def _respond(self) -> None:
        """Begin to answer, now that addons have seen the head."""
        head, response = self._head, self.flow.response
        if head is None or response is None or self._over:
            return
        if killed(self.flow):
            self._cut(Refusal.KILLED)
            return
        if head.status == 101:
            self._run(self._switch())
            return
        if response.stream and not head.bodiless:
            self._streaming = True
            self._send_head()
        self._drain_backlog()

    def _drain_backlog(self) -> None:
        if self._backlog:
            pieces, self._backlog = self._backlog, []
            self.upstream_body(pieces)
        if self._backlog_end is not None and not self._over:
            trailers, self._backlog_end = self._backlog_end, None
            self.upstream_end(trailers)
        elif self._backlog_failure is not None and not self._over:
            self._after_head_failure(self._backlog_failure)

    def upstream_body(self, pieces: list[bytes]) -> None:
        if self._hook_pending:
            self._backlog += pieces
            return
        if self._over:
            return
        now = time.monotonic()
        self.last_byte = now
        if self._streaming:
            self._stream(pieces)
        elif self.facts.state is State.TUNNEL:
            for piece in pieces:
                self.facts.bytes_sent += len(piece)
                self.connection.write(piece)
        else:
            self._collect(pieces)

    def _stream(self, pieces: list[bytes]) -> None:
        facts, stream = self.facts, self.flow.response.stream  # type: ignore[union-attr]
        if self.mirror is not None:
            self.mirror.answer(pieces)
        if facts.streamed:
            now = time.time()
            if facts.first_piece_at is None:
                facts.first_piece_at = now
            facts.last_piece_at = now
            facts.pieces += 1
        if stream is not True:
            pieces = [part for piece in pieces for part in self._through(stream, piece) if part]
            if not pieces:
                return
        self._tail.extend(pieces)
        if self.plane.settings.store_streamed:
            self._stored += pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        facts.bytes_sent += len(data)
        self.connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def _collect(self, pieces: list[bytes]) -> None:
        if self.mirror is not None:
            self.mirror.answer(pieces)
        self._buffer += pieces
        self._buffered += sum(map(len, pieces))
        limit = self.plane.settings.stream_over
        response = self.flow.response
        if limit is not None and self._buffered > limit and response is not None:
            response.stream = True
            self._streaming = True
            self._send_head()
            buffer, self._buffer = self._buffer, []
            mirror, self.mirror = self.mirror, None  # it has had these pieces already
            self._stream(buffer)
            self.mirror = mirror

    def upstream_end(self, trailers: Fields) -> None:
        if self._hook_pending:
            self._backlog_end = trailers
            return
        if self._over:
            return
        if self.facts.state is State.TUNNEL:
            self.connection.end_writing()
            self._over = True
            self._finish()
            return
        response = self.flow.response
        assert response is not None
        if trailers:
            response.trailers = http.Headers(trailers)
        response.data.timestamp_end = time.time()
        if self._streaming:
            if response.stream is not True:
                tail = [part for part in self._through(response.stream, b"", last=True) if part]
                if tail:
                    data = b"".join(tail)
                    self.connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
            if self.plane.settings.store_streamed:
                response.data.content = b"".join(self._stored)
        else:
            response.data.content = b"".join(self._buffer)
            self._tail.append(response.data.content[-4096:])
            self._buffer = []
        self._after(self._fire("response"), self._complete)

    def _complete(self) -> None:
        """Send the end of the answer, now that addons have seen it whole."""
        response, head = self.flow.response, self._head
        if response is None or head is None or self._over:
            return
        if killed(self.flow):
            self._cut(Refusal.KILLED, hook=False)
            return
        trailers = response.trailers.fields if response.trailers else ()
        if self._streaming:
            if self._chunked:
                self.connection.write(b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % field for field in trailers]))
        else:
            content = b"" if head.bodiless else response.raw_content or b""
            self._send_head(content)
        self._read_usage()
        self._over = True
        if self.connection.when_drained(self):
            return  # the place is held until the client has the last byte
        self._finish()

    def client_drained(self) -> None:
        self._finish()

    def _send_head(self, content: bytes | None = None) -> None:
        """Send the answer's head, and with it a buffered body (`content`); a streamed one follows."""
        head, response, plan = self._head, self.flow.response, self.plan
        assert head is not None
        assert response is not None
        assert plan is not None
        old_client = self.inbound.head.version == b"HTTP/1.0"
        if not self.inbound.ended or self.plane.draining:
            self._close = True
        rendered, self._chunked, until_close = answer_head(
            response,
            head,
            plan,
            content,
            old_client=old_client,
            close=self._close,
            method=self.facts.method,
            date=self.plane.date(),
        )
        self._close = self._close or until_close
        self.facts.status = response.status_code
        self.head_sent = True
        if not content:
            self.connection.write(rendered)
            return
        self.facts.bytes_sent += len(content)
        if self._chunked:  # buffered with trailers
            trailers = response.trailers.fields if response.trailers else ()
            end = b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % field for field in trailers])
            content = b"%x\r\n%b\r\n%b" % (len(content), content, end)
        self.connection.write(rendered + content)

    def upstream_failed(self, refusal: Refusal) -> None:
        if self._over:
            return
        if self.facts.state is State.TUNNEL:
            self._over = True
            self._close = True
            self._finish()
        elif self._hook_pending:
            self._backlog_failure = refusal
        elif self.facts.state is State.FORWARDING:
            self._run(self._fail_before_head(refusal))
        else:
            self._after_head_failure(refusal)

    def _after_head_failure(self, refusal: Refusal) -> None:
        # Once the head is through, Envoy calls every break a protocol error.
        self.facts.details = "upstream_reset_after_response_started{protocol_error}"
        if self.head_sent:
            self._cut(Refusal.UPSTREAM_PROTOCOL)
        else:
            self.flow.response = None
            self._run(self._fail_before_head(Refusal.UPSTREAM_PROTOCOL))

    # Upgrades

    async def _switch(self) -> None:
        """Pass a switch of protocols on and become a tunnel."""
        upstream, response = self.upstream, self.flow.response
        assert upstream is not None
        assert response is not None
        rest = upstream.tunnel()
        response.data.timestamp_end = time.time()
        if not await self._hook("response") or self._over:
            return
        if websocket_upgrade(self.inbound.head) == b"":
            self._cut(Refusal.UPSTREAM_PROTOCOL)
            return
        self._send_head(b"")
        self.facts.to(State.TUNNEL)
        self._close = True
        if rest:
            self.connection.write(rest)
        held = self.connection.start_tunnel()
        if held:
            upstream.write(held)
        self._drain_backlog()

    def tunnel_data(self, data: bytes) -> None:
        self.last_byte = time.monotonic()
        self.facts.bytes_received += len(data)
        if self.upstream is not None:
            self.upstream.write(data)

    def tunnel_eof(self) -> None:
        if self.upstream is not None:
            self.upstream.end_writing()

    # Ends

    def client_writable(self, writable: bool) -> None:
        if self.upstream is None:
            return
        if writable:
            self.last_byte = time.monotonic()
            if not self._hook_pending:
                self.upstream.resume()
        else:
            self.upstream.pause()

    def client_left(self) -> None:
        """Free everything at once; addons hear of it when the hook that is running has returned."""
        self._gone = True
        waited = self._in_queue
        self._let_go()
        for future in (self._wake, self._ended):
            if future is not None and not future.done():
                future.set_result(None)
        if self._over:
            self._finish()
        elif (waited or self.facts.state in (State.FORWARDING, State.RESPONDING, State.TUNNEL)) and (
            not self._hook_pending
        ):
            self._cut(Refusal.CLIENT_LEFT)

    def malformed(self, error: Malformed) -> None:
        """End with 400: the body of this request breaks the protocol."""
        if self._over:
            return
        if self.head_sent:
            self._cut(Refusal.BAD_REQUEST)
            return
        self._close = True
        self._run(self._fail_before_head(error.refusal, str(error)))
        wake = self._wake
        if wake is not None and not wake.done():
            wake.set_result(None)

    def drain(self) -> None:
        """End a wait for a person: the gateway is about to stop."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _idle_tick(self, limit: float) -> None:
        """Cut what has been silent for too long. Bytes only note their time; the timer looks when it fires."""
        if self._over:
            return
        rest = self.last_byte + limit - time.monotonic()
        if rest <= 0 and not self._hook_pending:
            self._timed_out(Refusal.STREAM_IDLE)
        else:
            self._idle_timer = asyncio.get_running_loop().call_later(max(rest, 0.05), self._idle_tick, limit)

    def _timed_out(self, refusal: Refusal) -> None:
        if self._over:
            return
        if self.head_sent:
            self.facts.details = REPLIES[refusal].details
            self._cut(refusal)
        else:
            self._run(self._fail_before_head(refusal))

    def _let_go(self) -> None:
        """Give back the queue place, or the connection and its place, in whatever state."""
        if self._in_queue:
            self._in_queue = False
            if self.pool is not None:
                self.pool.leave(self)
        upstream, self.upstream = self.upstream, None
        if upstream is not None and self.pool is not None:
            if not (self._over and self.sent_up and upstream.reusable):
                upstream.abort()
            self.pool.release(upstream)
        if self.in_flight is not None:
            self.in_flight.release()

    async def _fail_before_head(self, refusal: Refusal, message: str = "") -> None:
        """Answer what failed before its answer began."""
        if self._over:
            return
        if refusal in (Refusal.PENDING_OVERFLOW, Refusal.ACTIVE_OVERFLOW):
            await self._refuse(Refused(refusal))
            return
        self._over = True
        self._let_go()
        reply = self.facts.refuse(refusal)
        self.flow.error = mitm_flow.Error(message or reply.body)
        await self._fire_and_wait("error")
        self._send_local(reply, message)

    async def _refuse(self, refused: Refused) -> None:
        """Answer by ourselves: addons see a response, as if one of them had set it."""
        if self._over:
            return
        self._over = True
        self._let_go()
        reply = self.facts.refuse(refused.refusal)
        body, content_type = reply_body(reply, refused, openai=self.plane.director.speaks_openai(self.facts.path))
        status = refused.status or reply.status
        fields = local_fields(body, content_type, refused.headers)
        self.flow.response = http.Response(
            b"HTTP/1.1", status, self.plane.reason(status), http.Headers(fields), body, None, time.time(), time.time()
        )
        if reply.flag != "-":
            self.flow.marked = ":no_entry:"
            self.flow.comment = f"{status} {reply.flag} {reply.details}"
        await self._fire_and_wait("responseheaders")
        if not killed(self.flow):
            await self._fire_and_wait("response")
        if killed(self.flow):
            self._close = True
            self.connection.abort()
            self._finish()
            return
        self._close = self._close or reply.close
        self._send_response()

    async def _answer_by_addon(self) -> None:
        """Send the response that an addon has set, as mitmproxy does: both response hooks, then the bytes."""
        self._over = True
        self.facts.details = "set_by_addon"
        assert self.flow.response is not None
        self.flow.response.data.timestamp_start = time.time()
        for name in ("responseheaders", "response"):
            await self._fire_and_wait(name)
            if killed(self.flow) or self._gone:
                if name == "responseheaders":
                    await self._fire_and_wait("error")
                self._close = True
                self.connection.abort()
                self._finish()
                return
        self._send_response()

    def _send_response(self) -> None:
        """Send `flow.response` as a local answer."""
        response = self.flow.response
        assert response is not None
        content = response.raw_content or b""
        if not self.inbound.ended or self.plane.draining:
            self._close = True
        fields = [f for f in response.headers.fields if f[0].lower() not in (b"connection", b"transfer-encoding")]
        names = {name.lower() for name, _ in fields}
        if b"content-length" not in names and response.status_code not in (204, 304):
            fields.append((b"content-length", b"%d" % len(content)))
        self._write_local(response.status_code, response.data.reason, fields, content, dated=b"date" in names)

    def _send_local(self, reply: LocalReply, message: str = "") -> None:
        body, content_type = reply_body(
            reply, Refused(Refusal.INTERNAL, message), openai=self.plane.director.speaks_openai(self.facts.path)
        )
        self._close = self._close or reply.close or not self.inbound.ended or self.plane.draining
        self._write_local(reply.status, self.plane.reason(reply.status), local_fields(body, content_type, ()), body)

    def _write_local(
        self, status: int, reason: bytes, fields: list[tuple[bytes, bytes]], body: bytes, *, dated: bool = False
    ) -> None:
        self.facts.status = status
        if not dated:
            fields.append((b"date", self.plane.date()))
        if self._close:
            fields.append((b"connection", b"close"))
        elif self.inbound.head.version == b"HTTP/1.0":
            fields.append((b"connection", b"keep-alive"))
        rendered = b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, b"".join([b"%b: %b\r\n" % f for f in fields]))
        if self.facts.method == "HEAD" or status in (204, 304):
            body = b""
        self.facts.bytes_sent = len(body)
        self.connection.write(rendered + body)
        self._finish()

    def _cut(self, refusal: Refusal, *, hook: bool = True) -> None:
        """End without a proper answer: hang up on both sides."""
        if self._over:
            return
        self._over = True
        self._close = True
        reply = self.facts.refuse(refusal)
        self._let_go()
        if refusal is not Refusal.CLIENT_LEFT:
            if refusal is Refusal.KILLED:
                self.connection.abort()
            else:
                self.connection.transport.close()
        if hook and not killed(self.flow):
            message = "Client disconnected." if refusal is Refusal.CLIENT_LEFT else reply.body or reply.details
            self.flow.error = mitm_flow.Error(message)
        self._after(self._fire("error") if hook else None, self._finish)

    async def _client_gone(self) -> None:
        """End the request phase of a client that left."""
        if not self._over:
            self._over = True
            self.facts.refuse(Refusal.CLIENT_LEFT)
            self._let_go()
            self.flow.error = mitm_flow.Error("Client disconnected.")
            await self._fire_and_wait("error")
        self._finish()

    def _bug(self) -> None:
        """Fail closed: a bug ends this exchange with 500 and no other."""
        logger.exception("the gateway failed on %s %s", self.facts.method, self.facts.path)
        self.plane.count_bug()
        if self._finished:
            return
        self._over = True
        self._let_go()
        reply = self.facts.refuse(Refusal.INTERNAL)
        self.flow.error = mitm_flow.Error("internal error")
        if self.head_sent or self._gone:
            self._close = True
            self.connection.abort()
            self._finish()
        else:
            self._close = True
            self._send_local(reply)

    def _finish(self) -> None:
        """Give everything back and tell of the exchange; the first call counts."""
        if self._finished:
            return
        self._finished = True
        for timer in (self._timer, self._duration_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._over = True
        self._let_go()
        self.flow.live = False
        mirror, self.mirror = self.mirror, None
        if mirror is not None:
            mirror.finish(self)
        self.plane.finished(self)
        self.connection.exchange_done(close=self._close)

    # Hooks

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a step now, up to its first wait; a bug in it fails closed."""
        self.plane.spawn(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            self._bug()

    def _fire(self, name: str) -> Awaitable[None] | None:
        """Call a hook's handlers, and `update`'s after them; `None` when nothing has to be waited for."""
        hooks, flow = self.plane.hooks, self.flow
        pending = hooks.fire(name, flow)
        if pending is None:
            pending = hooks.fire("update", [flow])
            if pending is None and not flow.intercepted:
                return None
            return self._hold(pending)
        return self._updated(pending)

    async def _updated(self, pending: Awaitable[None]) -> None:
        await pending
        update = self.plane.hooks.fire("update", [self.flow])
        await self._hold(update)

    async def _hold(self, pending: Awaitable[None] | None) -> None:
        if pending is not None:
            await pending
        if self.flow.intercepted and not self._gone:
            self._ended = asyncio.get_running_loop().create_future()
            await wait_for_resume(self.flow, self._ended)
            self._ended = None

    async def _fire_and_wait(self, name: str) -> None:
        pending = self._fire(name)
        if pending is not None:
            await pending

    async def _hook(self, name: str) -> bool:
        """Call a hook on the way up. Whether the exchange goes on."""
        pending = self._fire(name)
        if pending is not None:
            await pending
        if self._gone:
            await self._client_gone()
            return False
        if killed(self.flow):
            self._cut(Refusal.KILLED)
            return False
        return not self._over

    def _after(self, pending: Awaitable[None] | None, step: Callable[[], None]) -> None:
        """Go on with a step when a hook's handlers are done; what the upstream sends meanwhile is kept back."""
        if pending is None:
            step()
            return
        self._hook_pending = True
        if self.upstream is not None:
            self.upstream.pause()
        self._run(self._resume_after(pending, step))

    async def _resume_after(self, pending: Awaitable[None], step: Callable[[], None]) -> None:
        await pending
        self._hook_pending = False
        if self._gone and not self._over:
            self._cut(Refusal.CLIENT_LEFT)
            return
        if self.upstream is not None and self.connection.writable:
            self.upstream.resume()
        step()

    async def _wait(self) -> None:
        """Wait until something has changed: more of the body, or the client is gone."""
        if self._gone:
            return
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def _through(self, stream: object, piece: bytes, *, last: bool = False) -> list[bytes]:
        """Pass a piece through an addon's stream function, which may return bytes or several pieces."""
        if not callable(stream):
            return [] if last else [piece]
        try:
            result = stream(piece)
        except Exception:
            logger.exception("a stream function raised; the piece is passed on as it is")
            return [piece]
        if isinstance(result, bytes):
            return [result]
        return list(result)

    def _read_usage(self) -> None:
        if self.facts.model or self.facts.streamed:
            usage = self.plane.director.usage(b"".join(self._tail))
            if usage is not None:
                self.facts.prompt_tokens, self.facts.completion_tokens = usage

    _chunked_up = False
