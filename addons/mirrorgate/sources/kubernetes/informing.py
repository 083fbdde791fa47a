"""An informer for one kind: list, then watch from there, and begin anew when the thread is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .api import Api, ApiError, Object, Unreachable
from .held import Held, Key, hold, key_of
from .kinds import Watched

__all__ = ["Informer"]

logger = logging.getLogger(__name__)

_PAGE = 200
"""Objects to a page: small enough that decoding one holds up no stream."""
_ABSENT_SECONDS = 30.0
"""How often a kind that is not installed is looked for again."""
_FIRST_PAUSE = 0.5
_LAST_PAUSE = 30.0
_LONGEST_WAIT = 120.0
"""However long the server asks to wait."""
_STEADY = 5.0
"""Seconds that a watch has to last for the next failure to count as the first one."""
_LISTED = (404, 410)
"""Answers to a watch after which only a list can tell what is missing."""
_PATIENCE = 5
"""Watches in a row that may be refused with anything else until a list is asked for: a server that was restored from a
backup knows no such version as ours, and says 504 for as long as that takes."""
_SLICE = 0.005
"""Seconds of a burst of events after which others get their turn."""
_WATCH_SECONDS = 290


class Informer:
    """Keeps the objects of one kind in one namespace (or all).

    `objects` maps namespace and name to what is held; `changed` is called after each difference that means something.
    """

    def __init__(
        self,
        api: Api,
        watched: Watched,
        namespace: str | None,
        changed: Callable[[], None],
        rng: random.Random,
        *,
        absent_seconds: float = _ABSENT_SECONDS,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        self.watched = watched
        self.objects: dict[Key, Held] = {}
        self.synced = asyncio.Event()
        """Set once the first list is complete, or the kind is known to be absent."""
        self.absent = False
        """Whether the cluster does not serve this kind."""
        self.alive_at = 0.0
        """When the API server last said something, on the monotonic clock; 0 before the first time."""
        self._api = api
        self._namespace = namespace
        self._changed = changed
        self._rng = rng
        self._version = watched.versions[0]
        self._resource_version = ""
        self._absent_seconds = absent_seconds
        self._first_pause = first_pause

    async def run(self) -> None:
        """List and watch until cancelled."""
        pause, failures = self._first_pause, 0
        while True:
            began = time.monotonic()
            asked: float | None = None
            try:
                if not self._resource_version and not await self._list():
                    await asyncio.sleep(self._absent_seconds * self._rng.uniform(0.8, 1.2))
                    continue
                await self._watch()
                trouble, failures = "", 0
            except (ApiError, Unreachable) as error:
                trouble = str(error)
                if isinstance(error, ApiError):
                    asked, failures = error.retry_after, failures + 1
                    if error.status in _LISTED or failures >= _PATIENCE:
                        self._resource_version, failures = "", 0
            except Exception:
                # An answer of a shape that no API server gives must not end the informer in silence.
                logger.exception("%s: not understood; listed anew", self.watched.title)
                trouble, self._resource_version = "not understood", ""
            if time.monotonic() - began >= _STEADY:
                pause = self._first_pause
                if not trouble:
                    continue  # the server ends every watch after some minutes
            # Even one that ended well waits, when it ended at once: a loop without a pause would be an attack.
            wait = pause * self._rng.uniform(0.5, 1.0)
            if asked is not None:
                wait = max(wait, min(asked, _LONGEST_WAIT) * self._rng.uniform(1.0, 1.1))
            if trouble:
                logger.warning("%s: %s; again in %.1f s", self.watched.title, trouble, wait)
            await asyncio.sleep(wait)
            pause = min(pause * 2, _LAST_PAUSE)

    async def _list(self) -> bool:
        """Read every object, in pages. Whether the kind is served."""
        for version in self.watched.versions:
            try:
                found, resource_version = await self._pages(version)
            except ApiError as error:
                if error.status == 404:
                    continue
                raise
            if self.absent:
                logger.info("%s is served now", self.watched.title)
            self._version, self._resource_version, self.absent = version, resource_version, False
            self._replace(found)
            return True
        if not self.absent:
            logger.warning("%s is not installed in the cluster; it is looked for again", self.watched.title)
        self.absent = True
        self._replace({})
        return False

    async def _pages(self, version: str) -> tuple[dict[Key, Held], str]:
        found: dict[Key, Held] = {}
        query = {"limit": str(_PAGE), **self._selector()}
        while True:
            try:
                page = await self._api.get(self.watched.path(version, self._namespace), query)
            except ApiError as error:
                if error.status != 410 or "limit" not in query:
                    raise
                # The snapshot that the pages are of is gone: at once, then, from a newer one.
                found, query = {}, self._selector()
                continue
            self.alive_at = time.monotonic()
            metadata = page.get("metadata") or {}
            # In a thread: of two hundred objects at once the reading takes longer than a token may wait.
            found |= await asyncio.to_thread(self._hold_all, page.get("items") or (), version)
            if not metadata.get("continue"):
                return found, str(metadata.get("resourceVersion") or "")
            query["continue"] = str(metadata["continue"])

    def _hold_all(self, items: Sequence[Mapping[str, Any]], version: str) -> dict[Key, Held]:
        return {
            key: hold(item, self.watched, version, self.objects.get(key))
            for key, item in ((key_of(item), item) for item in items)
        }

    async def _watch(self) -> None:
        query = {
            "resourceVersion": self._resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
            **self._selector(),
        }
        self.alive_at = turn = time.monotonic()
        async for event in self._api.watch(self.watched.path(self._version, self._namespace), query):
            self.alive_at = time.monotonic()
            self._take(str(event.get("type")), event.get("object") or {})
            if time.monotonic() - turn > _SLICE:
                await asyncio.sleep(0)
                turn = time.monotonic()

    def _take(self, kind: str, item: Object) -> None:
        """Take one event. Raises `ApiError` for the server's word that the watch cannot go on."""
        if kind == "ERROR":
            raise ApiError(int(item.get("code") or 500), str(item.get("message") or "the watch failed"))
        version = str((item.get("metadata") or {}).get("resourceVersion") or "")
        key = key_of(item)
        if kind == "DELETED":
            if self.objects.pop(key, None) is not None:
                self._changed()
        elif kind in ("ADDED", "MODIFIED"):
            known = self.objects.get(key)
            held = self.objects[key] = hold(item, self.watched, self._version, known)
            if not held.means(known):
                self._changed()
        # Last: an event that could not be taken must come again.
        self._resource_version = version or self._resource_version

    def _replace(self, found: dict[Key, Held]) -> None:
        self.alive_at = time.monotonic()
        before, self.objects = self.objects, found
        first = not self.synced.is_set()
        self.synced.set()
        same = before.keys() == found.keys() and all(held.means(before[key]) for key, held in found.items())
        if first or not same:
            self._changed()

    def _selector(self) -> dict[str, str]:
        selector = self.watched.field_selector
        return {"fieldSelector": selector} if selector else {}
