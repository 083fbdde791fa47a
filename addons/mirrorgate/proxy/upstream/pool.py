"""The pool of one cluster: opens connections, hands them out and closes them, as `admission` says."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Coroutine
from typing import Any

from mitmproxy import connection
from mitmproxy.proxy import server_hooks

from ...admission.cluster import Action, Assign, Cluster, Open
from ...admission.limits import Limits
from ...errors import Refusal
from ...resources.server_tls import ServerTls
from ..mitm import Hooks
from .connection_settings import ConnectionSettings
from .dialing import dial
from .http1 import Upstream
from .http2 import UNKNOWN_STREAMS, Http2Upstream
from .http2_stream import UpstreamStream
from .upstream_side import UpstreamLink, Waiter

__all__ = ["ClusterPool"]

type _Link = Upstream | Http2Upstream


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
        assert isinstance(used, (Upstream, UpstreamStream))
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
        if not actions:
            return
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
        if upstream.tls != waiter.tls or upstream.framed is not waiter.http2:
            # The configuration has changed since: whom to trust belongs to a connection, and clear text is nobody's;
            # and so does what the server speaks.
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


async def _settle(pending: Awaitable[None]) -> None:
    await pending
