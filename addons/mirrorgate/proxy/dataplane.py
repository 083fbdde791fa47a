"""The data plane: everything that exchanges share. Listens, keeps the pools, and tells subscribers what happened."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from mitmproxy.proxy import mode_specs

from ..admission.elsewhere import Sharing
from ..admission.flow_queue import QueueLimits
from ..admission.gauges import Gauges
from ..admission.shared_cluster import cluster_of
from ..admission.token_buckets import Meters
from ..director import Director, destinations_of, rules_of
from ..effective import limits_of
from ..errors import REPLIES, Refusal
from ..events import Event, ExchangeDone, Picked
from ..freed_memory import FreedMemory
from ..plans import Plan
from ..routing.shaping import meters_of
from ..routing.table import Rule
from ..snapshot import Snapshot
from .carrying.bodies import Bodies
from .carrying.capturing import Capture
from .carrying.carrier import Carrier
from .carrying.flow_control import FlowControl
from .carrying.mirroring import MirrorHandle, Mirroring
from .downstream.client import ClientConnection
from .downstream.client_side import ClientLink, ClientSide, Inbound
from .downstream.crowd import Crowd
from .downstream.door import ONE_AT_ONCE, Door, Doorway, deepen
from .downstream.http2_limits import Http2Limits
from .messages.heads import host_and_port
from .messages.sketch import AnyFlow, sketch_of
from .mitm import GatewayMode, Hooks
from .tls_contexts import TlsContexts
from .tls_transport import TlsTransport
from .upstream.connection_settings import ConnectionSettings, settings_of
from .upstream.pool import ClusterPool

if TYPE_CHECKING:
    from .carrying.consulting import Pickers
    from .downstream.shedding import Shedding

__all__ = ["Dataplane", "Port", "Settings"]

logger = logging.getLogger(__name__)

_SWEEP = 1.0
"""Seconds between looks at idle connections; their limits are minutes."""


_PROTOCOLS = ("h2", "http/1.1")
"""What clients are offered by ALPN."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits of the data plane. Bytes and seconds."""

    stream_over: int | None = 1024 * 1024
    """Bodies above this size stream; 0 streams every body, `None` none but event streams."""
    body_limit: int = 64 * 1024 * 1024
    """A request body that must be buffered may have this size; larger ones are answered 413. Larger answers stream."""
    bodies_limit: int = 1024 * 1024 * 1024
    """Request bodies that are buffered may have this size together; those that need more are answered 503."""
    max_connections: int = 0
    """Of clients, at once; 0 for no limit."""
    max_connections_per_address: int = 0
    """Of one client's address; 0 for no limit."""
    max_head: int = 61440
    """Bytes of a head, its first line included; Envoy's default."""
    head_timeout: float = 60.0
    """From the first byte of a request's head to its last."""
    handshake_timeout: float = 10.0
    """For a TLS handshake: a few round trips, and one signature."""
    idle_timeout: float = 3600.0
    """Between two requests of a client; Envoy's default."""
    upstream_idle_timeout: float = 3600.0
    store_streamed: bool = False
    """Whether streamed bodies are kept on the flow too (mitmproxy's `store_streamed_bodies`)."""
    queue: QueueLimits = field(default_factory=QueueLimits)
    """Of requests that wait for a saturated InferencePool; by default none does."""
    http2: Http2Limits = field(default_factory=Http2Limits)
    drain_timeout: float = 30.0
    """How long running exchanges may take to end when the gateway stops."""

    @property
    def stream_answers_over(self) -> int:
        """Bytes above which an answer is sent on without being whole."""
        return self.body_limit if self.stream_over is None else min(self.stream_over, self.body_limit)


@dataclass(frozen=True, slots=True)
class Port:
    """A bound port."""

    logical: int
    """The listeners' port in the configuration, before any offset."""
    tls: bool = False
    """Whether clients speak TLS."""


class Dataplane:
    """Shared by every connection and exchange of one process."""

    def __init__(self, director: Director, hooks: Hooks, settings: Settings) -> None:
        self.director = director
        director.health.tell = self.emit
        self.hooks = hooks
        self.settings = settings
        self.mirroring: Mirroring | None = None
        self.flow_control = FlowControl(self)
        director.must_wait = self.flow_control.must_wait
        self.capture: Capture | None = None
        self.pickers: Pickers | None = None
        """Asks InferencePools' own endpoint pickers, where that is configured."""
        self.shedding: Shedding | None = None
        """Where a limit on the event loop's lag is set."""
        self.draining = False
        self.leaving = False
        """Whether answers say that they are their connection's last; connections that were not told are kept open."""
        self.keep_streamed = 0
        """Bytes of a streamed answer that are kept on its flow where somebody looks at flows (mitmweb, the console)."""
        self.ports: dict[int, int] = {}
        """Logical ports by bound port."""
        self.bugs = 0
        self.tls = TlsContexts(lambda: director.snapshot.router, _PROTOCOLS)
        self.tls_failures = 0
        """Handshakes that came to nothing."""
        self.connections: set[ClientLink] = set()
        self.door = Door()
        self.bodies = Bodies()
        self.pools: dict[str, ClusterPool] = {}
        self.sharing: Sharing | None = None
        """Where workers share the limits of clusters; `None` in a gateway of one process."""
        self.meters = Meters()
        self.rng = random.Random()
        self._subscribers: list[tuple[Callable[[Event], None], tuple[type[Event], ...]]] = []
        self._concerned: dict[type[Event], list[Callable[[Event], None]]] = {}
        """Subscribers by the kind of event."""
        self._tasks: set[asyncio.Future[Any]] = set()
        self._freed = FreedMemory()
        self._sweeper: asyncio.TimerHandle | None = None
        self._date: tuple[int, bytes] = (0, b"")
        self._idle: asyncio.Event | None = None

    # Life

    async def listen(self, mode: mode_specs.ProxyMode, host: str, port: int) -> asyncio.Server:
        """Bind a port for the gateway mode."""
        assert isinstance(mode, GatewayMode)
        loop = asyncio.get_running_loop()
        bound = Port(mode.logical_port, tls=mode.terminates_tls)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP, self._sweep)
        shared, turns_away, serving = self.sharing is not None or None, self._turns_away, lambda: self._greet(bound)
        crowd = Crowd(self, lambda: Doorway(turns_away, serving), tls=bound.tls)
        greet = lambda: Doorway(turns_away, serving, crowd.take_in)  # noqa: E731
        server = crowd.server = await loop.create_server(greet, host, port, backlog=ONE_AT_ONCE, reuse_port=shared)
        deepen(server)
        self.ports.update((sock.getsockname()[1], mode.logical_port) for sock in server.sockets)
        return server

    def _greet(self, port: Port) -> asyncio.Protocol:
        """Make what hears of a new connection."""
        connection = ClientConnection(self, port)
        return (
            TlsTransport(connection, self.tls, port.logical, self.settings.handshake_timeout)
            if port.tls
            else connection
        )

    def _turns_away(self, address: str) -> bool:
        return self.door.turns_away(address, self.settings.max_connections, self.settings.max_connections_per_address)

    def subscribe(self, subscriber: Callable[[Event], None], *kinds: type[Event]) -> None:
        """Tell a subscriber of the events of these kinds from now on, of every one where none is named."""
        self._subscribers.append((subscriber, kinds))
        self._concerned.clear()

    def emit(self, event: Event) -> None:
        kind = type(event)
        concerned = self._concerned.get(kind)
        if concerned is None:
            concerned = [each for each, kinds in self._subscribers if not kinds or kind in kinds]
            self._concerned[kind] = concerned
        for subscriber in concerned:
            try:
                subscriber(event)
            except Exception:
                logger.exception("a subscriber failed on %s", type(event).__name__)

    def adopt(self, snapshot: Snapshot) -> None:
        """Let a configuration take effect: pools take their new limits, endpoints that left are given up."""
        self.director.adopt(snapshot)
        self.tls.forget(snapshot.router)
        rules = {rule.cluster: rule for rule in rules_of(snapshot)}
        self.meters.retain({meter for rule in rules.values() for meter in meters_of(rule.traffic.shaping)})
        for name, pool in list(self.pools.items()):
            rule = rules.get(name)
            pool.retired = rule is None
            if rule is None:
                pool.keep_only(set())
                continue
            pool.configure(limits_of(rule.traffic), self._connection_settings(rule))
            pool.keep_only({(str(a), each.tls) for each in destinations_of(rule) for a in each.endpoints})

    async def drain(self, timeout: float | None = None) -> bool:
        """Let running exchanges end and close idle connections. Whether all ended in time."""
        self.draining = self.leaving = True
        self.flow_control.flush()
        for client in list(self.connections):
            client.drain()
        if self.connections:
            self._idle = asyncio.Event()
            try:
                async with asyncio.timeout(self.settings.drain_timeout if timeout is None else timeout):
                    await self._idle.wait()
            except TimeoutError:
                return False
        return True

    def close(self) -> None:
        """Hang up on everything."""
        self.flow_control.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for client in list(self.connections):
            client.abort()
        for pool in self.pools.values():
            pool.close()
        for task in list(self._tasks):
            task.cancel()
        self.hooks.close()

    # For connections and exchanges

    def connected(self, client: ClientLink) -> None:
        self.connections.add(client)
        self.door.enter(client.client.peername[0])

    def handed_over(self, before: ClientLink, after: ClientLink) -> None:
        """Take note that a connection turned out to speak another version of HTTP."""
        self.connections.discard(before)
        self.connections.add(after)

    def disconnected(self, link: ClientLink) -> None:
        self.connections.discard(link)
        self.door.leave(link.client.peername[0])
        if (pending := self.hooks.fire("client_disconnected", link.client)) is not None:
            self.spawn(pending)
        if self._idle is not None and not self.connections:
            self._idle.set()

    def start(self, client: ClientSide, inbound: Inbound) -> None:
        """Begin an exchange."""
        if self.shedding is not None and self.shedding.refuses(inbound):
            self.shedding.refusals.answer_head(client, inbound)
            return
        carrier = Carrier(self, client, inbound)
        client.carrier = carrier
        inbound.carrier = carrier
        carrier.start()

    def new_flow(self, client: ClientSide, inbound: Inbound) -> AnyFlow:
        """Sketch the flow that addons see. Host and port are the authority's until an addon changes them."""
        if inbound.flow is not None:
            return inbound.flow
        head = inbound.head
        host, port = host_and_port(head.authority, client.port.logical)
        return sketch_of(self.director.new_id(), head, client.scheme, host, port, inbound.started)

    def pool(self, plan: Plan) -> ClusterPool:
        """Return the pool of a plan's cluster."""
        pool = self.pools.get(plan.cluster)
        if pool is None:
            settings = self._connection_settings(plan.rule)
            shared = None if self.sharing is None else self.sharing.join(plan.cluster)
            pool = ClusterPool(plan.cluster, cluster_of(plan.limits, shared), settings, self.hooks)
            self.pools[plan.cluster] = pool
            pool.retired = plan.rule is None  # an address that an addon has set: forgotten when nobody uses it
        return pool

    def calm(self, cluster: str) -> bool:
        """Tell whether a cluster has no queue and is under half of its limits, and the event loop is in time."""
        if self.shedding is not None and self.shedding.control:
            return False
        pool = self.pools.get(cluster)
        if pool is None:
            return True
        gauges = pool.cluster.gauges
        # Over HTTP/1.1 each request takes a connection, so that either limit is reached first.
        return not gauges.pending and 2 * gauges.active < min(gauges.limits.parallel, gauges.limits.connections)

    @property
    def storing(self) -> int:
        """Bytes of a streamed answer that are kept on its flow; 0 keeps none."""
        return sys.maxsize if self.settings.store_streamed else self.keep_streamed

    def gauges(self) -> dict[str, Gauges]:
        """Return the counts of every cluster."""
        return {name: pool.cluster.gauges for name, pool in self.pools.items()}

    def picked(self, plan: Plan, exchange: str, at: float) -> None:
        if plan.pick is not None:
            self.director.note_pick(plan, exchange, at)
            self.emit(Picked(plan.cluster, plan.pool, plan.pick.endpoint, plan.pick.profile, plan.pick_seconds))

    def mirror(
        self, carrier: Carrier, plan: Plan, sent: list[tuple[bytes, bytes]], body: bytes | None
    ) -> MirrorHandle | None:
        """Mirror an admitted exchange; never raises, since production must not feel the shadow."""
        if self.mirroring is None or not (plan.mirrors or plan.sampled_out):
            return None
        try:
            return self.mirroring.begin(carrier, plan, sent, body)
        except Exception:
            self.bugs += 1
            logger.exception("mirroring failed; the primary goes on")
            return None

    def finished(self, carrier: Carrier) -> None:
        """Take note that an exchange is over."""
        facts = carrier.facts
        if self.mirroring is not None and carrier.plan is not None and facts.refusal is not None and not facts.mirrored:
            self.mirroring.rejected(facts.id, carrier.plan)
        self.emit(facts.finish(time.monotonic()))

    def rejected(self, client: ClientLink, refusal: Refusal, message: str) -> None:
        """Tell of bytes that were no request."""
        reply = REPLIES[refusal]
        now = time.time()
        peer = client.client.peername
        self.emit(
            ExchangeDone(
                id="", started=now, method="", path="", authority="", protocol="",
                status=reply.status, flag=reply.flag, details=reply.details, refusal=refusal.value, bytes_received=0,
                bytes_sent=len(message or reply.body), duration=0.0, response_duration=None, queued=0.0, listener="",
                route="", rule=0, cluster="", pool="", endpoint="", model="", target_model="", request_id="",
                user_agent="", forwarded_for="", client=f"{peer[0]}:{peer[1]}", streamed=False, ttft=None, itl=None,
                prompt_tokens=None, completion_tokens=None, mirrored=0,
            )
        )  # fmt: skip

    def spawn(self, work: Awaitable[Any]) -> None:
        """Run work in the background and keep it; mitmproxy's loop starts tasks at once, up to their first wait."""
        coroutine = work if type(work) is CoroutineType else _awaited(work)
        task = asyncio.get_running_loop().create_task(coroutine, name="gateway")
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def count_bug(self) -> None:
        self.bugs += 1

    def date(self) -> bytes:
        """Return the value of a Date field, made once a second."""
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True).encode())
        return self._date[1]

    def _connection_settings(self, rule: Rule | None) -> ConnectionSettings:
        own = ConnectionSettings(idle_timeout=self.settings.upstream_idle_timeout, max_head=self.settings.max_head)
        return own if rule is None else settings_of(rule, own)

    def _sweep(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP, self._sweep)
        now = time.monotonic()
        for client in list(self.connections):
            try:
                client.sweep(now)
            except Exception:
                self.count_bug()
                logger.exception("a client's connection could not be looked after; the others are")
        self._freed.sweep(now, busy=any(client.active for client in self.connections))
        for name, pool in list(self.pools.items()):
            pool.sweep(now)
            if pool.retired and pool.cluster.idle:
                del self.pools[name]
                if self.sharing is not None:
                    self.sharing.leave(name)


async def _awaited(work: Awaitable[Any]) -> None:
    await work
