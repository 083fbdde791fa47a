"""The one admin server of several workers: asks them, and puts together what they say."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from ..proxy.admin.sources import AdminSources
from ..telemetry.exposition import PLAIN
from ..telemetry.names import SPECS
from .asking import Reply, ask
from .joining import joined_clusters, joined_exchanges, joined_overview
from .merging import MetricFamily, Totals, written
from .processes import Kept, Why

__all__ = ["AdminFront", "Colleague"]

_TIMEOUT = 3.0
"""Seconds that a worker may take for an answer."""


@dataclass(slots=True)
class Colleague:
    """A worker as the supervisor sees it."""

    index: int
    path: str
    """Of the socket that its admin server listens on."""
    kept: Kept
    ready: bool = False
    """Whether it served when it was last asked."""
    was_ready: bool = False
    """Whether it has served in this life."""


class AdminFront:
    """Answers for all workers. One that does not answer in time is left out, and `/overview` says so."""

    def __init__(self, workers: Sequence[Colleague], totals: Totals, token: str, shadow: Kept) -> None:
        self._workers = workers
        self._totals = totals
        self._token = token
        self._shadow = shadow
        self._scraping = asyncio.Lock()
        self.complete = False
        """Whether all workers have served at once."""
        self.stopping = False

    def sources(self) -> AdminSources:
        return AdminSources(
            ready=self.ready,
            metrics=self.metrics,
            resources=functools.partial(self._of_one, "/resources"),
            routes=functools.partial(self._of_one, "/routes"),
            clusters=self.clusters,
            exchanges=self.exchanges,
            verdict=functools.partial(self._of_one, "/verdict"),
            verdict_of=self.verdict_of,
            decision_of=self.decision_of,
            overview=self.overview,
            pause_mirrors=functools.partial(self._change, "/mirror/pause"),
            resume_mirrors=functools.partial(self._change, "/mirror/resume"),
        )

    def ready(self) -> tuple[bool, str]:
        """Tell whether the gateway takes requests: at first when all workers do, then as long as one does.

        While one of several is started again the others serve: taking the whole gateway out would lose them, too.
        """
        if self.stopping:
            return False, "draining"
        serving = sum(worker.ready for worker in self._workers)
        if not self.complete or not serving:
            return False, f"{serving} of {len(self._workers)} workers serve"
        return True, "ready"

    async def metrics(self, accept: str) -> tuple[str, Iterator[bytes]]:
        """Return the sums over all workers, always in Prometheus' text format."""
        async with self._scraping:
            asked = [worker.kept.pid for worker in self._workers]
            for pid, (worker, reply) in zip(asked, await self._all("/metrics"), strict=True):
                # What a worker told that has died since is with the dead already.
                if reply is not None and reply.status == 200 and pid is not None and worker.kept.pid == pid:
                    self._totals.take(worker.index, reply.body.decode("utf-8", "replace"))
            return PLAIN, self._lines()

    def _lines(self) -> Iterator[bytes]:
        up, restarts = "mirrorgate_worker_up", "mirrorgate_worker_restarts_total"
        for name, series in (
            (up, {f'{up}{{worker="{worker.index}"}}': float(worker.ready) for worker in self._workers}),
            (
                restarts,
                {
                    f'{restarts}{{worker="{worker.index}",reason="{why}"}}': float(worker.kept.restarts[why])
                    for worker in self._workers
                    for why in Why
                },
            ),
        ):
            spec = SPECS[name]
            head = [f"# HELP {name} {spec.help}", f"# TYPE {name} {spec.kind.value}"]
            yield written(MetricFamily(name, head, spec.kind.value, series))
        yield from self._totals.lines()

    async def clusters(self) -> object:
        return joined_clusters(await self._documents("/clusters"))

    async def exchanges(self) -> object:
        return joined_exchanges(await self._documents("/exchanges"))

    async def overview(self) -> object:
        view = joined_overview(await self._documents("/overview"))
        view["workers"] = [
            {
                "worker": worker.index,
                "pid": worker.kept.pid,
                "ready": worker.ready,
                "restarts": worker.kept.restarts.total(),
                "hangs": worker.kept.restarts[Why.HUNG],
            }
            for worker in self._workers
        ]
        view["shadowProcess"] = {"pid": self._shadow.pid, "restarts": self._shadow.restarts.total()}
        return view

    async def verdict_of(self, cluster: str) -> object | None:
        reply = await self._any(f"/verdict?cluster={quote(cluster, safe='')}")
        return msgspec.Raw(reply.body) if reply.status == 200 else None

    async def decision_of(self, cluster: str) -> tuple[str, str] | None:
        reply = await self._any(f"/verdict/promote?cluster={quote(cluster, safe='')}")
        if reply.status not in (200, 409):
            return None
        found = msgspec.json.decode(reply.body)
        return found["verdict"], found["reason"]

    async def _of_one(self, target: str) -> object:
        """Return what any worker says of what all know alike."""
        reply = await self._any(target)
        if reply.status != 200:
            raise RuntimeError(f"a worker answers {target} with {reply.status}")
        return msgspec.Raw(reply.body)

    async def _any(self, target: str) -> Reply:
        for worker in sorted(self._workers, key=lambda worker: not worker.ready):
            reply = await self._ask(worker, target)
            if reply is not None:
                return reply
        raise RuntimeError("no worker answers")

    async def _all(self, target: str, method: str = "GET") -> list[tuple[Colleague, Reply | None]]:
        replies = await asyncio.gather(*(self._ask(worker, target, method) for worker in self._workers))
        return list(zip(self._workers, replies, strict=True))

    async def _documents(self, target: str) -> list[dict[str, Any]]:
        replies = [reply for _, reply in await self._all(target)]
        return [msgspec.json.decode(reply.body) for reply in replies if reply is not None and reply.status == 200]

    async def _change(self, target: str) -> object:
        """Change something in every worker; a worker that is started later begins with the options' state."""
        found = await self._all(target, "POST")
        done = [reply for _, reply in found if reply is not None and reply.status == 200]
        if len(done) < len(found):
            raise RuntimeError(f"{len(done)} of {len(found)} workers have done it")
        return msgspec.Raw(done[0].body)

    async def _ask(self, worker: Colleague, target: str, method: str = "GET") -> Reply | None:
        if worker.kept.pid is None:
            return None
        # Who waits for all of them should not wait long for one that did not answer a moment ago.
        timeout = _TIMEOUT if worker.ready else _TIMEOUT / 5
        return await ask(worker.path, target, method=method, token=self._token, timeout=timeout)
