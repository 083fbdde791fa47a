"""From texts to objects: everything that can be loaded is, and every problem is listed.

An object with a problem is left out and the others go on; whoever applies the result refuses it as a whole when an
error is among the problems.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from ..errors import Problem, Severity
from .backend import Backend, unsupported_fields
from .backend_traffic_policy import BackendTrafficPolicy, unsupported
from .empty_pools import empty_pools
from .inference_pool import INFERENCE_X_GROUP, InferencePoolV1Alpha2
from .inventory import Inventory
from .kinds import KINDS, Kind, is_foreign, suggestion, versions
from .manifest import read
from .objects import Resource
from .own_annotations import unknown_annotations
from .places import Place
from .wording import show, validation_problems

__all__ = ["Document", "Loaded", "Parsed", "add_object", "load", "parse_object"]

_DECLARED = {"declared": True}
"""The context of a validation of manifests: durations must be text."""


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one file."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """One object, or `None` when it is left out: it has an error, or is of a kind that we leave alone."""

    object: Resource | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the texts declare, with every problem in them, in the order of the texts."""

    inventory: Inventory
    problems: tuple[Problem, ...]


def load(documents: Iterable[Document]) -> Loaded:
    """Load every object of every document."""
    inventory = Inventory()
    problems: list[Problem] = []
    for document in documents:
        manifests, found = read(document.text, document.file)
        for manifest in manifests:
            for raw, place in _objects(manifest.value, Place(document.file, manifest.line, manifest.lines)):
                if isinstance(raw, Mapping):
                    parsed = parse_object(raw, place)
                    found += parsed.problems
                    if parsed.object is not None:
                        found += add_object(inventory, parsed.object)
                else:
                    message = f"a document must be an object, a mapping with apiVersion and kind, not {show(raw)}"
                    found.append(Problem(message, place.file, place.line))
        problems += sorted(found, key=lambda problem: problem.line or 0)
    problems += empty_pools(inventory)
    return Loaded(inventory, tuple(problems))


def _objects(value: object, place: Place) -> Iterator[tuple[object, Place]]:
    """Yield a document's object, or those of a `List`, such as `kubectl get -o yaml` writes."""
    if not isinstance(value, Mapping):
        yield value, place
        return
    kind, api_version, items = value.get("kind"), value.get("apiVersion"), value.get("items")
    if not (isinstance(kind, str) and kind.endswith("List") and isinstance(items, list)):
        yield value, place
        return
    typed = kind != "List"
    for index, item in enumerate(items):
        entry = item
        if typed and isinstance(item, Mapping):
            # Entries of a typed list, as the API answers it, may leave out what the list says already.
            entry = {"apiVersion": api_version, "kind": kind.removesuffix("List"), **item}
        at = place.at(("items", index))
        yield from _objects(entry, at)


def parse_object(raw: Mapping[str, object], place: Place) -> Parsed:
    """Parse one object, of a manifest or of the Kubernetes API.

    `place` tells where it stands; the lines of its fields come from there.
    """
    api_version, kind = raw.get("apiVersion"), raw.get("kind")
    missing = [
        Problem(f"an object must have {field}, a string", place.file, place.at((field,)).line)
        for field, value in (("apiVersion", api_version), ("kind", kind))
        if not (isinstance(value, str) and value)
    ]
    if missing or not isinstance(api_version, str) or not isinstance(kind, str):
        return Parsed(None, tuple(missing))
    known = KINDS.get((api_version, kind))
    if known is not None:
        return _parse_known(raw, known, kind, place)
    if is_foreign(api_version, kind):
        return Parsed(None)
    return Parsed(None, (_unknown_kind(api_version, kind, _title(raw, kind, False), place),))


def _unknown_kind(api_version: str, kind: str, title: str, place: Place) -> Problem:
    line = place.at(("apiVersion",)).line
    known = versions(api_version, kind)
    if known:
        return Problem(
            f"{kind} is not known in apiVersion {show(api_version)}",
            place.file,
            line,
            title,
            f"known: {', '.join(known)}",
        )
    return Problem(
        f"{kind} of apiVersion {show(api_version)} is not supported and ignored",
        place.file,
        line,
        title,
        suggestion(api_version, kind),
        Severity.WARNING,
    )


def _title(raw: Mapping[str, object], kind: str, cluster_scoped: bool) -> str:
    metadata = raw.get("metadata")
    given = metadata if isinstance(metadata, Mapping) else {}
    name = given.get("name") if isinstance(given.get("name"), str) else "?"
    namespace = given.get("namespace") or "default"
    return f"{kind} {name}" if cluster_scoped else f"{kind} {namespace}/{name}"


def _parse_known(raw: Mapping[str, object], known: Kind, kind: str, place: Place) -> Parsed:
    model = known.model
    title = _title(raw, kind, model.cluster_scoped)
    problems: list[Problem] = []
    body = _without_nulls(raw)
    assert isinstance(body, dict)
    if "status" not in model.model_fields:
        body.pop("status", None)
    metadata = body.get("metadata")
    if isinstance(metadata, dict):
        if model.cluster_scoped and metadata.get("namespace"):
            at = place.at(("metadata", "namespace"))
            message = f"a {kind} belongs to no namespace; the one given is ignored"
            problems.append(Problem(message, at.file, at.line, f"{title}: metadata.namespace", "", Severity.WARNING))
        namespace = "" if model.cluster_scoped else metadata.get("namespace") or "default"
        body["metadata"] = {**metadata, "namespace": namespace}
    try:
        parsed = model.model_validate(body, by_alias=True, by_name=False, context=_DECLARED)
    except ValidationError as error:
        return Parsed(None, (*problems, *validation_problems(error, model, title, place)))
    parsed.placed(place)
    if isinstance(parsed, InferencePoolV1Alpha2):
        parsed = parsed.to_v1()
    problems += unknown_annotations(parsed)
    if isinstance(parsed, BackendTrafficPolicy):
        problems += _without_effect(parsed, unsupported(parsed))
    elif isinstance(parsed, Backend):
        problems += _without_effect(parsed, unsupported_fields(parsed))
    return Parsed(parsed, tuple(problems))


def _without_effect(obj: Resource, paths: list[str]) -> Iterator[Problem]:
    for path in paths:
        at = obj.place.at(path)
        message = "is not honoured by this version and has no effect"
        yield Problem(message, at.file, at.line, f"{obj.title}: {path}", "", Severity.WARNING)


def _without_nulls(value: object) -> object:
    """Return mappings without the fields that are null, which the API server reads as not given."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in value]
    return value


def _collection(inventory: Inventory, obj: Resource) -> dict[tuple[str, str], Resource]:
    found: dict[tuple[str, str], Resource] = getattr(inventory, KINDS[obj.api_version, obj.kind].collection)
    return found


def add_object(inventory: Inventory, obj: Resource) -> list[Problem]:
    """Add an object to its collection; return the problem when it is there already."""
    objects = _collection(inventory, obj)
    first = objects.setdefault(obj.key, obj)
    if first is obj:
        return []
    where = first.place.file + (f":{first.place.line}" if first.place.line else "")
    severity, hint = Severity.WARNING, ""
    if first.group != obj.group:
        # Two objects for the API server, one for us, which is how a cluster looks between two releases.
        kept = obj if first.group == INFERENCE_X_GROUP else first
        objects[obj.key] = kept
        message = f"is declared in the groups {first.group} ({where}) and {obj.group}; that of {kept.group} is used"
    elif first == obj:
        message, hint = f"is declared twice, identically; the first is {where}", "remove one"
    else:
        severity, hint = Severity.ERROR, "remove one, or give it another name"
        message = f"is declared twice, differently; the first is {where}"
    return [Problem(message, obj.place.file, obj.place.line, obj.title, hint, severity)]
