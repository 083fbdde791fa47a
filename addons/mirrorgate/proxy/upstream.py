"""One connection to an upstream, and the pool of one cluster that hands connections out as `admission` says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any

from mitmproxy import connection, http
from mitmproxy.proxy import server_hooks

from ..admission.cluster import Action, Assign, Cluster, Open
from ..admission.limits import Limits
from ..errors import Refusal
from ..resources.server_tls import ServerTls
from .connection_settings import ConnectionSettings, probe
from .dialing import dial
from .heads import Fields, Malformed, ResponseHead, field_lines
from .http1 import ResponseReader
from .http2_upstream import UNKNOWN_STREAMS, Http2Upstream
from .http2_upstream_stream import UpstreamStream
from .mitm import Hooks
from .rendering import last_chunk
from .upstream_side import UpstreamLink, UpstreamUser, Waiter

__all__ = ["ClusterPool", "Upstream"]

logger = logging.getLogger(__name__)


class Upstream(asyncio.Protocol):
    """One connection to an endpoint, used by at most one exchange at a time (`upstream_side.UpstreamLink`)."""

    framed = False
    tls: ServerTls | None = None

    def __init__(self, pool: ClusterPool, endpoint: str, server: connection.Server, client: connection.Client) -> None:
        self.pool = pool
        self.endpoint = endpoint
        self.server = server
        self.client = client
        self.user: UpstreamUser | None = None
        self.requests = 0
        self.idle_since = 0.0
        self.made = 0.0
        """When it was established, on the monotonic clock."""
        self._transport: asyncio.Transport | None = None
        self._reader = ResponseReader(self, pool.settings.max_head)
        self._pieces: list[bytes] = []
        self._trailers: Fields | None = None
        self._raw = False

    streams = 1
    """Requests at a time."""

    @property
    def busy(self) -> bool:
        return self.user is not None

    @property
    def closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    @property
    def reusable(self) -> bool:
        """Whether another request may follow, known once the response has ended."""
        settings = self.pool.settings
        if settings.max_requests and self.requests >= settings.max_requests:
            return False
        if settings.max_age and time.monotonic() - self.made >= settings.max_age:
            return False
        return self._reader.keep_alive and not self._raw and not self.closing

    def begin(self, user: UpstreamUser, *, head: bool) -> None:
        """Take the connection for one request."""
        self.user = user
        self.requests += 1
        self._reader.begin(head=head)

    @property
    def link(self) -> Upstream:
        return self

    def send_request(
        self,
        method: bytes,
        target: bytes,
        scheme: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        *,
        trailers_known: bool,
    ) -> None:
        """Send a request's head."""
        self.write(b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, field_lines(fields)))

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def end_body(self, trailers: http.Headers | None, *, chunked: bool) -> None:
        """Send the end of a body that streamed."""
        if chunked:
            self.write(last_chunk(trailers))

    def tunnel(self) -> bytes:
        """Stop reading HTTP after a switch of protocols; returns what came behind the head."""
        self._raw = True
        rest, self._reader.rest = self._reader.rest, b""
        return rest

    def end_writing(self) -> None:
        """Pass the end of a tunnel's stream on."""
        if self._transport is not None and self._transport.can_write_eof() and not self._transport.is_closing():
            with contextlib.suppress(OSError):  # a reset that the loop has not told of yet
                self._transport.write_eof()

    def pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        """Hang up at once; the user, if any, is not told."""
        self.user = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.made = time.monotonic()
        if self.pool.settings.keepalive is not None:
            probe(transport.get_extra_info("socket"), self.pool.settings.keepalive)
        server = self.server
        server.timestamp_tcp_setup = time.time()
        server.state = connection.ConnectionState.OPEN
        server.peername = transport.get_extra_info("peername")
        server.sockname = transport.get_extra_info("sockname")

    def data_received(self, data: bytes) -> None:
        user = self.user
        if user is None:
            # Nobody asked: a response out of turn poisons the connection.
            self.abort()
            return
        if self._raw:
            user.upstream_body([data])
            return
        try:
            try:
                self._reader.feed(data)
            except Malformed:
                self._deliver()
                self._fail(Refusal.UPSTREAM_PROTOCOL)
            else:
                self._deliver()
        except Exception:
            self._bug()

    def eof_received(self) -> bool:
        if self._raw and self.user is not None:
            self.user.upstream_end(())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        server = self.server
        server.timestamp_end = time.time()
        server.state = connection.ConnectionState.CLOSED
        if self.user is not None:
            if exc is None and not self._raw and self._reader.eof():
                try:
                    self._deliver()
                except Exception:
                    self._bug()
            else:
                self._fail(Refusal.UPSTREAM_CLOSED)
        self.pool.lost(self)

    def pause_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_writable(False)

    def resume_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_writable(True)

    def response_head(self, head: ResponseHead) -> None:
        if self.user is not None:
            self.user.upstream_head(head)

    def response_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def response_end(self, trailers: Fields) -> None:
        self._trailers = trailers

    def _deliver(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            if self.user is not None:
                self.user.upstream_body(pieces)
        if self._trailers is not None:
            trailers, self._trailers = self._trailers, None
            if self.user is not None:
                self.user.upstream_end(trailers)

    def _bug(self) -> None:
        """End a failure of whoever uses the connection as a failure of that exchange, and of no other."""
        if self.user is None:
            logger.exception("the gateway failed on an answer of %s", self.endpoint)
        self._fail(Refusal.INTERNAL)

    def _fail(self, refusal: Refusal) -> None:
        user, self.user = self.user, None
        if self._transport is not None:
            self._transport.abort()
        if user is not None:
            user.upstream_failed(refusal)


class ClusterPool:
    """The connections of one cluster. Every decision is `Cluster`'s; this opens, hands out and closes."""

    def __init__(self, name: str, cluster: Cluster[Waiter, _Link], settings: ConnectionSettings, hooks: Hooks) -> None:
        self.name = name
        self.settings = settings
        self.retired = False
        """Whether no rule of the configuration leads here, so that the pool is forgotten once nothing is under way."""
        self.cluster = cluster
        self._hooks = hooks
        self._connecting: set[asyncio.Task[None]] = set()
        self._idle: set[_Link] = set()
        self._retired: set[str] = set()
        self._closed = False

    @property
    def opening(self) -> int:
        """Connections that are being opened, and hooks of connections that are awaited."""
        return len(self._connecting)

    def configure(self, limits: Limits, settings: ConnectionSettings) -> None:
        """Take a reloaded policy; what is under way goes on."""
        self.settings = settings
        if limits != self.cluster.limits:
            self._do(self.cluster.apply(limits))

    def acquire(self, waiter: Waiter) -> None:
        """Ask for a connection. `assigned` or `refused` is called once, now or later, unless the waiter leaves."""
        streams = UNKNOWN_STREAMS if waiter.http2 else 1
        self._do(self.cluster.request(str(waiter.address), waiter, streams), waiter)

    def leave(self, waiter: Waiter) -> bool:
        """Stop waiting. Whether the waiter was still in the queue."""
        return self.cluster.leave(str(waiter.address), waiter)

    def release(self, used: UpstreamLink, *, reusable: bool) -> None:
        """Give a connection back, with the place that its request held. Called once for each assignment.

        `reusable` says that its request has ended well; of an HTTP/2 connection that is one of many.
        """
        assert isinstance(used, Upstream | UpstreamStream)
        used.user = None
        upstream: _Link = used.link
        if upstream is not used:
            reusable = upstream.reusable
        reusable = reusable and upstream.endpoint not in self._retired and not self._closed
        if reusable and not upstream.busy:
            upstream.idle_since = time.monotonic()
            self._idle.add(upstream)
            # A client that read slowly may have left it paused, and an idle connection has to notice its end.
            upstream.resume()
        actions = self.cluster.finished(upstream.endpoint, upstream, reusable=reusable)
        if not reusable:
            upstream.close()
        self._do(actions)

    def resized(self, upstream: Http2Upstream) -> None:
        """Take note that a server takes more or fewer requests at a time."""
        self._do(self.cluster.resized(upstream.endpoint, upstream, upstream.streams))

    def unready(self, upstream: Http2Upstream) -> None:
        """Take note that a server takes no more requests on a connection."""
        self._idle.discard(upstream)
        self._do(self.cluster.idle_closed(upstream.endpoint, upstream))

    def lost(self, upstream: _Link) -> None:
        """Take note that a connection is gone."""
        self._idle.discard(upstream)
        self._do(self.cluster.idle_closed(upstream.endpoint, upstream))
        pending = self._hooks.fire(
            "server_disconnected", server_hooks.ServerConnectionHookData(upstream.server, upstream.client)
        )
        if pending is not None:
            self._spawn(_settle(pending))

    def keep_only(self, endpoints: set[tuple[str, ServerTls | None]]) -> None:
        """Close the idle connections that lead nowhere in the configuration as they are; reuse none to what left it."""
        kept = {name for name, _ in endpoints}
        self._retired = {name for name in self.cluster.endpoints() if name not in kept}
        for upstream in [u for u in self._idle if (u.endpoint, u.tls) not in endpoints]:
            upstream.close()

    def sweep(self, now: float) -> None:
        """Close connections that have idled for too long, or are too old. `now` is monotonic."""
        idle, age = self.settings.idle_timeout or math.inf, self.settings.max_age or math.inf
        for upstream in [u for u in self._idle if now - u.idle_since > idle or now - u.made > age]:
            upstream.close()

    def close(self) -> None:
        """Close everything that is idle or being opened; what is in use ends with its exchange."""
        self._closed = True
        for task in list(self._connecting):
            task.cancel()
        for upstream in list(self._idle):
            upstream.close()

    def _do(self, actions: list[Action[Waiter, _Link]], waiter: Waiter | None = None) -> None:
        """Carry actions out, and those that follow from them; one after another, since a server that has closed a
        thousand idle connections must not nest a thousand calls."""
        todo = deque(actions)
        while todo:
            action = todo.popleft()
            if isinstance(action, Assign):
                todo.extend(self._assign(action.waiter, action.connection))
            elif isinstance(action, Open):
                todo.extend(self._open(action.endpoint, waiter))
            else:
                action.waiter.refused(action.reason)

    def _assign(self, waiter: Waiter, upstream: _Link) -> list[Action[Waiter, _Link]]:
        self._idle.discard(upstream)
        if upstream.tls != waiter.tls:
            # The configuration has changed since: whom to trust belongs to a connection, and clear text is nobody's.
            upstream.close()
            return self.cluster.stale(upstream.endpoint, upstream, waiter)
        if not upstream.closing:
            if isinstance(upstream, Upstream):
                waiter.assigned(upstream)
            else:
                stream = upstream.open()
                if not upstream.reusable:  # it was the last that the connection may carry
                    self.unready(upstream)
                waiter.assigned(stream)
            return []
        if upstream.requests == 0:
            # A server that accepts and closes at once would be dialled for ever.
            actions = self.cluster.finished(upstream.endpoint, upstream, reusable=False)
            waiter.refused(Refusal.UPSTREAM_CLOSED)
            return actions
        # The peer closed it while it idled, and the loop has not told us yet: nothing was sent, so ask again.
        return self.cluster.stale(upstream.endpoint, upstream, waiter)

    def _open(self, endpoint: str, waiter: Waiter | None) -> list[Action[Waiter, _Link]]:
        waiter = waiter or next(iter(self.cluster.waiting(endpoint)), None)
        if waiter is None:  # everybody has left since
            return self.cluster.open_failed(endpoint, Refusal.CONNECT_FAILURE)
        address = waiter.address
        server = connection.Server(address=(address.host, address.port), timestamp_start=time.time())
        kind = Http2Upstream if waiter.http2 else Upstream
        upstream = kind(self, endpoint, server, waiter.client)
        upstream.tls = waiter.tls
        self._spawn(self._connect(upstream))
        return []

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"upstream of {self.name}")
        if task.done():
            return
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, upstream: _Link) -> None:
        endpoint, data = upstream.endpoint, server_hooks.ServerConnectionHookData(upstream.server, upstream.client)
        failure: Refusal | None = Refusal.CONNECT_FAILURE
        try:
            failure = await dial(upstream, data, self._hooks, self.settings.connect_timeout)
        finally:
            # However this ends (a bug in a hook, a cancel at shutdown), the attempt is given back.
            if failure is not None:
                upstream.abort()
                self._do(self.cluster.open_failed(endpoint, failure))
        if failure is not None:
            return
        self._idle.add(upstream)
        upstream.idle_since = time.monotonic()
        self._do(self.cluster.opened(endpoint, upstream, upstream.streams))
        if upstream.closing and not upstream.busy:
            # It was lost before it was counted as open, when `lost` could not find it.
            self._do(self.cluster.idle_closed(endpoint, upstream))


_Link = Upstream | Http2Upstream


async def _settle(pending: Awaitable[None]) -> None:
    await pending
