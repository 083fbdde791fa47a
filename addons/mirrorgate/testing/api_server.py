"""A Kubernetes API server for tests: lists in pages, watches with bookmarks, versions, conflicts, and its bad days.

Faithful where a controller looks: an object that a watch's selector no longer takes is `DELETED`; a version from
before the last compaction is 410 for a page and an ERROR event for a watch; `status` is a resource of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from ..sources.kubernetes.kinds import Watched
from .api_store import ApiStore, Collection, Conflict, Event, Gone, Missing, Object, selects

__all__ = ["ApiServer", "Asked"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    query: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Place:
    """What a path names."""

    collection: Collection
    watched: Watched
    version: str
    namespace: str | None
    name: str
    status: bool


@dataclass(slots=True)
class ApiServer:
    """Serves a store on a port of 127.0.0.1.

    async with ApiServer() as server:
        server.store.apply(...)
        kubeconfig = server.kubeconfig(tmp_path)
    """

    store: ApiStore = field(default_factory=ApiStore)
    asked: list[Asked] = field(default_factory=list)
    bookmark_seconds: float = 0.2
    away: bool = False
    """Whether every connection is hung up on, as when the server is away."""
    throttled: dict[str, int] = field(default_factory=dict)
    """How many more requests are answered 429, by a part of their path."""
    retry_after: int = 1
    forbidden: set[str] = field(default_factory=set)
    """Plurals that are answered 403."""
    before_write: Callable[[str], None] = lambda path: None
    """Called before a PUT takes effect, so that a test can be faster than it."""
    port: int = 0
    watching: int = 0
    """Watches that are open."""
    _runner: web.AppRunner | None = None
    _broken: int = 0

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.break_watches()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig that leads here, and return its path."""
        path = folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {"token": "secret"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    def break_watches(self) -> None:
        """Hang up on every watch."""
        self._broken += 1
        self.store.wake()

    def lists(self, plural: str) -> int:
        """Return how many first pages of a collection were asked for."""
        return sum(
            asked.path.endswith(f"/{plural}") and "watch" not in asked.query and "continue" not in asked.query
            for asked in self.asked
            if asked.method == "GET"
        )

    def writes(self) -> list[str]:
        """Return the paths of the statuses that were written."""
        return [asked.path for asked in self.asked if asked.method == "PUT" and asked.path.endswith("/status")]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.away:
            assert request.transport is not None
            request.transport.abort()
            raise ConnectionResetError
        self.asked.append(Asked(request.method, request.path, dict(request.query)))
        for part, count in self.throttled.items():
            if count > 0 and part in request.path:
                self.throttled[part] = count - 1
                return _status(429, "too many requests", {"Retry-After": str(self.retry_after)})
        if request.headers.get("Authorization") != "Bearer secret":
            return _status(401, "Unauthorized")
        place = self._place(request.path)
        if place is None:
            return web.Response(status=404, text="404 page not found\n")
        if place.watched.plural in self.forbidden:
            return _status(403, f"{place.watched.plural} is forbidden")
        try:
            if request.method == "GET" and not place.name:
                watching = request.query.get("watch") in ("1", "true")
                return await self._watch(request, place) if watching else self._list(request, place)
            return await self._single(request, place)
        except Missing as error:
            return _status(404, f"{error} not found")
        except Conflict as error:
            return _status(409, str(error))
        except Gone as error:
            return _status(410, str(error))

    async def _single(self, request: web.Request, place: _Place) -> web.Response:
        key = (place.namespace or "", place.name)
        if request.method == "GET":
            found = self.store.objects.get(place.collection, {}).get(key)
            if found is None:
                raise Missing(place.name)
            return web.json_response(_served(found, place))
        body = await request.json()
        if request.method == "POST":
            body["metadata"].setdefault("namespace", place.namespace or "")
            return web.json_response(self.store.create(place.collection, body), status=201)
        if request.method == "PUT":
            self.before_write(request.path)
            return web.json_response(self.store.replace(place.collection, key, body, status=place.status))
        return _status(405, "method not allowed")

    def _list(self, request: web.Request, place: _Place) -> web.Response:
        limit = int(request.query.get("limit") or 0)
        version, after = self.store.version, ("", "")
        if token := request.query.get("continue"):
            version, *rest = json.loads(base64.b64decode(token))
            after = (rest[0], rest[1])
            if version < self.store.compacted:
                raise Gone("the provided continue parameter is too old")
        selected = selects(request.query.get("fieldSelector", ""))
        found = [
            (key, obj)
            for key, obj in sorted(self.store.objects.get(place.collection, {}).items())
            if key > after and place.namespace in (None, key[0]) and selected(obj)
        ]
        page = found[:limit] if limit else found
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if len(page) < len(found):
            metadata["continue"] = base64.b64encode(json.dumps([version, *page[-1][0]]).encode()).decode()
            metadata["remainingItemCount"] = len(found) - len(page)
        # As the real one, which names kind and apiVersion once for the whole list.
        items = [{name: value for name, value in obj.items() if name not in ("apiVersion", "kind")} for _, obj in page]
        kind = f"{place.watched.kind}List"
        version_text = place.watched.api_version(place.version)
        return web.json_response({"apiVersion": version_text, "kind": kind, "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, place: _Place) -> web.StreamResponse:
        at = int(request.query["resourceVersion"])
        if at > self.store.version:
            return _status(504, f"Too large resource version: {at}, current: {self.store.version}")
        selected = selects(request.query.get("fieldSelector", ""))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        broken, loop = self._broken, asyncio.get_running_loop()
        ends = loop.time() + float(request.query.get("timeoutSeconds") or 300)
        self.watching += 1
        try:
            while not self.away and self._broken == broken and loop.time() < ends:
                changed = self.store.changed
                try:
                    events = list(self.store.since(place.collection, at))
                except Gone as error:
                    await _say(response, "ERROR", _status_body(410, str(error)))
                    return response
                for event in events:
                    for kind, obj in _seen(event, place, selected):
                        await _say(response, kind, _served(obj, place))
                at = self.store.version if not events else events[-1].version
                try:
                    async with asyncio.timeout(self.bookmark_seconds):
                        await changed.wait()
                except TimeoutError:
                    at = max(at, self.store.version)
                    await _say(response, "BOOKMARK", _bookmark(place, at))
        finally:
            self.watching -= 1
        if self.away or self._broken != broken:
            assert request.transport is not None
            request.transport.abort()
        return response

    def _place(self, path: str) -> _Place | None:
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            group, version, rest = "", parts[1], parts[2:]
        elif parts[0] == "apis" and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            return None
        namespace = None
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        watched = self.store.kinds.get((group, rest[0]))
        if watched is None or version not in watched.versions:
            return None
        name = rest[1] if len(rest) > 1 else ""
        return _Place((group, rest[0]), watched, version, namespace, name, rest[2:] == ["status"])


def _seen(event: Event, place: _Place, selected: Callable[[Object], bool]) -> Iterator[tuple[str, Object]]:
    """Yield an event as a watch with a selector sees it."""
    if place.namespace not in (None, event.object["metadata"].get("namespace", "")):
        return
    was = event.before is not None and selected(event.before)
    now = event.type != "DELETED" and selected(event.object)
    if now:
        yield ("MODIFIED" if was else "ADDED"), event.object
    elif was:
        yield "DELETED", event.object


def _served(obj: Object, place: _Place) -> Object:
    return {**obj, "apiVersion": place.watched.api_version(place.version), "kind": place.watched.kind}


def _bookmark(place: _Place, version: int) -> Object:
    return _served({"metadata": {"resourceVersion": str(version)}}, place)


async def _say(response: web.StreamResponse, kind: str, obj: Object) -> None:
    await response.write(json.dumps({"type": kind, "object": obj}).encode() + b"\n")


def _status_body(code: int, message: str) -> Object:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}


def _status(code: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(_status_body(code, message), status=code, headers=headers)
