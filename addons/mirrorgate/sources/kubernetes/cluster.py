"""A cluster as a source of configurations: all informers together, and an inventory whenever they agree to pause."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence

from ...errors import Problem, Severity
from ...resources.inventory import Inventory
from ...resources.loading import add_object, parse_object
from ...resources.objects import Resource
from ...resources.places import Place
from .api import Api, Object
from .informing import Informer
from .kinds import WATCHED

__all__ = ["ClusterSource"]

logger = logging.getLogger(__name__)

_SETTLE = 0.05
"""Seconds without a change after which an inventory is made."""
_MAX_SETTLE = 0.4
"""Seconds after which it is made although changes go on."""


class ClusterSource:
    """Watches the cluster. `inventories` yields; `age` tells how long ago the API server was last heard of."""

    def __init__(self, api: Api, namespaces: Sequence[str], rng: random.Random) -> None:
        self._api = api
        self._dirty = asyncio.Event()
        self._parsed: dict[tuple[str, str, str], tuple[Object, Resource | None]] = {}
        scopes: list[str | None] = list(namespaces) or [None]
        self._informers = [
            Informer(api, watched, namespace, self._dirty.set, rng)
            for watched in WATCHED
            for namespace in (scopes if watched.namespaced else [None])
        ]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def age(self) -> float:
        """Seconds since the informer that has been left alone for longest heard of the API server."""
        now = time.monotonic()
        return max((now - informer.alive_at for informer in self._informers if informer.synced.is_set()), default=0.0)

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(informer.run(), name=f"informer of {informer.watched.title}")
            for informer in self._informers
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.close()

    async def inventories(self) -> AsyncIterator[Inventory]:
        """Yield an inventory when every first list is complete, and then whenever something has changed."""
        for informer in self._informers:
            await informer.synced.wait()
        self._dirty.set()
        while True:
            await self._dirty.wait()
            await self._settled()
            objects = [item for informer in self._informers for item in informer.objects.values()]
            # Parsing thousands of objects takes a second, which streams do not wait for.
            yield await asyncio.to_thread(self._inventory, objects)

    async def _settled(self) -> None:
        begun = time.monotonic()
        while self._dirty.is_set() and time.monotonic() - begun < _MAX_SETTLE:
            self._dirty.clear()
            await asyncio.sleep(_SETTLE)
        self._dirty.clear()

    def _inventory(self, objects: list[Object]) -> Inventory:
        """Make an inventory; an object that cannot be read is left out, and the rest goes on."""
        inventory = Inventory()
        parsed: dict[tuple[str, str, str], tuple[Object, Resource | None]] = {}
        for raw in objects:
            metadata = raw.get("metadata") or {}
            key = (str(raw.get("apiVersion")), str(raw.get("kind")), f"{metadata.get('namespace')}/{metadata.get('name')}")
            known = self._parsed.get(key)
            if known is None or known[0] is not raw:
                known = (raw, self._read(raw))
            parsed[key] = known
            if known[1] is not None:
                for problem in add_object(inventory, known[1]):
                    _log(problem)
        self._parsed = parsed
        return inventory

    def _read(self, raw: Object) -> Resource | None:
        result = parse_object(raw, Place("", None))
        for problem in result.problems:
            _log(problem)
        return result.object


def _log(problem: Problem) -> None:
    logger.log(logging.WARNING if problem.severity is Severity.ERROR else logging.INFO, "%s", problem)
