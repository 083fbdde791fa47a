"""The configuration that is served: read from files or a cluster, followed as it changes, refused whole when wrong."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from mitmproxy import ctx

from ..errors import ConfigProblems
from ..snapshot import Snapshot
from ..sources.files import FileSource
from .aside import Aside
from .configuring import Compilation, bindings, compile_reading, counted, empty, paths_of
from .endpoint_pickers import compile_options
from .options import quickstart

if TYPE_CHECKING:
    from .kubernetes import ClusterConfiguration

__all__ = ["Configuration", "Server"]

logger = logging.getLogger("mirrorgate")

_AGAIN = 5.0
"""Seconds after which the manifests are followed again when that has failed."""


class Server(Protocol):
    """What serves a configuration."""

    def adopt(self, snapshot: Snapshot) -> None:
        """Let a configuration take effect, but for its listeners."""

    def listen(self, snapshot: Snapshot) -> None:
        """Bind and close listeners as a changed configuration asks."""

    def refused(self, problems: int) -> None:
        """Take note that a changed configuration was refused."""


class Configuration:
    """Holds the snapshot that is served; `server` is `None` until the gateway runs."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._source: FileSource | None = None
        self.snapshot = empty()
        self.cluster: ClusterConfiguration | None = None
        """Where the configuration comes from instead of files."""
        self.server: Server | None = None
        self.problems = 0
        """Of the latest configuration, when it was refused."""

    @property
    def named(self) -> bool:
        """Whether it is known where the configuration comes from."""
        return self._source is not None or self.cluster is not None

    def read(self) -> bool:
        """Read what `gateway_config` names, and tell whether it is to be followed anew.

        Raises ConfigProblems, or ValueError for clashing options.
        """
        configured = ctx.options.gateway_config
        if "kubernetes" in configured:
            self._read_cluster(configured)
            return self.server is None
        if self.cluster is not None:
            raise ValueError("gateway_config cannot change from kubernetes to files while the gateway runs")
        self._source = FileSource(paths_of(configured, quickstart()))
        options = compile_options(ctx.options)
        compilation = compile_reading(self._source.read(), self.snapshot.generation + 1, options)
        bindings(compilation.snapshot, ctx.options.gateway_bind, ctx.options.gateway_port_offset)
        self._take(compilation)
        return True

    async def follow(self) -> None:
        """Let changes take effect, or refuse them whole, until cancelled."""
        if self.cluster is not None:
            await self.cluster.follow(lambda: self.snapshot, self._take_compiled)
            return
        assert self._source is not None
        while True:
            try:
                await self._follow_files(self._source)
            except Exception:
                # No thread to be had, for instance. A gateway that is never configured again would be worse.
                logger.exception("the manifests could not be followed; they are in %.0f s again", _AGAIN)
            await asyncio.sleep(_AGAIN)

    async def _follow_files(self, source: FileSource) -> None:
        aside = Aside()
        async for reading in source.changes():
            try:
                options = compile_options(ctx.options)
                work = functools.partial(compile_reading, reading, self.snapshot.generation + 1, options)
                compilation = await aside.run(work)
                bindings(compilation.snapshot, ctx.options.gateway_bind, ctx.options.gateway_port_offset)
            except ConfigProblems as error:
                self._refuse(error)
            except Exception:
                logger.exception("the changed configuration could not be compiled; the old one goes on serving")
            else:
                self._take_compiled(compilation)
                logger.info("configuration generation %d takes effect", self.snapshot.generation)

    def _read_cluster(self, configured: Sequence[str]) -> None:
        from .kubernetes import ClusterConfiguration, ClusterSettings

        if list(configured) != ["kubernetes"]:
            raise ValueError("gateway_config is either kubernetes or files, not both")
        settings = ClusterSettings.of(ctx.options)
        if self.server is None:
            self.cluster = ClusterConfiguration(settings, self._rng)
        elif self.cluster is None or settings != self.cluster.settings:
            raise ValueError("what concerns the cluster cannot change while the gateway runs")

    def _take_compiled(self, compilation: Compilation) -> None:
        """Let a configuration take effect. Raises nothing: a bug of one must not keep the next one away."""
        try:
            self._take(compilation)
            if self.server is not None:
                self.server.listen(self.snapshot)
        except Exception:
            logger.exception("configuration generation %d has taken effect in part only", self.snapshot.generation)

    def _take(self, compilation: Compilation) -> None:
        for problem in compilation.warnings:
            logger.warning("%s", problem)
        self.snapshot = compilation.snapshot
        self.problems = 0
        if self.server is not None:
            self.server.adopt(compilation.snapshot)

    def _refuse(self, error: ConfigProblems) -> None:
        for problem in error.problems:
            logger.error("%s", problem)
        logger.error(
            "the changed configuration is refused (%s); generation %d goes on serving",
            counted(error.problems),
            self.snapshot.generation,
        )
        self.problems = len(error.problems)
        if self.server is not None:
            self.server.refused(self.problems)
