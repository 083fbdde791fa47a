"""A cluster as a source of configurations: all informers together, and an inventory whenever they agree to pause."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Iterator, Sequence

from ...resources.inventory import Inventory
from ...resources.loading import add_object
from .api import Api
from .held import Held, Key
from .informing import Informer
from .kinds import STATUS_KINDS, WATCHED, Watched

__all__ = ["ClusterSource"]

logger = logging.getLogger(__name__)

_SETTLE = 0.05
"""Seconds without a change after which an inventory is made."""
_MAX_SETTLE = 0.4
"""Seconds after which it is made although changes go on."""
_LONGEST_REST = 5.0
_PATIENCE = 10.0
"""Seconds after which the first lists that are still missing are named in the log, again and again."""


class ClusterSource:
    """Watches the cluster: `inventories` yields one for each state that differs in a way that means something."""

    def __init__(
        self,
        api: Api,
        namespaces: Sequence[str],
        rng: random.Random,
        *,
        watched: Sequence[Watched] = WATCHED,
        absent_seconds: float = 30.0,
        first_pause: float = 0.5,
    ) -> None:
        self._dirty = asyncio.Event()
        self._told: set[str] = set()
        scopes: list[str | None] = list(dict.fromkeys(namespaces)) or [None]
        self.informers = [
            Informer(
                api,
                each,
                namespace,
                self._dirty.set,
                rng,
                absent_seconds=absent_seconds,
                first_pause=first_pause,
            )
            for each in watched
            for namespace in (scopes if each.namespaced else [None])
        ]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def age(self) -> float | None:
        """Seconds since the informer that has been left alone for longest heard of the API server.

        `None` before the first complete list. Up to a minute is ordinary: that often a server sends a bookmark.
        """
        if not all(informer.synced.is_set() for informer in self.informers):
            return None
        now = time.monotonic()
        return max((now - informer.alive_at for informer in self.informers), default=0.0)

    def start(self) -> None:
        """Begin to list and watch."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(informer.run(), name=f"informer of {informer.watched.title}")
            for informer in self.informers
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def inventories(self) -> AsyncGenerator[Inventory, None]:
        """Yield an inventory when every first list is complete, and then whenever something has changed.

        Whoever compiles it keeps the generator waiting; it rests as long as that took, so that a cluster in which
        something changes all the time costs half a core and not a whole one.
        """
        for informer in self.informers:
            await self._synced(informer)
        self._dirty.set()
        while True:
            await self._dirty.wait()
            await self._settled()
            # Copied here, in the event loop, where informers do not change them meanwhile.
            resources = [held for informer in self.informers for held in informer.objects.values()]
            began = time.monotonic()
            yield await asyncio.to_thread(self._inventory, resources)
            await asyncio.sleep(min(time.monotonic() - began, _LONGEST_REST))

    def holders(self) -> Iterator[tuple[Watched, Key, Held]]:
        """Yield every object whose status may be written."""
        for informer in self.informers:
            if informer.watched.kind in STATUS_KINDS:
                for key, held in list(informer.objects.items()):
                    yield informer.watched, key, held

    async def _synced(self, informer: Informer) -> None:
        while True:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await informer.synced.wait()
                    return
            except TimeoutError:
                missing = sorted({each.watched.title for each in self.informers if not each.synced.is_set()})
                logger.warning("not ready: the cluster's first lists of %s are missing", ", ".join(missing))

    async def _settled(self) -> None:
        begun = time.monotonic()
        while self._dirty.is_set() and time.monotonic() - begun < _MAX_SETTLE:
            self._dirty.clear()
            await asyncio.sleep(_SETTLE)
        self._dirty.clear()

    def _inventory(self, held: Sequence[Held]) -> Inventory:
        inventory = Inventory()
        told: set[str] = set()
        for each in held:
            if each.resource is None:
                continue
            for problem in add_object(inventory, each.resource):
                text = str(problem)
                told.add(text)
                if text not in self._told:
                    logger.warning("%s", text)
        self._told = told
        return inventory
