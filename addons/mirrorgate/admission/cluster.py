"""One cluster's accounting: connections, the pending queue, and the requests under way.

The algorithm is Envoy's connection pool's, as measured (`docs/compatibility.md`, circuit breaker)::

    request arrives for an endpoint:
        the endpoint has a ready connection:
            active >= parallel          -> refused (active overflow)
            else                        -> active += 1, assigned
        else:
            pending >= limit            -> refused (pending overflow)
            pending += 1, joins the endpoint's queue (first in, first out)
            opens one more connection, if those being opened do not suffice and
                connections < limit and the endpoint's < its limit, or the endpoint has none at all

    a connection becomes ready (opened, or its request has ended):
        while the queue is not empty and a connection is ready:
            pending -= 1, take the oldest: refused when active >= parallel, else assigned

    an attempt to connect fails: every queued request of that endpoint fails with it

A connection is ready while it can take one more request: over HTTP/1.1 when it has none, over HTTP/2 while the server
takes more streams than are in use. What is said of a connection's one request holds for each of its streams.

Every method changes the counts first and returns what is to be done; the caller then does the I/O. `Connection` and
`Waiter` are the caller's own objects, opaque and hashable by identity. A call that no action led up to (a connection
given back twice, a waiter that waits already) is a bug of the caller's: it raises, and the counts stay as they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

import msgspec

from ..errors import Refusal
from .elsewhere import NOWHERE, Counts, Elsewhere
from .gauges import Gauges
from .limits import Limits
from .retries import Retries

__all__ = ["Action", "Assign", "Cluster", "Counters", "Open", "Refuse"]


class Assign[W: Hashable, C: Hashable](msgspec.Struct, frozen=True):
    """The waiter is admitted and holds this connection."""

    waiter: W
    connection: C


@dataclass(frozen=True, slots=True)
class Refuse[W: Hashable]:
    """The waiter is refused and holds nothing."""

    waiter: W
    reason: Refusal


@dataclass(frozen=True, slots=True)
class Open:
    """One more connection to this endpoint is to be opened; it is counted already."""

    endpoint: str


type Action[W: Hashable, C: Hashable] = Assign[W, C] | Refuse[W] | Open
"""What the caller has to do."""


@dataclass(slots=True)
class Counters:
    """What happened so far, never decreasing. Names follow Envoy's `cluster.*` statistics."""

    requests: int = 0
    pending_total: int = 0
    pending_overflow: int = 0
    active_overflow: int = 0
    connections_opened: int = 0
    connect_failed: int = 0
    connection_overflow: int = 0
    """Attempts to connect over a limit. It rises while requests queue and later succeed, too, and with an endpoint's
    first connection, which is opened all the same."""


@dataclass(slots=True)
class _Endpoint[W: Hashable, C: Hashable]:
    ready: deque[C] = field(default_factory=deque)
    busy: dict[C, int] = field(default_factory=dict)
    """Requests on each connection that has some; one with room for more is `ready`, too."""
    streams: dict[C, int] = field(default_factory=dict)
    """Requests at a time on those connections that take more than one."""
    expected: int = 1
    """Requests that a connection which is being opened will take, as far as is known."""
    queue: dict[W, None] = field(default_factory=dict)
    """Ordered, so that leaving the queue is O(1) too."""
    connections: int = 0
    """Ready, busy and being opened."""
    connecting: int = 0


class Cluster[W: Hashable, C: Hashable]:
    """The counts of one cluster over all of its endpoints; they outlive a reload of the configuration.

    An endpoint without connections is forgotten, so that endpoints which come and go take no memory. One with a queue
    always has a connection, busy or being opened: nobody waits for nothing.
    """

    def __init__(self, limits: Limits, elsewhere: Elsewhere | None = None) -> None:
        """`elsewhere` is where workers tell each other their counts; `None` in a gateway of one process."""
        self.limits = limits
        self._elsewhere = elsewhere
        self.active = 0
        self.pending = 0
        self.connections = 0
        self.counters = Counters()
        self.retries = Retries(elsewhere)
        self._endpoints: dict[str, _Endpoint[W, C]] = {}

    def __repr__(self) -> str:
        return f"<Cluster active={self.active} pending={self.pending} connections={self.connections}>"

    @property
    def gauges(self) -> Gauges:
        other = self._elsewhere
        elsewhere = (
            NOWHERE if other is None else Counts(other.active(), other.pending(), other.connections(), other.retries())
        )
        return Gauges(self.active, self.pending, self.connections, self.limits, self.retries.active, elsewhere)

    @property
    def load(self) -> int:
        """What is active and pending, of which a retry budget is a share."""
        other = self._elsewhere
        return self.active + self.pending + (0 if other is None else other.active() + other.pending())

    @property
    def connecting(self) -> int:
        """How many connections are being made; their requests are pending, too."""
        return sum(state.connecting for state in self._endpoints.values())

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, so that the cluster can be forgotten."""
        return not (self.active or self.pending or self.connections or self.retries.active)

    def queued(self, endpoint: str) -> int:
        state = self._endpoints.get(endpoint)
        return len(state.queue) if state else 0

    def waiting(self, endpoint: str) -> list[W]:
        """Who is queued for the endpoint, oldest first."""
        state = self._endpoints.get(endpoint)
        return list(state.queue) if state else []

    def would_refuse(self, endpoint: str) -> Refusal | None:
        """Foretell the answer of `request` where it needs no connection attempt; `None` when it might be admitted."""
        state = self._endpoints.get(endpoint)
        other = self._elsewhere
        if state is not None and state.ready:
            active = self.active if other is None else self.active + other.active()
            return Refusal.ACTIVE_OVERFLOW if active >= self.limits.parallel else None
        pending = self.pending if other is None else self.pending + other.pending()
        return Refusal.PENDING_OVERFLOW if pending >= self.limits.pending else None

    def request(self, endpoint: str, waiter: W, streams: int = 1) -> list[Action[W, C]]:
        """Admit a request to the endpoint, queue it for a connection, or refuse it.

        `streams` is how many requests a connection to an endpoint that has none yet is expected to take at a time.
        """
        state = self._endpoints.get(endpoint)
        if state is not None and waiter in state.queue:
            raise ValueError(f"{waiter!r} waits for {endpoint} already")
        self.counters.requests += 1
        if state is not None and state.ready:
            return [self._attach(state, waiter)]
        other = self._elsewhere
        if (self.pending if other is None else self.pending + other.pending()) >= self.limits.pending:
            self.counters.pending_overflow += 1
            return [Refuse(waiter, Refusal.PENDING_OVERFLOW)]
        if state is None:
            state = self._endpoints[endpoint] = _Endpoint(expected=streams)
        self.pending += 1
        self.counters.pending_total += 1
        state.queue[waiter] = None
        return self._connect(endpoint, state)

    def leave(self, endpoint: str, waiter: W) -> bool:
        """Take a waiter out of the queue: its client left, or its time is up. Whether it was there."""
        state = self._endpoints.get(endpoint)
        if state is None or waiter not in state.queue:
            return False
        del state.queue[waiter]
        self.pending -= 1
        return True

    def opened(self, endpoint: str, connection: C, streams: int = 1) -> list[Action[W, C]]:
        """Take note that a connection asked for by `Open` is established, and takes so many requests at a time."""
        state = self._connecting(endpoint)
        state.connecting -= 1
        self.counters.connections_opened += 1
        if streams > 0:
            state.ready.append(connection)
        if streams != 1:
            state.streams[connection] = streams
        state.expected = max(1, streams)
        return self._drain(endpoint, state)

    def resized(self, endpoint: str, connection: C, streams: int) -> list[Action[W, C]]:
        """Take note that a connection's server takes so many requests at a time from now on."""
        state = self._endpoints.get(endpoint)
        if state is None or (connection not in state.ready and connection not in state.busy):
            return []
        state.streams[connection] = streams
        state.expected = max(1, streams)
        is_ready, has_room = connection in state.ready, state.busy.get(connection, 0) < streams
        if is_ready and not has_room:
            state.ready.remove(connection)
        elif has_room and not is_ready:
            state.ready.append(connection)
        return self._drain(endpoint, state)

    def open_failed(self, endpoint: str, reason: Refusal) -> list[Action[W, C]]:
        """Take note that an attempt to connect failed; all that waits for the endpoint fails with it."""
        state = self._connecting(endpoint)
        state.connecting -= 1
        self.counters.connect_failed += 1
        failed = list(state.queue)
        state.queue.clear()
        self.pending -= len(failed)
        self._lose(endpoint, state)
        return [Refuse(waiter, reason) for waiter in failed]

    def finished(self, endpoint: str, connection: C, *, reusable: bool) -> list[Action[W, C]]:
        """End a request: give its place back, and its connection to the next or away."""
        state = self._endpoints.get(endpoint)
        if state is None or connection not in state.busy:
            raise ValueError(f"{connection!r} to {endpoint} is not in use")
        left = self._detach(state, connection)
        if not reusable:
            self._give_up(endpoint, state, connection)
        elif not state.streams or (connection not in state.ready and left < state.streams.get(connection, 1)):
            state.ready.append(connection)
        return self._drain(endpoint, state)

    def stale(self, endpoint: str, connection: C, waiter: W) -> list[Action[W, C]]:
        """Take back a connection that turned out to be closed when it was handed out.

        The waiter was admitted, so it is the next to be served: with another ready connection at once, otherwise from
        the head of the queue, whatever the pending limit says.
        """
        state = self._endpoints.get(endpoint)
        if state is None or connection not in state.busy:
            raise ValueError(f"{connection!r} to {endpoint} is not in use")
        self._detach(state, connection)
        self._give_up(endpoint, state, connection)
        if state.ready:
            return [self._attach(state, waiter)]
        self.pending += 1
        self._endpoints[endpoint] = state
        state.queue = {waiter: None, **state.queue}
        return self._connect(endpoint, state)

    def idle_closed(self, endpoint: str, connection: C) -> list[Action[W, C]]:
        """Take note that a ready connection is gone, or takes no more requests; nothing when it was not ready.

        Nobody waits at an endpoint that has a ready connection, so there is nothing to be done. It counts for as long
        as it has requests.
        """
        state = self._endpoints.get(endpoint)
        if state is not None and connection in state.ready:
            self._give_up(endpoint, state, connection)
        return []

    def apply(self, limits: Limits) -> list[Action[W, C]]:
        """Take new limits. What is under way goes on; what waits may get the connection it was denied."""
        self.limits = limits
        actions: list[Action[W, C]] = []
        for endpoint, state in self._endpoints.items():
            while opened := self._connect(endpoint, state):
                actions += opened
        return actions

    def ready(self, endpoint: str) -> list[C]:
        """The connections that are idle now."""
        state = self._endpoints.get(endpoint)
        return list(state.ready) if state else []

    def endpoints(self) -> list[str]:
        """The endpoints with a connection, an attempt or a queue."""
        return [name for name, state in self._endpoints.items() if state.connections or state.queue]

    def _connecting(self, endpoint: str) -> _Endpoint[W, C]:
        state = self._endpoints.get(endpoint)
        if state is None or not state.connecting:
            raise ValueError(f"no connection to {endpoint} is being opened")
        return state

    def _attach(self, state: _Endpoint[W, C], waiter: W) -> Action[W, C]:
        other = self._elsewhere
        if (self.active if other is None else self.active + other.active()) >= self.limits.parallel:
            self.counters.active_overflow += 1
            return Refuse(waiter, Refusal.ACTIVE_OVERFLOW)
        self.active += 1
        # The connection used last is the one that the server is least likely to have closed.
        connection = state.ready[-1]
        used = state.busy[connection] = state.busy.get(connection, 0) + 1
        if used >= state.streams.get(connection, 1):
            state.ready.pop()
        return Assign(waiter, connection)

    def _detach(self, state: _Endpoint[W, C], connection: C) -> int:
        """Take a request off its connection. How many it has left."""
        self.active -= 1
        left = state.busy.pop(connection) - 1
        if left:
            state.busy[connection] = left
        return left

    def _give_up(self, endpoint: str, state: _Endpoint[W, C], connection: C) -> None:
        """Hand a connection out no more; it is lost once it has no requests."""
        if connection in state.ready:
            state.ready.remove(connection)
        if connection not in state.busy:
            state.streams.pop(connection, None)
            self._lose(endpoint, state)

    def _drain(self, endpoint: str, state: _Endpoint[W, C]) -> list[Action[W, C]]:
        actions: list[Action[W, C]] = []
        while state.queue and state.ready:
            waiter = next(iter(state.queue))
            del state.queue[waiter]
            self.pending -= 1
            actions.append(self._attach(state, waiter))
        if state.queue:
            actions += self._connect(endpoint, state)
        return actions

    def _connect(self, endpoint: str, state: _Endpoint[W, C]) -> list[Action[W, C]]:
        if len(state.queue) <= state.connecting * state.expected:
            return []
        limits, other = self.limits, self._elsewhere
        connections = self.connections if other is None else self.connections + other.connections()
        if connections >= limits.connections or state.connections >= limits.per_endpoint_connections:
            self.counters.connection_overflow += 1
            if state.connections:
                return []
        state.connecting += 1
        state.connections += 1
        self.connections += 1
        return [Open(endpoint)]

    def _lose(self, endpoint: str, state: _Endpoint[W, C]) -> None:
        state.connections -= 1
        self.connections -= 1
        if not state.connections and not state.queue:
            del self._endpoints[endpoint]
