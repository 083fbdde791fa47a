"""Every field of every kind that is known, and what this version does with it: `python -m mirrorgate.resources.fields`.

The fields are those of the models that parse manifests, so that the document cannot forget one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from .backend_traffic_policy import honours
from .field_marks import MARKS, Mark, Support
from .kinds import KINDS
from .objects import Resource

__all__ = ["Field", "document", "fields_of", "shown_kinds"]

_COMMON = ("apiVersion", "kind", "metadata")
_HEAD = """# Fields

What Mirrorgate does with each field of each kind. Written by `python -m mirrorgate.resources.fields > docs/fields.md`
from the models that parse manifests; a test keeps it equal. A field stands for all below it that is not listed.
"""


@dataclass(frozen=True, slots=True)
class Field:
    path: str
    mark: Mark | None
    """`None` for a field that nobody has marked, which a test does not allow."""


def shown_kinds() -> dict[str, tuple[type[Resource], str]]:
    """Return each kind's model and apiVersion, the newest of several."""
    found: dict[str, tuple[type[Resource], str]] = {}
    for (api_version, name), kind in KINDS.items():
        found.setdefault(name, (kind.model, api_version))
    return found


def fields_of(name: str, model: type[Resource]) -> Iterator[Field]:
    """Yield the fields of a kind: down to where a mark holds for all that is below."""
    model.model_rebuild()  # fields have no aliases before a validator is built, which is done when one is needed
    for path, inner in _children(model, ""):
        if path not in _COMMON:
            yield from _described(name, path, inner, None)


def _described(name: str, path: str, inner: type[BaseModel] | None, inherited: Mark | None) -> Iterator[Field]:
    mark = _mark(name, path) or inherited
    if inner is not None and _has_marks_below(name, path):
        for child, deeper in _children(inner, path):
            yield from _described(name, child, deeper, mark)
    else:
        yield Field(path, mark)


def _mark(name: str, path: str) -> Mark | None:
    if name != "BackendTrafficPolicy" or path in MARKS[name]:
        return MARKS[name].get(path)
    honoured = honours(path.removeprefix("spec."))
    return None if honoured is None else Mark(Support.YES) if honoured else Mark(Support.NO, "a warning, no effect")


def _has_marks_below(name: str, path: str) -> bool:
    if name == "BackendTrafficPolicy":
        return path == "spec" or honours(path.removeprefix("spec.")) is None
    return any(known.startswith(f"{path}.") for known in MARKS[name])


def _children(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel] | None]]:
    for field_name, field in model.model_fields.items():
        dotted = f"{path}.{field.alias or field_name}" if path else field.alias or field_name
        yield dotted, _model_in(field.annotation)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that an annotation holds, in whatever list or option."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, tuple, Annotated):
        return next((found for each in get_args(annotation) if (found := _model_in(each)) is not None), None)
    return None


def document() -> str:
    """Return the document."""
    parts = [_HEAD]
    for name, (model, api_version) in shown_kinds().items():
        rows = list(fields_of(name, model))
        if not rows:
            continue
        parts.append(f"\n## {name} ({api_version})\n\n| field | | |\n| --- | --- | --- |\n")
        for row in rows:
            mark = row.mark or Mark(Support.NO, "?")
            parts.append(f"| `{row.path}` | {mark.support.value} | {mark.note} |\n")
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(document())
