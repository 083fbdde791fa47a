"""Carries one exchange from its head to its release: what it holds, its hooks, its clocks, and its end.

The way up to admission is a coroutine (`requesting`), since an addon may make it wait at any hook. From there on
everything is callbacks (`answering`, `uploading`), so that a piece of the answer costs one call and no task. Whatever
happens, `finish` acts once: it gives back what the exchange holds and tells of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from mitmproxy import flow as mitm_flow

from ..errors import REPLIES, Refusal
from ..exchange import Exchange, Permit, State
from ..plans import Plan, Refused
from ..resources.endpoints import Address
from . import replying
from .answering import Answer
from .heads import Malformed
from .mitm import killed, wait_for_resume
from .requesting import request_phase
from .uploading import Upload

if TYPE_CHECKING:
    from .client import ClientConnection, Inbound
    from .dataplane import Dataplane
    from .mirroring import MirrorHandle
    from .upstream import ClusterPool, Upstream

__all__ = ["Carrier"]

logger = logging.getLogger(__name__)


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
        self.upload: Upload | None = None
        """Set when the request streams; a buffered one is sent whole."""
        self.answer = Answer(self)
        self.mirror: MirrorHandle | None = None
        self.upstream: Upstream | None = None
        self.sent_up = False
        """Whether the request has been passed on completely."""
        self.last_byte = time.monotonic()
        self.gone = False
        """Whether the client has left."""
        self.over = False
        """Whether nothing more goes to the client or comes from the upstream; hooks may still be running."""
        self.close = not head.keep_alive
        """Whether the client's connection ends with this exchange."""
        self.hook_pending = False
        """Whether the answer waits for an addon."""
        self._pool: ClusterPool | None = None
        self._in_queue = False
        self._queued_at = 0.0
        self._in_flight: Permit | None = None
        self._finished = False
        self._wake: asyncio.Future[None] | None = None
        self._held: asyncio.Future[None] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        self.run(request_phase(self))

    # Admission (`upstream.Waiter`)

    @property
    def address(self) -> Address:
        assert self.plan is not None
        return self.plan.address

    def admit(self, plan: Plan) -> None:
        """Ask the cluster for a connection; `assigned` or `refused` follows, at once or later."""
        self.plan = plan
        self.facts.to(State.ADMITTING)
        if self.upload is None or self.inbound.ended:
            self.start_request_timer()
        if plan.timeouts.max_duration:
            self._arm("duration", plan.timeouts.max_duration, self._timed_out, Refusal.MAX_DURATION)
        self._queued_at = time.monotonic()
        self._in_queue = True
        self._pool = self.plane.pool(plan)
        self._pool.acquire(self)

    def assigned(self, upstream: Upstream) -> None:
        """Take the connection and pass the request on at once: what is admitted must not wait for a task's turn."""
        plan = self.plan
        assert plan is not None
        self._in_queue = False
        now = time.monotonic()
        self.facts.queued = now - self._queued_at
        self.facts.overhead = max(0.0, time.time() - self.facts.started - self.facts.queued)
        self.last_byte = now
        self.upstream = upstream
        upstream.begin(self.answer, head=self.facts.method == "HEAD")
        self.flow.server_conn = upstream.server
        self._in_flight = self.plane.director.started(plan)
        self.facts.to(State.FORWARDING)
        idle = plan.timeouts.stream_idle
        if idle:
            self._arm("idle", idle, self._idle_tick, idle)
        try:
            replying.forward(self, upstream, plan)
        except Exception:
            self.bug()

    def refused(self, refusal: Refusal) -> None:
        self._in_queue = False
        self.run(self.fail(refusal))

    @property
    def cluster_name(self) -> str:
        """The cluster that was asked for a connection, empty before."""
        return self._pool.name if self._pool is not None else ""

    # News of the client

    def inbound_changed(self) -> None:
        """Take note that more of the request has arrived."""
        self.last_byte = time.monotonic()
        if self.upload is not None:
            if not self.over:
                self.upload.changed()
            return
        self.wake()

    def client_writable(self, writable: bool) -> None:
        if self.upstream is None:
            return
        if not writable:
            self.upstream.pause()
        elif not self.hook_pending:
            self.last_byte = time.monotonic()
            self.upstream.resume()

    def client_drained(self) -> None:
        self.finish()

    def client_left(self) -> None:
        """Free everything at once; addons hear of it when the hook that is running has returned."""
        self.gone = True
        waiting = self._in_queue or self.facts.state in (State.FORWARDING, State.RESPONDING, State.TUNNEL)
        self._let_go()
        self.wake()
        self.drain()
        if self.over:
            self.finish()
        elif waiting and not self.hook_pending:
            self.cut(Refusal.CLIENT_LEFT)

    def malformed(self, error: Malformed) -> None:
        """End with 400: the body of this request breaks the protocol."""
        if self.over:
            return
        self.close = True
        if self.answer.head_sent:
            self.cut(Refusal.BAD_REQUEST)
        else:
            self.run(self.fail(error.refusal, str(error)))
            self.wake()

    def tunnel_data(self, data: bytes) -> None:
        self.last_byte = time.monotonic()
        self.facts.bytes_received += len(data)
        if self.upstream is not None:
            self.upstream.write(data)

    def tunnel_eof(self) -> None:
        if self.upstream is not None:
            self.upstream.end_writing()

    def drain(self) -> None:
        """End a wait for a person, if there is one: the client left, or the gateway is about to stop."""
        if self._held is not None and not self._held.done():
            self._held.set_result(None)

    # Clocks

    def start_request_timer(self) -> None:
        """Start the request timeout: it runs from the end of the upload, queueing included (measured on Envoy)."""
        if self.plan is not None and self.plan.timeouts.request and "request" not in self._timers:
            self._arm("request", self.plan.timeouts.request, self._timed_out, Refusal.REQUEST_TIMEOUT)

    def _arm(self, name: str, delay: float, callback: Callable[..., None], *arguments: object) -> None:
        self._timers[name] = asyncio.get_running_loop().call_later(delay, callback, *arguments)

    def _idle_tick(self, limit: float) -> None:
        """Cut what has been silent for too long. Bytes only note their time; the timer looks when it fires."""
        if self.over:
            return
        rest = self.last_byte + limit - time.monotonic()
        if rest <= 0 and not self.hook_pending:
            self._timed_out(Refusal.STREAM_IDLE)
        else:
            self._arm("idle", max(rest, 0.05), self._idle_tick, limit)

    def _timed_out(self, refusal: Refusal) -> None:
        if self.over:
            return
        if self.answer.head_sent:
            self.facts.details = REPLIES[refusal].details
            self.cut(refusal)
        else:
            self.run(self.fail(refusal))

    # Ends

    async def fail(self, refusal: Refusal, message: str = "") -> None:
        """Answer what failed before its answer began: addons hear of an error."""
        if self.over:
            return
        if refusal in (Refusal.PENDING_OVERFLOW, Refusal.ACTIVE_OVERFLOW):
            await replying.refuse(self, Refused(refusal))
            return
        self.end()
        reply = self.facts.refuse(refusal)
        self.facts.details = reply.details
        self.flow.error = mitm_flow.Error(message or reply.body)
        await self.fire_and_wait("error")
        replying.send_local(self, reply, message)

    def cut(self, refusal: Refusal, *, hook: bool = True) -> None:
        """End without a proper answer: hang up on both sides."""
        if self.over:
            return
        self.close = True
        self.end()
        reply = self.facts.refuse(refusal)
        if refusal is Refusal.KILLED:
            self.connection.abort()
        elif refusal is not Refusal.CLIENT_LEFT:
            self.connection.transport.close()
        if hook and not killed(self.flow):
            message = "Client disconnected." if refusal is Refusal.CLIENT_LEFT else reply.body or reply.details
            self.flow.error = mitm_flow.Error(message)
        self.after(self.fire("error") if hook else None, self.finish)

    async def client_gone(self) -> None:
        """End the request phase of a client that left."""
        if not self.over:
            self.end()
            self.facts.refuse(Refusal.CLIENT_LEFT)
            self.flow.error = mitm_flow.Error("Client disconnected.")
            await self.fire_and_wait("error")
        self.finish()

    def bug(self) -> None:
        """Fail closed: a bug ends this exchange with 500, and no other."""
        logger.exception("the gateway failed on %s %s", self.facts.method, self.facts.path)
        self.plane.count_bug()
        if self._finished:
            return
        self.close = True
        self.end()
        reply = self.facts.refuse(Refusal.INTERNAL)
        self.flow.error = mitm_flow.Error("internal error")
        if self.answer.head_sent or self.gone:
            self.connection.abort()
            self.finish()
        else:
            replying.send_local(self, reply)

    def end(self) -> None:
        """Take no more part: connections and places go back at once, before any hook runs."""
        self.over = True
        self._let_go()

    def finish(self) -> None:
        """Give everything back and tell of the exchange; the first call counts."""
        if self._finished:
            return
        self._finished = True
        for timer in self._timers.values():
            timer.cancel()
        self.end()
        self.flow.live = False
        mirror, self.mirror = self.mirror, None
        if mirror is not None:
            mirror.finish(self)
        self.plane.finished(self)
        self.connection.exchange_done(close=self.close)

    def _let_go(self) -> None:
        """Give back the queue place, or the connection and its place, in whatever state."""
        pool = self._pool
        if pool is not None:
            if self._in_queue:
                self._in_queue = False
                pool.leave(self)
            upstream, self.upstream = self.upstream, None
            if upstream is not None:
                if not (self.over and self.sent_up and upstream.reusable):
                    upstream.abort()
                pool.release(upstream)
        if self._in_flight is not None:
            self._in_flight.release()

    # Hooks

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a step now, up to its first wait; a bug in it fails closed."""
        self.plane.spawn(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            self.bug()

    def fire(self, name: str) -> Awaitable[None] | None:
        """Call a hook's handlers, and `update`'s after them; `None` when nothing has to be waited for."""
        hooks, flow = self.plane.hooks, self.flow
        pending = hooks.fire(name, flow)
        if pending is not None:
            return self._updated(pending)
        pending = hooks.fire("update", [flow])
        if pending is None and not flow.intercepted:
            return None
        return self._hold(pending)

    async def fire_and_wait(self, name: str) -> None:
        pending = self.fire(name)
        if pending is not None:
            await pending

    async def hook(self, name: str) -> bool:
        """Call a hook on the way up. Whether the exchange goes on."""
        pending = self.fire(name)
        if pending is not None:
            await pending
        if self.gone:
            await self.client_gone()
            return False
        if killed(self.flow):
            self.cut(Refusal.KILLED)
            return False
        return not self.over

    def after(self, pending: Awaitable[None] | None, step: Callable[[], None]) -> None:
        """Go on with a step when a hook's handlers are done; what the upstream sends meanwhile is kept back."""
        if pending is None:
            step()
            return
        self.hook_pending = True
        if self.upstream is not None:
            self.upstream.pause()
        self.run(self._resume_after(pending, step))

    async def wait(self) -> None:
        """Wait until something has changed: more of the body, or the client is gone."""
        if self.gone or self.over:
            return
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def wake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _resume_after(self, pending: Awaitable[None], step: Callable[[], None]) -> None:
        await pending
        self.hook_pending = False
        if self.gone and not self.over:
            self.cut(Refusal.CLIENT_LEFT)
            return
        if self.upstream is not None and self.connection.writable:
            self.upstream.resume()
        step()

    async def _updated(self, pending: Awaitable[None]) -> None:
        await pending
        await self._hold(self.plane.hooks.fire("update", [self.flow]))

    async def _hold(self, pending: Awaitable[None] | None) -> None:
        """Wait for an addon, and for the person who has intercepted the flow."""
        if pending is not None:
            await pending
        if self.flow.intercepted and not self.gone:
            self._held = asyncio.get_running_loop().create_future()
            try:
                await wait_for_resume(self.flow, self._held)
            finally:
                self._held = None

    def through(self, stream: object, piece: bytes, *, last: bool = False) -> list[bytes]:
        """Pass a piece through an addon's stream function, which may return bytes or several pieces."""
        if not callable(stream):
            return [] if last else [piece]
        try:
            result = stream(piece)
            return [result] if isinstance(result, bytes) else list(result)
        except Exception:
            logger.exception("a stream function raised; the piece is passed on as it is")
            return [piece]
