"""A data plane in the test's own event loop, with real sockets: fast to start, and open to every look inside."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from mitmproxy import addonmanager
from mitmproxy.proxy import mode_specs
from mitmproxy.test import taddons
from mitmproxy.utils import asyncio_utils

from ..director import Director
from ..events import Event, ExchangeDone
from ..proxy.dataplane import Dataplane, Settings
from ..proxy.mitm import Hooks
from ..proxy.upstream.pool import ClusterPool
from ..scheduling.endpoints import EndpointHealth
from ..snapshot import Snapshot

__all__ = ["GatewayInLoop", "until"]


async def until(condition: Callable[[], object], timeout: float = 30.0, *, what: str = "") -> None:
    """Wait until a condition holds that nothing tells of; raises `AssertionError` after `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            while not condition():  # noqa: ASYNC110 - counts and buffers send no events
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"after {timeout:g} s still not so: {what or condition}") from None


class GatewayInLoop:
    """A gateway that serves a snapshot on one port.

    async with GatewayInLoop(snapshot, SomeAddon()) as gateway:
        async with await Client.connect(gateway.port) as client: ...
        [done] = await gateway.exchanges(1)
        await gateway.settled()
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *addons: object,
        settings: Settings | None = None,
        loads: Mapping[str, EndpointHealth] | None = None,
        seed: int = 1,
        options: Mapping[str, Any] | None = None,
        mode: str = "gateway:80",
    ) -> None:
        """`mode` is the proxy mode: `gateway:443/https` terminates TLS."""
        self.snapshot = snapshot
        self.addons = addons
        self.settings = settings or Settings()
        self.port = 0
        self.plane: Dataplane
        self.context: taddons.context
        self.events: list[Event] = []
        self.bugs_expected = 0
        """How many bugs the gateway must have counted at the end."""
        self._loads = dict(loads or {})
        self._seed = seed
        self._mode = mode
        self._options = dict(options or {})
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._eager = asyncio_utils.set_eager_task_factory()

    @property
    def manager(self) -> addonmanager.AddonManager:
        """mitmproxy's list of addons."""
        manager: addonmanager.AddonManager = self.context.master.addons
        return manager

    @property
    def done(self) -> list[ExchangeDone]:
        """The exchanges that are over."""
        return [event for event in self.events if isinstance(event, ExchangeDone)]

    async def exchanges(self, count: int, timeout: float = 30.0) -> list[ExchangeDone]:
        """Wait until so many exchanges are over."""
        async with asyncio.timeout(timeout):
            while len(self.done) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.done

    async def settled(self) -> None:
        """Wait until no client is connected, then check that nothing is held any more and nothing was told twice."""
        plane = self.plane
        await until(lambda: not plane.connections, what="clients are connected")
        await until(lambda: not plane._tasks, what="tasks of exchanges run")
        for pool in plane.pools.values():
            await until(self._idle(pool), what=f"{pool.name} is not idle: {pool.cluster}")
        assert not plane.director.in_flight._endpoints, "requests are counted as in flight"
        ids = [done.id for done in self.done if done.id]
        assert len(ids) == len(set(ids)), "an exchange was told of twice"

    @staticmethod
    def _idle(pool: ClusterPool) -> Callable[[], bool]:
        """Make a condition: nothing is under way in the pool, and its connections are those that idle."""

        def idle() -> bool:
            cluster = pool.cluster
            ready = sum(len(cluster.ready(endpoint)) for endpoint in cluster.endpoints())
            return (cluster.active, cluster.pending, pool.opening) == (0, 0, 0) and cluster.connections == ready

        return idle

    def adopt(self, snapshot: Snapshot) -> None:
        """Let another configuration take effect."""
        self.snapshot = snapshot
        self.plane.adopt(snapshot)

    async def __aenter__(self) -> Self:
        self._eager.__enter__()
        self.context = taddons.context(*self.addons, loadcore=False)
        if self._options:
            self.context.options.update(**self._options)
        director = Director(
            self.snapshot,
            lambda: self._loads,
            asyncio.get_running_loop().time,
            random.Random(self._seed),
        )
        self.plane = Dataplane(director, Hooks(self.manager), self.settings)
        self.plane.subscribe(self._take)
        mode = mode_specs.ProxyMode.parse(f"{self._mode}@127.0.0.1:0")
        self._server = await self.plane.listen(mode, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        plane = self.plane
        plane.close()
        await until(lambda: not plane.connections and not plane._tasks, what="connections or tasks are left")
        pools = list(plane.pools.values())
        await until(lambda: not any(pool.cluster.connections or pool.opening for pool in pools), what=str(pools))
        self._eager.__exit__(None, None, None)
        if error is None:
            assert plane.bugs == self.bugs_expected, f"{plane.bugs} bugs were counted"

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()
