"""Carries one exchange from its head to its release: what it holds, and its end.

The way up to admission is a coroutine (`requesting`), since an addon may make it wait at any hook. From there on
everything is callbacks (`answering`, `uploading`), so that a piece of the answer costs one call and no task. Whatever
happens, `finish` acts once: it gives back what the exchange holds and tells of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from mitmproxy import http

from ...calls import Call, end_call
from ...errors import REPLIES, Refusal
from ...exchange import Exchange, State
from ...plans import Plan, RequestFacts
from ...resources.endpoints import Address
from ...resources.server_tls import ServerTls
from ...routing.table import HeaderChanges
from ...scheduling.in_flight import Permit
from ..messages.heads import Malformed
from ..messages.sketch import AnyFlow, Sketch, describe, draw
from . import ending, replying
from .answering import Answer
from .bodies import Room
from .clocks import Clocks
from .hooking import FlowHooks
from .requesting import request_phase
from .retrying import Retrying
from .uploading import Upload

if TYPE_CHECKING:
    from ..dataplane import Dataplane
    from ..downstream.client_side import ClientSide, Inbound
    from ..upstream.pool import ClusterPool
    from ..upstream.upstream_side import UpstreamLink
    from .capturing import Tape
    from .consulting import Consulted
    from .mirroring import MirrorHandle
    from .relaying import Relay
    from .shaping import Shaped

__all__ = ["Carrier"]

logger = logging.getLogger(__name__)

_HIGH_WATER = 256 * 1024
"""Body bytes that are held while an addon looks at the request's head, before the client is made to wait."""


class Carrier:
    """One exchange: the flow that addons see, the connections it uses, and what is known of it."""

    # What most exchanges never set are the class's: setting forty attributes costs more than routing (measured).

    asked: RequestFacts | None = None
    """What the route was found by; `None` where none was asked for."""
    plan: Plan | None = None
    cors: HeaderChanges | None = None
    """What the rule's CORS filter changes in an answer of the gateway's own."""
    call: Call | None = None
    """What the endpoint's health learns from, `None` where no health check is declared."""
    room: Room | None = None
    """The memory of a body that came in pieces, until the exchange is over."""
    upload: Upload | None = None
    """Set when the request streams; a buffered one is sent whole."""
    mirror: MirrorHandle | None = None
    mirrored = False
    """Whether it has been decided if the request is mirrored: once, however often it is sent."""
    shaped: Shaped | None = None
    """What the rule's traffic policy asks of it; `None` where it asks nothing."""
    tape: Tape | None = None
    relay: Relay | None = None
    """What passes whole chunks of the answer on."""
    consulted: Consulted | None = None
    """The endpoint picker that chose, which is told of the answer."""
    upstream: UpstreamLink | None = None
    sent_up = False
    """Whether the request has been passed on completely."""
    retrying: Retrying | None = None
    """Set when the rule says that a failed request is sent again."""
    gone = False
    """Whether the client has left."""
    patience = 0
    """Bytes of the request's body that may come before whoever waits for them looks again."""
    over = False
    """Whether nothing more goes to the client or comes from the upstream; hooks may still be running."""
    _pool: ClusterPool | None = None
    _in_queue = False
    _queued_at = 0.0
    _in_flight: Permit | None = None
    finished = False
    """Whether everything is given back and told."""
    _wake: asyncio.Future[None] | None = None
    failing = False
    """Whether a bug is being answered."""

    def __init__(self, plane: Dataplane, connection: ClientSide, inbound: Inbound) -> None:
        self.plane = plane
        self.connection = connection
        self.client = client = connection.client
        self.inbound = inbound
        self.flow: AnyFlow = plane.new_flow(connection, inbound)
        """A sketch until an addon, or the capture, looks; a step that calls hooks reads it anew behind them."""
        head = inbound.head
        method, path, authority, protocol, user_agent, forwarded_for = head.texts
        peer = client.peername
        self.facts = Exchange(
            id=self.flow.id,
            started=inbound.started,
            began=inbound.began,
            method=method,
            path=path,
            authority=authority,
            protocol=protocol,
            user_agent=user_agent,
            forwarded_for=forwarded_for,
            client=f"{peer[0]}:{peer[1]}",
        )
        self.answer = Answer(self, connection.storing or -1)
        self.hooks = FlowHooks(self)
        self.clocks = Clocks(self)
        self.close = not head.keep_alive
        """Whether the client's connection ends with this exchange."""
        if plane.capture is not None:
            self.tape = plane.capture.begin(inbound.began)

    def start(self) -> None:
        self.run(request_phase(self))

    def seen(self) -> http.HTTPFlow:
        """Return the flow for somebody who looks; from here on there is one."""
        if type(self.flow) is Sketch:
            self.flow = draw(self.flow, self.client)
            self.describe()
        assert isinstance(self.flow, http.HTTPFlow)
        return self.flow

    def describe(self) -> None:
        """Write on the flow what is known of its way, where there is one; a sketch gets it when it is drawn."""
        if type(self.flow) is not Sketch:
            describe(self.flow, self.facts)

    # Admission (`upstream_side.Waiter`)

    @property
    def address(self) -> Address:
        assert self.plan is not None
        return self.plan.address

    @property
    def http2(self) -> bool:
        return self.plan is not None and self.plan.http2

    @property
    def tls(self) -> ServerTls | None:
        return None if self.plan is None else self.plan.tls

    def admit(self, plan: Plan) -> None:
        """Ask the cluster for a connection; `assigned` or `refused` follows, at once or later."""
        self.plan = plan
        self.facts.to(State.ADMITTING)
        if self.upload is None or self.inbound.ended:
            self.clocks.start_request()
        self.clocks.start_idle(plan.timeouts.stream_idle)
        self.facts.attempts = 1
        if plan.retry is not None:
            self.retrying = Retrying(self, plan.retry, self.plane.pool(plan))
            if self.upload is not None:
                self.upload.keep(plan.retry.buffer)
        self.ask(plan)

    def ask(self, plan: Plan) -> None:
        """Ask for a connection to where the plan leads now."""
        self.plan = plan
        self._queued_at = time.monotonic()
        begun = None if plan.health is None else plan.health.begin(str(plan.address))
        if isinstance(begun, Refusal):
            self.refused(begun)
            return
        self.call = begun
        self._in_queue = True
        self._pool = self.plane.pool(plan)
        self._pool.acquire(self)

    def assigned(self, upstream: UpstreamLink) -> None:
        """Take the connection and pass the request on at once: what is admitted must not wait for a task's turn."""
        plan = self.plan
        assert plan is not None
        self._in_queue = False
        self.upstream = upstream
        try:
            facts, now = self.facts, time.monotonic()
            facts.queued += now - self._queued_at
            if facts.attempts == 1:
                facts.overhead = max(0.0, now - facts.began - facts.queued)
            self.clocks.last_byte = now
            if plan.timeouts.max_duration:
                self.clocks.start_duration(plan.timeouts.max_duration)
            # What the upstream is asked decides about its answer, whatever the client has asked.
            upstream.begin(self.answer, head=self.flow.request.data.method.upper() == b"HEAD")
            self.flow.server_conn = upstream.server
            self._in_flight = self.plane.director.started(plan)
            self.facts.to(State.FORWARDING)
            replying.forward(self, upstream, plan)
            if self.retrying is not None:
                self.retrying.sent()
        except Exception:
            ending.bug(self)

    def refused(self, refusal: Refusal) -> None:
        self._in_queue = False
        self.failed(refusal)

    def failed(self, refusal: Refusal) -> None:
        """Send the request again, where the rule says so, or answer what failed."""
        end_call(self, refusal)
        try:
            if self.retrying is not None and self.retrying.failed(refusal):
                return
        except Exception:
            ending.bug(self)
            return
        self.run(ending.fail(self, refusal))

    # News of the client

    def inbound_changed(self) -> None:
        """Take note that more of the request has arrived."""
        self.clocks.touch()
        if self.over:
            self.inbound.take()  # nobody wants it any more
        elif self.upload is not None:
            try:
                self.upload.changed()
            except Exception:  # raised to the client's connection it would end every stream of that
                ending.bug(self)
        else:
            if self.facts.state is State.RECEIVED and self.inbound.buffered > _HIGH_WATER:
                self.connection.hold("body")
            if self.inbound.ended or self.inbound.received > self.patience:
                self.wake()

    def client_writable(self, writable: bool) -> None:
        if self.upstream is None:
            return
        if not writable:
            self.upstream.pause()
        elif not self.hooks.pending:
            self.clocks.touch()
            self.upstream.resume()

    def client_drained(self) -> None:
        self.finish()

    def client_left(self) -> None:
        """Free everything at once; addons hear of it when the hook that is running has returned."""
        self.gone = True
        under_way = self.facts.state in (State.FORWARDING, State.RESPONDING, State.TUNNEL)
        waiting = under_way or self._in_queue or self._wake is not None
        if self.retrying is not None:
            waiting = waiting or self.retrying.waiting
            self.retrying.stop()
        self.let_go()
        self.hooks.let_go()
        if self.over:
            if not self.finished:
                self.facts.refuse(Refusal.CLIENT_LEFT)
            if not self.hooks.busy:  # else what waits for the hook goes on to the end
                self.finish()
        elif waiting and not self.hooks.pending:
            ending.cut(self, Refusal.CLIENT_LEFT)

    def malformed(self, error: Malformed) -> None:
        """End with 400: the body of this request breaks the protocol."""
        if self.over:
            return
        self.close = True
        if self.answer.head_sent:
            ending.cut(self, Refusal.BAD_REQUEST)
        else:
            self.run(ending.fail(self, error.refusal, str(error)))

    def tunnel_data(self, data: bytes) -> None:
        self.clocks.touch()
        self.facts.bytes_received += len(data)
        if self.upstream is not None:
            self.upstream.write(data)

    def tunnel_eof(self) -> None:
        if self.upstream is not None:
            self.upstream.end_writing()

    def timed_out(self, refusal: Refusal) -> None:
        """End what has taken too long, or has been silent for too long; also a client that does not read the end."""
        if self.finished:
            return
        if self.over:
            self.facts.refuse(refusal)
            self.connection.abort()
            self.finish()
        elif self.answer.head_sent:
            self.facts.details = REPLIES[refusal].details
            ending.cut(self, refusal)
        else:
            self.failed(refusal)

    # Ends

    def end(self) -> None:
        """Take no more part: connections and places go back at once, before any hook runs."""
        self.over = True
        if self.retrying is not None:
            self.retrying.stop()
        self.let_go()
        self.wake()

    def finish(self) -> None:
        """Give everything back and tell of the exchange; the first call counts."""
        if self.finished:
            return
        self.finished = True
        self.clocks.stop()
        self.end()
        if self.relay is not None:
            self.relay.settle()
            self.relay = None
        self.flow.live = False
        if self.room is not None:
            self.room.release()
        if self.upload is None and self.facts.state is not State.TUNNEL:
            self.facts.bytes_received = self.inbound.received
        mirror, self.mirror = self.mirror, None
        try:
            if self.shaped is not None:
                self.shaped.finish(self.facts)
            if mirror is not None:
                mirror.finish(self)
            self.plane.finished(self)
            if self.tape is not None:
                self.tape.finish(self)
            if self.consulted is not None:
                self.consulted.finish()
        except Exception:
            # Whatever fails in telling of the exchange, the connection goes on to the next.
            logger.exception("the end of an exchange could not be told")
            self.plane.count_bug()
        self.connection.exchange_done(close=self.close)
        # What is over, with bodies of many megabytes, must not wait for the garbage collector.
        if self.hooks.quiet:
            del self.answer, self.hooks, self.clocks  # they point back here
        self.inbound.carrier = self.upload = self.retrying = self.consulted = self.shaped = self.tape = None

    def let_go(self) -> None:
        """Give back the queue place, or the connection and its place, in whatever state."""
        end_call(self, Refusal.CLIENT_LEFT if self.gone else None)
        pool = self._pool
        if pool is not None:
            if self._in_queue:
                self._in_queue = False
                pool.leave(self)
            upstream, self.upstream = self.upstream, None
            if upstream is not None:
                reusable = self.over and self.sent_up and upstream.reusable
                if not reusable:
                    upstream.abort()
                pool.release(upstream, reusable=reusable)
        if self._in_flight is not None:
            self._in_flight.release()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a step now, up to its first wait; a bug in it fails closed."""
        self.plane.spawn(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            ending.bug(self)

    async def wait(self) -> None:
        """Wait until something has changed: more of the body, or the exchange is over."""
        if self.over:
            return
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def wake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
