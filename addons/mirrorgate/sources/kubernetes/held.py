"""What is kept of an object of the cluster: the typed object, and what a status is written against.

The raw object is let go at once. A cluster has thousands of Pods, and of each some ten kilobytes that mean nothing
to a gateway.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ...errors import Problem, Severity
from ...resources.loading import parse_object
from ...resources.objects import Resource
from ...resources.places import Place
from .kinds import STATUS_KINDS, Watched

__all__ = ["Held", "Key", "Refusal", "hold", "key_of"]

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""

_BOOKKEEPING = frozenset(("resourceVersion", "managedFields", "selfLink", "ownerReferences", "finalizers"))
"""Metadata that changes without the object meaning anything else; without it, equal objects are equal."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LONGEST_MESSAGE = 2048
_NO_STATUS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an object cannot be read, for its status."""

    generation: int
    message: str
    parent_refs: tuple[Mapping[str, Any], ...] = ()
    """Of a route, as they are written."""


@dataclass(frozen=True, slots=True)
class Held:
    """One object of the cluster."""

    uid: str
    resource_version: str
    version: str
    """Of the API it was read in, such as `v1`."""
    resource: Resource | None
    """`None` when it cannot be read, and is left out."""
    status: Mapping[str, Any] = field(default=_NO_STATUS, repr=False)
    """As the API has it, of the kinds whose status is written; else empty."""
    refusal: Refusal | None = None
    """Set where there is no resource."""

    def means(self, other: Held | None) -> bool:
        """Tell whether both mean the same for routing."""
        return other is not None and (self.resource, self.refusal) == (other.resource, other.refusal)


def key_of(raw: Mapping[str, Any]) -> Key:
    """Return the key of an object; empty strings stand for what it does not say."""
    metadata = _mapping(raw.get("metadata"))
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def hold(raw: Mapping[str, Any], watched: Watched, version: str, known: Held | None = None) -> Held:
    """Read an object as the API has it; one that is known in this version is not read again.

    What cannot be read is logged, once for each version of the object, and held without a resource.
    """
    metadata = _mapping(raw.get("metadata"))
    uid, resource_version = str(metadata.get("uid") or ""), str(metadata.get("resourceVersion") or "")
    if known is not None and resource_version and (known.uid, known.resource_version) == (uid, resource_version):
        return known
    kept = {name: value for name, value in metadata.items() if name not in _BOOKKEEPING}
    annotations = kept.get("annotations")
    if isinstance(annotations, Mapping):
        kept["annotations"] = {name: value for name, value in annotations.items() if name != _LAST_APPLIED}
    # Entries of a list leave out what the list says already.
    body = {**raw, "apiVersion": watched.api_version(version), "kind": watched.kind, "metadata": kept}
    parsed = parse_object(body, Place("", None))
    _log(parsed.problems)
    status = _mapping(raw.get("status")) if watched.kind in STATUS_KINDS else _NO_STATUS
    refusal = _refusal(raw, parsed.problems) if parsed.object is None else None
    return Held(uid, resource_version, version, parsed.object, status, refusal)


def _refusal(raw: Mapping[str, Any], problems: Iterable[Problem]) -> Refusal:
    generation = _mapping(raw.get("metadata")).get("generation")
    refs = _mapping(raw.get("spec")).get("parentRefs")
    return Refusal(
        generation if isinstance(generation, int) else 0,
        "; ".join(map(str, problems))[:_LONGEST_MESSAGE],
        tuple(ref for ref in refs if isinstance(ref, Mapping)) if isinstance(refs, list) else (),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else _NO_STATUS


def _log(problems: Iterable[Problem]) -> None:
    for problem in problems:
        if problem.severity is Severity.ERROR:
            logger.error("%s; the object is left out", problem)
        else:
            logger.warning("%s", problem)
