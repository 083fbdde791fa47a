"""A cluster as the gateway's configuration: what the API server has is compiled, and what comes of it is written back.

Imported only when `gateway_config` is `kubernetes`: the client library costs a second and 100 MiB.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from kubernetes.aio.config.config_exception import ConfigException
from mitmproxy import optmanager

from ..errors import Problem, Severity
from ..resources.inventory import Inventory
from ..routing.compiling import CompileOptions
from ..routing.matching import Router
from ..routing.table import Listener, RouteTable
from ..snapshot import Snapshot
from ..sources.kubernetes.api import Api, ApiError, Unreachable
from ..sources.kubernetes.cluster import ClusterSource
from ..sources.kubernetes.leading import Leadership
from ..sources.kubernetes.statuses import StatusWriter
from ..telemetry.samples import Sample
from .aside import Aside
from .background import end_process
from .configuring import Compilation
from .kubernetes_statuses import completed

__all__ = ["ClusterConfiguration", "ClusterSettings", "compile_cluster"]

logger = logging.getLogger("mirrorgate")

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_RELEASE_SECONDS = 3.0
_AGAIN = 5.0
"""Seconds after which the cluster is followed again when that has failed."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What of the options concerns the cluster."""

    namespaces: tuple[str, ...] = ()
    """Empty: all."""
    controller_name: str = CompileOptions().controller_name
    addresses: tuple[str, ...] = ()
    """For the status of Gateways that declare none."""
    write_status: bool = True
    lease: str = ""
    """`namespace/name`; empty: of the controller's name, in our own namespace."""
    bind: str = "127.0.0.1"
    port_offset: int = 0
    external_pickers: bool = False
    """Whether the pools' own endpoint pickers are asked."""

    @classmethod
    def of(cls, options: optmanager.OptManager) -> ClusterSettings:
        """Read the options; raises ValueError for one that makes no sense."""
        settings = cls(
            tuple(options.gateway_namespaces),
            options.gateway_controller_name,
            tuple(options.gateway_addresses) or tuple(filter(None, (os.environ.get("POD_IP"),))),
            options.gateway_status,
            options.gateway_lease,
            options.gateway_bind,
            options.gateway_port_offset,
            options.gateway_endpoint_picker == "external",
        )
        domain, slash, path = settings.controller_name.partition("/")
        if not (domain and slash and path):
            raise ValueError("gateway_controller_name must be a domain and a path, such as example.com/controller")
        if settings.lease and settings.lease.count("/") != 1:
            raise ValueError("gateway_lease must be a namespace and a name with a slash between them")
        return settings

    @property
    def lease_place(self) -> tuple[str, str]:
        """Namespace and name of the Lease."""
        if self.lease:
            namespace, _, name = self.lease.partition("/")
            return namespace, name
        return _own_namespace(), self.controller_name.replace("/", "-").lower()


class ClusterConfiguration:
    """The configuration of a gateway that follows a cluster."""

    def __init__(self, settings: ClusterSettings, rng: random.Random) -> None:
        self.settings = settings
        self.first = asyncio.Event()
        """Set once a complete configuration has been taken."""
        self._rng = rng
        self._api: Api | None = None
        self._source: ClusterSource | None = None
        self._writer: StatusWriter | None = None
        self._leadership: Leadership | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def follow(self, running: Callable[[], Snapshot], take: Callable[[Compilation], None]) -> None:
        """Hand every new configuration to `take`, until cancelled. Exits the process where there is no cluster."""
        try:
            self._api = await Api.connect()
        except (ConfigException, OSError, ValueError, yaml.YAMLError) as error:
            logger.error("gateway_config=kubernetes: no service account, and no usable kubeconfig: %s", error)
            end_process()
            return
        self._start(self._api)
        assert self._source is not None
        while True:
            try:
                await self._follow(self._source, running, take)
            except Exception:
                # No thread to be had, for instance. A gateway that is never configured again would be worse.
                logger.exception("the cluster could not be followed; it is in %.0f s again", _AGAIN)
            await asyncio.sleep(_AGAIN)

    async def _follow(
        self, source: ClusterSource, running: Callable[[], Snapshot], take: Callable[[Compilation], None]
    ) -> None:
        aside = Aside()
        async for inventory in source.inventories():
            before, began = running(), time.monotonic()
            try:
                compilation = await aside.run(functools.partial(self._compile, inventory, before))
            except Exception:
                logger.exception("the changed configuration could not be compiled; the old one goes on serving")
                continue
            if compilation is None:
                # What was deleted and made anew serves as before, but has lost its status.
                self._wake_writer()
                continue
            compiled = time.monotonic() - began
            take(compilation)
            self.first.set()
            generation = compilation.snapshot.generation
            logger.info("configuration generation %d takes effect, compiled in %.2f s", generation, compiled)

    def _compile(self, inventory: Inventory, before: Snapshot) -> Compilation | None:
        """Compile, with the warnings that are new; `None` when nothing but what leads nowhere has changed."""
        compilation = compile_cluster(inventory, before.generation + 1, self.settings)
        fresh = compilation.snapshot
        if self.first.is_set() and (fresh.table, fresh.statuses) == (before.table, before.statuses):
            return None
        known = {str(problem) for problem in before.problems}
        return Compilation(fresh, tuple(problem for problem in compilation.warnings if str(problem) not in known))

    def report(self, snapshot: Snapshot, bind_errors: Mapping[str, str]) -> None:
        """Let the statuses of a configuration be written, once its listeners are bound or known not to be."""
        if self._writer is not None:
            settings = self.settings
            self._writer.publish(completed(snapshot, settings.addresses, settings.bind, bind_errors))

    def samples(self) -> Iterable[Sample]:
        age = None if self._source is None else self._source.age
        if age is not None:
            yield Sample("mirrorgate_config_source_age_seconds", age)
        if self._leadership is not None:
            yield Sample("mirrorgate_leader", float(self._leadership.leads))
        if self._writer is not None:
            yield Sample("mirrorgate_status_writes_total", self._writer.writes)

    async def stop(self) -> None:
        """End the watches, and give the lease to whoever is next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._source is not None:
            await self._source.stop()
        if self._leadership is not None:
            with contextlib.suppress(ApiError, Unreachable, TimeoutError):
                async with asyncio.timeout(_RELEASE_SECONDS):
                    await self._leadership.release()
        if self._api is not None:
            await self._api.close()

    def _start(self, api: Api) -> None:
        source = self._source = ClusterSource(api, self.settings.namespaces, self._rng)
        source.start()
        if not self.settings.write_status:
            return
        namespace, name = self.settings.lease_place
        identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{secrets.token_hex(4)}"
        leadership = self._leadership = Leadership(api, namespace, name, identity, self._rng, changed=self._wake_writer)
        self._writer = StatusWriter(api, source, self.settings.controller_name, lambda: leadership.leads)
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(leadership.run(), name="leadership"),
            loop.create_task(self._writer.run(), name="status writer"),
        ]

    def _wake_writer(self) -> None:
        if self._writer is not None:
            self._writer.wake()


def compile_cluster(inventory: Inventory, generation: int, settings: ClusterSettings) -> Compilation:
    """Compile what a cluster has: a fault of one object is never the others'.

    A listener whose port the offset moves out of range is not served, and said so.
    """
    options = CompileOptions(
        settings.controller_name, serve_all_classes=False, external_pickers=settings.external_pickers
    )
    snapshot = Snapshot.of(inventory, generation, options)
    problems: list[Problem] = []
    kept: list[Listener] = []
    for listener in snapshot.table.listeners:
        port = listener.port + settings.port_offset
        if 0 < port < 65536:
            kept.append(listener)
            continue
        place = f"Gateway {'/'.join(listener.gateway)}: listener {listener.name}"
        message = f"port {listener.port} with gateway_port_offset {settings.port_offset} is {port}, which is no port"
        problems.append(Problem(message, path=place, severity=Severity.WARNING))
    if problems:
        table = RouteTable(tuple(kept))
        snapshot = replace(snapshot, table=table, router=Router(table), problems=(*snapshot.problems, *problems))
    return Compilation(snapshot, snapshot.problems)


def _own_namespace() -> str:
    try:
        return os.environ.get("POD_NAMESPACE") or _NAMESPACE_FILE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"
