"""Is a value valid against a JSON Schema that a client sent: judged within a budget, or not at all.

The schema is a stranger's: it may refer to other hosts, recurse without end, double at every reference, or hold
patterns that backtrack for hours. So references leave the document never, work is counted, patterns are estimated
first, and what goes beyond a bound has no answer instead of a late one. Draft 2020-12 is assumed, as in the OpenAI
API. `unevaluatedProperties` and `unevaluatedItems` are not judged, nor is `format`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import extend
from referencing import Registry

from ..inference.lenient_json import JsonError, decoded
from .patterns import worst_cost

__all__ = ["SchemaCheck", "schema_check"]

_MOST_SCHEMA_BYTES = 64 << 10
_MOST_NODES = 5_000
_DEEPEST = 64
_MOST_STEPS = 50_000
_MOST_PATTERN_STEPS = 1_000_000
_LONGEST_NAME = 256

_Keyword = Callable[[Any, Any, Any, Any], Any]


class _Spent(Exception):
    """The budget of one judgement is used up."""


_steps_left: ContextVar[list[int]] = ContextVar("steps_left")


def _charge(steps: int) -> None:
    left = _steps_left.get()
    left[0] -= steps
    if left[0] < 0:
        raise _Spent


def _charged(keyword: _Keyword) -> _Keyword:
    """Count each use of a keyword, with the size of what it looks at."""

    @functools.wraps(keyword)
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        size = len(value) if isinstance(value, dict | list) else 1
        _charge(1 + size + (len(instance) if isinstance(instance, dict | list) else 0))
        yield from keyword(validator, value, instance, schema) or ()

    return counted


def _pattern(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and isinstance(value, str):
        if worst_cost(value, len(instance)) > _MOST_PATTERN_STEPS:
            raise _Spent
        yield from _KEYWORDS["pattern"](validator, value, instance, schema) or ()


def _named(keyword: _Keyword) -> _Keyword:
    """Guard a keyword that applies patterns to the names of fields."""

    def guarded(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, dict) and any(len(name) > _LONGEST_NAME for name in instance):
            raise _Spent
        yield from keyword(validator, value, instance, schema) or ()

    return guarded


def _unique(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, list):
        # What cannot be sorted is compared each with each.
        _charge(len(instance) ** 2)
    yield from _KEYWORDS["uniqueItems"](validator, value, instance, schema) or ()


def _nothing(validator: Any, value: Any, instance: Any, schema: Any) -> tuple[()]:
    return ()


_KEYWORDS: dict[str, _Keyword] = dict(Draft202012Validator.VALIDATORS)
_Validator: Any = extend(  # type: ignore[no-untyped-call]  # jsonschema types no more than its validators
    Draft202012Validator,
    {
        **{name: _charged(keyword) for name, keyword in _KEYWORDS.items()},
        "pattern": _pattern,
        "patternProperties": _charged(_named(_KEYWORDS["patternProperties"])),
        "additionalProperties": _charged(_named(_KEYWORDS["additionalProperties"])),
        "uniqueItems": _unique,
        "unevaluatedProperties": _nothing,
        "unevaluatedItems": _nothing,
    },
)


class SchemaCheck:
    """One schema, ready to judge values."""

    __slots__ = ("_validator", "reason")

    def __init__(self, schema: Any) -> None:
        self.reason = _objection(schema)
        """Why no value can be judged by this schema, empty when values can."""
        self._validator: Any = None
        if not self.reason:
            try:
                self._validator = _Validator(_undialected(schema), registry=Registry())
            except Exception as error:
                # As in `valid`: a malformed schema fails in ways of the library's own.
                self.reason = f"malformed: {type(error).__name__}"

    def valid(self, value: Any) -> bool | None:
        """Say whether a value is valid; `None` when the schema is at fault, or the work exceeds the budget."""
        if self._validator is None:
            return None
        token = _steps_left.set([_MOST_STEPS])
        try:
            return bool(self._validator.is_valid(value))
        except Exception:
            # A malformed schema makes the library fail in ways of its own: it judges nothing, whatever they are.
            return None
        finally:
            _steps_left.reset(token)


@functools.lru_cache(maxsize=128)
def schema_check(schema: bytes) -> SchemaCheck | None:
    """Compile a schema from its JSON, `None` when it is none or too large; the last 128 are kept."""
    if len(schema) > _MOST_SCHEMA_BYTES:
        return None
    try:
        value = decoded(schema)
    except JsonError:
        return None
    return SchemaCheck(value) if isinstance(value, dict | bool) else None


def _objection(schema: Any) -> str:
    """Walk the schema once and name what is not accepted in it."""
    nodes = 0
    stack: list[tuple[Any, int]] = [(schema, 0)]
    while stack:
        value, depth = stack.pop()
        nodes += 1
        if nodes > _MOST_NODES or depth > _DEEPEST:
            return "too large"
        if isinstance(value, list):
            stack.extend((item, depth + 1) for item in value)
        if not isinstance(value, dict):
            continue
        for name in ("$ref", "$dynamicRef"):
            target = value.get(name)
            if isinstance(target, str) and not target.startswith("#"):
                return "refers to another document"
        named = value.get("patternProperties")
        if isinstance(named, dict) and any(worst_cost(key, _LONGEST_NAME) > _MOST_PATTERN_STEPS for key in named):
            return "has a pattern that may take too long"
        stack.extend((item, depth + 1) for item in value.values())
    return ""


def _undialected(schema: Any) -> Any:
    """Return the schema without `$schema` and `$id`.

    A subschema that names a dialect would be judged without our bounds, and one with an identifier would move what
    `#/...` refers to, which clients never mean.
    """
    if isinstance(schema, dict):
        return {
            name: _undialected(value)
            for name, value in schema.items()
            if name not in ("$schema", "$id") or isinstance(value, dict)
        }
    return [_undialected(item) for item in schema] if isinstance(schema, list) else schema
