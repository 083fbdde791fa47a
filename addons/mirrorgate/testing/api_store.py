"""The objects of a fake cluster with their versions and history, as etcd and the API server keep them."""

from __future__ import annotations

import asyncio
import copy
import datetime
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..sources.kubernetes.kinds import WATCHED, Watched

__all__ = ["ApiStore", "Collection", "Conflict", "Event", "Gone", "Missing", "selects"]

Object = dict[str, Any]
Collection = tuple[str, str]
"""Group and plural."""

_LEASES = Watched("coordination.k8s.io", ("v1",), "Lease", "leases", True)
_WITHOUT_STATUS = frozenset(("leases", "secrets", "endpointslices", "referencegrants"))


class Conflict(Exception):
    """The object is there already, or its resourceVersion is not the newest."""


class Missing(Exception):
    """There is no such object."""


class Gone(Exception):
    """The history does not reach back to the version asked for."""


@dataclass(frozen=True, slots=True)
class Event:
    version: int
    type: str
    collection: Collection
    object: Object
    before: Object | None


@dataclass(slots=True)
class ApiStore:
    """Objects by collection, namespace and name. Every change is an event of a version of its own."""

    kinds: dict[Collection, Watched] = field(
        default_factory=lambda: {(each.group, each.plural): each for each in (*WATCHED, _LEASES)}
    )
    """What is installed."""
    version: int = 100
    compacted: int = 0
    """Watches and pages from before this version are refused with 410."""
    objects: dict[Collection, dict[tuple[str, str], Object]] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Replaced whenever it is set: wait for the one that is there now."""

    def apply(self, *objects: Object) -> None:
        """Create or replace objects, their status included, as a test wants them."""
        for each in objects:
            collection = self.collection_of(each)
            body = copy.deepcopy(each)
            metadata = body.setdefault("metadata", {})
            if self.kinds[collection].namespaced:
                metadata.setdefault("namespace", "default")
            old = self.objects.get(collection, {}).get((metadata.get("namespace", ""), metadata["name"]))
            if old is None:
                self.create(collection, body)
            else:
                body.setdefault("status", old.get("status", {}))
                self._store(collection, body, old)

    def remove(self, kind: str, name: str, namespace: str = "default") -> None:
        """Delete an object by its kind."""
        for collection, each in self.kinds.items():
            key = (namespace if each.namespaced else "", name)
            if each.kind == kind and key in self.objects.get(collection, {}):
                old = self.objects[collection].pop(key)
                self.version += 1
                last = copy.deepcopy(old)
                last["metadata"]["resourceVersion"] = str(self.version)
                self._tell(Event(self.version, "DELETED", collection, last, old))
                return
        raise Missing(f"{kind} {name}")

    def get(self, kind: str, name: str, namespace: str = "default") -> Object:
        """Return an object by its kind; of two groups the first that has it."""
        for collection, each in self.kinds.items():
            found = self.objects.get(collection, {}).get((namespace if each.namespaced else "", name))
            if each.kind == kind and found is not None:
                return found
        raise Missing(f"{kind} {name}")

    def create(self, collection: Collection, body: Object) -> Object:
        metadata = body["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        if key in self.objects.get(collection, {}):
            raise Conflict(f"{metadata['name']} already exists")
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata.setdefault("creationTimestamp", now)
        metadata["uid"] = str(uuid.uuid4())
        return self._store(collection, body, None)

    def replace(self, collection: Collection, key: tuple[str, str], body: Object, *, status: bool) -> Object:
        """Replace an object, or its status alone. Raises Missing and Conflict."""
        old = self.objects.get(collection, {}).get(key)
        if old is None:
            raise Missing(key[1])
        given = (body.get("metadata") or {}).get("resourceVersion")
        if given and given != old["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified; please apply your changes to the latest version")
        if status:
            fresh = copy.deepcopy(old)
            fresh["status"] = copy.deepcopy(body.get("status", {}))
        else:
            fresh = copy.deepcopy(body)
            fresh["metadata"] = {**old["metadata"], **fresh["metadata"]}
            if collection[1] not in _WITHOUT_STATUS and "status" in old:
                fresh["status"] = copy.deepcopy(old["status"])
        return self._store(collection, fresh, old)

    def since(self, collection: Collection, version: int) -> Iterator[Event]:
        """Yield what happened after a version. Raises Gone."""
        if version < self.compacted:
            raise Gone(f"too old resource version: {version} ({self.compacted})")
        # Recent history is what a watch asks for: from the end, back to where it stands.
        start = len(self.history)
        while start and self.history[start - 1].version > version:
            start -= 1
        return (event for event in self.history[start:] if event.collection == collection)

    def compact(self) -> None:
        """Forget the history, as etcd does every five minutes."""
        self.version += 1
        self.compacted = self.version
        self.history.clear()

    def collection_of(self, obj: Object) -> Collection:
        group, slash, _ = str(obj["apiVersion"]).rpartition("/")
        for collection, each in self.kinds.items():
            if (each.group, each.kind) == (group if slash else "", obj["kind"]):
                return collection
        raise Missing(f"{obj['apiVersion']} {obj['kind']}")

    def _store(self, collection: Collection, body: Object, old: Object | None) -> Object:
        self.version += 1
        metadata = body["metadata"]
        if old is not None:
            metadata = body["metadata"] = {
                **metadata,
                "uid": old["metadata"]["uid"],
                "creationTimestamp": old["metadata"]["creationTimestamp"],
            }
        before = 0 if old is None else old["metadata"].get("generation", 1)
        same = old is not None and old.get("spec") == body.get("spec")
        metadata["generation"] = before if same else before + 1
        metadata["resourceVersion"] = str(self.version)
        self.objects.setdefault(collection, {})[metadata.get("namespace", ""), metadata["name"]] = body
        kind = "ADDED" if old is None else "MODIFIED"
        self._tell(Event(self.version, kind, collection, body, old))
        return body

    def _tell(self, event: Event) -> None:
        self.history.append(event)
        self.wake()

    def wake(self) -> None:
        """Let every watch look again."""
        self.changed.set()
        self.changed = asyncio.Event()


def selects(selector: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return the predicate of a field selector, such as `type=x,status.phase!=y`."""
    terms = []
    for term in filter(None, selector.split(",")):
        path, _, value = term.partition("!=" if "!=" in term else "=")
        terms.append((path.split("."), value, "!=" not in term))

    def selected(obj: Mapping[str, Any]) -> bool:
        for path, value, equal in terms:
            found: Any = obj
            for step in path:
                found = found.get(step, "") if isinstance(found, Mapping) else ""
            if (found == value) is not equal:
                return False
        return True

    return selected
