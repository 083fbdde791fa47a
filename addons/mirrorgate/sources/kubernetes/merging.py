"""Statuses as they are merged: what we say of an object beside what others have said.

Gateway API, GEP-1364 and the comments of `RouteParentStatus`, `PolicyAncestorStatus`, `InferencePoolStatus`:
conditions are merged by type, entries by controllerName and the object that they are about. Entries of other
controllers, and conditions of types that are not ours, stay as they are. `lastTransitionTime` changes with a
condition's status only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Identity", "Writer", "merge", "named"]

Document = Mapping[str, Any]

_OURS = frozenset(
    "Accepted Aggregated Conflicted Merged Overridden PartiallyInvalid Programmed ResolvedRefs Warning".split()
)
"""Types of conditions that the compiler writes: one that it no longer gives is taken away."""
_REFS = {"parents": "parentRef", "parent": "parentRef", "ancestors": "ancestorRef"}
_MOST = {"parents": 32, "parent": 32, "ancestors": 16}
_GATEWAY_GROUP = "gateway.networking.k8s.io"


@dataclass(frozen=True, slots=True)
class Writer:
    """In whose name a status is written."""

    controller_name: str
    gateways: Collection[tuple[str, str]] = ()
    """Our Gateways: entries of the InferencePool before v1 have no controllerName and are told by their parent."""


def merge(observed: Document, wanted: Document, writer: Writer, namespace: str, now: str) -> dict[str, Any] | None:
    """Return the status to write, `None` when nothing differs.

    `observed` is the status as it is, `wanted` what the compiler gives, whole for its parts; `now` is a time as the
    API writes it.
    """
    merged = dict(observed)
    for name, value in wanted.items():
        if name == "conditions":
            merged[name] = _conditions(observed.get(name), value, now)
        elif name in _REFS:
            merged[name] = _entries(name, observed.get(name), value, writer, namespace, now)
        elif name == "listeners":
            merged[name] = _listeners(observed.get(name), value, now)
        else:
            merged[name] = value
    return None if merged == dict(observed) else merged


def _conditions(observed: object, wanted: Sequence[Document], now: str) -> list[dict[str, Any]]:
    before = _documents(observed)
    given = {str(condition["type"]): condition for condition in wanted}
    merged: list[dict[str, Any]] = []
    for old in before:
        kind = str(old.get("type"))
        new = given.pop(kind, None)
        if new is not None:
            merged.append(_condition(old, new, now))
        elif kind not in _OURS:
            merged.append(dict(old))
    return merged + [{**new, "lastTransitionTime": now} for new in given.values()]


def _condition(old: Document, new: Document, now: str) -> dict[str, Any]:
    if _generation(old) > _generation(new):
        return dict(old)  # somebody has seen a newer object than we have
    since = old.get("lastTransitionTime") if old.get("status") == new.get("status") else None
    return {**new, "lastTransitionTime": since or now}


def _generation(condition: Document) -> int:
    value = condition.get("observedGeneration")
    return value if isinstance(value, int) else 0


def _listeners(observed: object, wanted: Sequence[Document], now: str) -> list[dict[str, Any]]:
    before = {str(entry.get("name")): entry for entry in _documents(observed)}
    return [
        {
            **entry,
            "conditions": _conditions(before.get(str(entry["name"]), {}).get("conditions"), entry["conditions"], now),
        }
        for entry in wanted
    ]


def _entries(
    name: str, observed: object, wanted: Sequence[Document], writer: Writer, namespace: str, now: str
) -> list[dict[str, Any]]:
    ref = _REFS[name]
    given = {named(entry.get(ref), namespace): entry for entry in wanted}
    merged: list[dict[str, Any]] = []
    for old in _documents(observed):
        identity = named(old.get(ref), namespace)
        if not _is_ours(name, old, identity, writer, given):
            merged.append(dict(old))
        elif (new := given.pop(identity, None)) is not None:
            merged.append({**new, "conditions": _conditions(old.get("conditions"), new["conditions"], now)})
    merged += [{**new, "conditions": _conditions(None, new["conditions"], now)} for new in given.values()]
    return merged[: max(_MOST[name], len(_documents(observed)))]


def _is_ours(name: str, entry: Document, identity: Identity, writer: Writer, given: Collection[Identity]) -> bool:
    controller = entry.get("controllerName")
    if controller is not None or name != "parent":
        return bool(controller == writer.controller_name)
    return identity in given or (identity[1] == "Gateway" and (identity[2], identity[3]) in writer.gateways)


Identity = tuple[str, str, str, str, str, int]


def named(ref: object, namespace: str) -> Identity:
    """Return what a reference names, with the defaults of `ParentReference` filled in."""
    known: Document = ref if isinstance(ref, Mapping) else {}
    group = known.get("group")
    port = known.get("port")
    return (
        _GATEWAY_GROUP if group is None else str(group),
        str(known.get("kind") or "Gateway"),
        str(known.get("namespace") or namespace),
        str(known.get("name") or ""),
        str(known.get("sectionName") or ""),
        port if isinstance(port, int) else 0,
    )


def _documents(value: object) -> list[Document]:
    entries: Iterable[object] = value if isinstance(value, list | tuple) else ()
    return [entry for entry in entries if isinstance(entry, Mapping)]
