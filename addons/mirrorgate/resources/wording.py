"""How the findings of a validation read to the person who wrote the manifest."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import Problem
from .objects import Resource
from .places import Place, Step, format_path
from .scalars import PATTERNS

__all__ = ["show", "validation_problems"]

_WANTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "bytes_type": "text in base64",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_BOUNDS = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}


def validation_problems(error: ValidationError, model: type[Resource], title: str, place: Place) -> list[Problem]:
    """Return a problem for each finding, at its line and under its field path.

    The values of a Secret are never repeated.
    """
    secret = model.__name__ == "Secret"
    problems = []
    for detail in error.errors(include_url=False):
        if _is_echo(detail):
            continue
        steps = tuple(step for step in detail["loc"] if step != "[key]")
        message, hint = _words(detail, model, steps, secret)
        at = place.at(steps)
        path = f"{title}: {format_path(steps)}" if steps else title
        problems.append(Problem(message, at.file, at.line, path, hint))
    return problems


def show(value: object) -> str:
    """Write a value as a manifest has it, cut when it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_echo(detail: ErrorDetails) -> bool:
    """Tell whether a finding only follows from others: a list is "too short" by the entries that are wrong."""
    given = detail["input"]
    if detail["type"] != "too_short" or not isinstance(given, list):
        return False
    minimum: int = detail["ctx"]["min_length"]
    return len(given) >= minimum


def _words(detail: ErrorDetails, model: type[Resource], steps: tuple[Step, ...], secret: bool) -> tuple[str, str]:
    """Return message and hint."""
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    shown = "" if secret else f", not {show(given)}"
    if kind == "missing":
        return "is required", ""
    if kind == "extra_forbidden":
        return f"unknown field {show(steps[-1])}", _known_fields(model, steps)
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}{shown}", "" if secret else _quoting(kind, given)
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {context[name]}{shown}", ""
    if kind == "literal_error":
        return _choice(str(context["expected"]), given, shown)
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return f"must be {PATTERNS.get(pattern, f'text that matches {pattern}')}{shown}", ""
    if kind in ("too_long", "string_too_long", "too_short", "string_too_short"):
        return _length(kind, context, given), ""
    if kind == "finite_number":
        return "must be a finite number", ""
    return detail["msg"], str(context.get("hint", ""))


def _choice(expected: str, given: object, shown: str) -> tuple[str, str]:
    hint = ""
    if isinstance(given, str):
        choices = [entry.strip(" '") for entry in expected.replace(" or ", ", ").split(",")]
        near = _nearest(given, choices)
        hint = f"did you mean {near}?" if near else ""
    return f"must be {expected}{shown}", hint


def _length(kind: str, context: Mapping[str, object], given: object) -> str:
    unit = "character" if kind.startswith("string") else "entry"
    bound = context["max_length" if kind.endswith("long") else "min_length"]
    words = "at most" if kind.endswith("long") else "at least"
    plural = unit if bound == 1 else {"character": "characters", "entry": "entries"}[unit]
    length = f", not {len(given)}" if isinstance(given, str | list | tuple | dict) else ""
    return f"must have {words} {bound} {plural}{length}"


def _quoting(kind: str, given: object) -> str:
    if kind == "string_type" and isinstance(given, bool | int | float):
        return "put it in quotes to make it a string"
    if kind in ("int_type", "float_type") and isinstance(given, str) and given.lstrip("-").isdecimal():
        return "take the quotes off"
    if kind == "bool_type" and isinstance(given, str) and given.lower() in ("true", "false"):
        return "take the quotes off"
    return ""


def _known_fields(model: type[BaseModel], steps: tuple[Step, ...]) -> str:
    """Return a hint with the field that is meant, or with those that are known there."""
    shape: type[BaseModel] = model
    for step in steps[:-1]:
        if isinstance(step, str):
            inner = [_shape_in(field.annotation) for field in shape.model_fields.values() if field.alias == step]
            shape = next(filter(None, inner), shape)
    names = [str(field.alias) for field in shape.model_fields.values()]
    near = _nearest(str(steps[-1]), names)
    return f"did you mean {near}?" if near else f"known here: {', '.join(sorted(names))}"


def _shape_in(annotation: object) -> type[BaseModel] | None:
    """Return the shape inside `X | None`, `tuple[X, ...]`, `dict[str, X]` and their like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_shape_in, get_args(annotation))), None)


def _nearest(word: str, known: list[str]) -> str:
    by_folded = {_fold(name): name for name in known}
    near = difflib.get_close_matches(_fold(word), list(by_folded), 1, 0.7)
    return by_folded[near[0]] if near else ""


def _fold(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
