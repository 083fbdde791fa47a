"""Values that fit a JSON schema, made from a seed: what a model with structured output would say."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from .vocabulary import SLOTS

__all__ = ["example"]

_MAX_DEPTH = 8


def example(schema: Mapping[str, Any], seed: int, text: str = "") -> Any:
    """Return a value that fits the schema, the same for the same seed.

    Strings are names that occur in `text` where it has any. Of JSON Schema the common part is honoured: `type`, `enum`,
    `const`, `properties`, `required`, `items`, lengths, bounds, `anyOf`, `oneOf`, `allOf` and local `$ref`.
    """
    names = [word for word in re.findall(r"\b[A-Z]\w+", text)[1:] if word.lower() != "i"]
    return _value(schema, schema, random.Random(seed), names, 0)


def _value(schema: Any, root: Mapping[str, Any], rng: random.Random, names: list[str], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    if isinstance(reference := schema.get("$ref"), str):
        return _value(_resolve(reference, root), root, rng, names, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return rng.choice(list(schema["enum"]))
    for word in ("anyOf", "oneOf", "allOf"):
        if schema.get(word):
            return _value(schema[word][0], root, rng, names, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind == "object" or (kind is None and "properties" in schema):
        return _object(schema, root, rng, names, depth)
    if kind == "array":
        low = int(schema.get("minItems", 1))
        count = max(low, min(int(schema.get("maxItems", low + 1)), low + rng.randrange(2)))
        return [_value(schema.get("items", {}), root, rng, names, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        return _number(schema, kind, rng)
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "null":
        return None
    return _string(schema, rng, names)


def _object(
    schema: Mapping[str, Any], root: Mapping[str, Any], rng: random.Random, names: list[str], depth: int
) -> Any:
    properties = schema.get("properties") or {}
    required = schema.get("required") or []
    chosen = [name for name in properties if name in required or rng.random() < 0.5] or list(properties)[:1]
    return {name: _value(properties[name], root, rng, names, depth + 1) for name in chosen}


def _number(schema: Mapping[str, Any], kind: str, rng: random.Random) -> int | float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 100))
    low, high = low + ("exclusiveMinimum" in schema), high - ("exclusiveMaximum" in schema)
    if kind == "integer":
        return rng.randint(int(low), max(int(low), int(high)))
    return round(rng.uniform(low, max(low, high)), 2)


def _string(schema: Mapping[str, Any], rng: random.Random, names: list[str]) -> str:
    formats = {"date": "2026-11-22", "date-time": "2026-11-22T06:00:00Z", "email": "ada@example.com"}
    if schema.get("format") in formats:
        return formats[schema["format"]]
    text = rng.choice(names) if names else rng.choice(SLOTS["noun"])
    while len(text) < int(schema.get("minLength", 0)):
        text += " " + rng.choice(SLOTS["noun"])
    return text[: int(schema.get("maxLength", len(text)))]


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found
