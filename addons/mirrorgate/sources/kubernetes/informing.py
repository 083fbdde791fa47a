"""An informer for one kind: list, then watch from there, and begin anew when the thread is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from .api import Api, ApiError, Object, Unreachable
from .kinds import Watched

__all__ = ["Informer"]

logger = logging.getLogger(__name__)

_PAGE = 500
_ABSENT_SECONDS = 30.0
"""How often a kind that is not installed is looked for again."""
_FIRST_PAUSE = 0.5
_LAST_PAUSE = 30.0


class Informer:
    """Keeps the objects of one kind in one namespace (or all).

    `objects` maps namespace and name to the object as the API has it; `changed` is called after each difference.
    """

    def __init__(
        self, api: Api, watched: Watched, namespace: str | None, changed: Callable[[], None], rng: random.Random
    ) -> None:
        self.watched = watched
        self.objects: dict[tuple[str, str], Object] = {}
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

    async def run(self) -> None:
        """List and watch until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            try:
                if not self._resource_version and not await self._list():
                    await asyncio.sleep(_ABSENT_SECONDS)
                    continue
                pause = _FIRST_PAUSE
                await self._watch()
            except (ApiError, Unreachable) as error:
                if isinstance(error, ApiError) and error.status == 410:
                    self._resource_version = ""  # too old: what is missing can only be told by a list
                    continue
                wait = error.retry_after if isinstance(error, ApiError) and error.retry_after else pause
                logger.warning("%s: %s; again in %.1f s", self.watched.title, error, wait)
                await asyncio.sleep(wait * self._rng.uniform(0.5, 1.0))
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
            self._version = version
            self._resource_version = resource_version
            if self.absent:
                logger.info("%s is served now", self.watched.title)
            self.absent = False
            different = found != self.objects
            self.objects = found
            self._tell(different)
            return True
        if not self.absent:
            logger.warning("%s is not installed in the cluster; it is looked for again", self.watched.title)
        self.absent = True
        self.alive_at = time.monotonic()
        gone, self.objects = bool(self.objects), {}
        self._tell(gone)
        return False

    async def _pages(self, version: str) -> tuple[dict[tuple[str, str], Object], str]:
        found: dict[tuple[str, str], Object] = {}
        query = {"limit": str(_PAGE)}
        while True:
            page = await self._api.get(self.watched.path(version, self._namespace), query)
            metadata = page.get("metadata") or {}
            for item in page.get("items") or []:
                found[_key(item)] = self._typed(item, version)
            if not metadata.get("continue"):
                return found, str(metadata.get("resourceVersion") or "")
            query["continue"] = str(metadata["continue"])

    async def _watch(self) -> None:
        query = {"resourceVersion": self._resource_version, "allowWatchBookmarks": "true", "timeoutSeconds": "290"}
        self.alive_at = time.monotonic()
        async for event in self._api.watch(self.watched.path(self._version, self._namespace), query):
            self.alive_at = time.monotonic()
            kind, item = event.get("type"), event.get("object") or {}
            if kind == "ERROR":
                raise ApiError(int(item.get("code") or 500), str(item.get("message") or "the watch failed"))
            version = str((item.get("metadata") or {}).get("resourceVersion") or "")
            if version:
                self._resource_version = version
            if kind == "DELETED":
                if self.objects.pop(_key(item), None) is not None:
                    self._tell(True)
            elif kind in ("ADDED", "MODIFIED"):
                self.objects[_key(item)] = self._typed(item, self._version)
                self._tell(True)

    def _typed(self, item: Object, version: str) -> Object:
        # Entries of a list leave out what the list says already.
        item.setdefault("apiVersion", self.watched.api_version(version))
        item.setdefault("kind", self.watched.kind)
        return item

    def _tell(self, different: bool) -> None:
        self.alive_at = time.monotonic()
        first = not self.synced.is_set()
        self.synced.set()
        if different or first:
            self._changed()


def _key(item: Object) -> tuple[str, str]:
    metadata = item.get("metadata") or {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")
