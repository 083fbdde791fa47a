"""Embeddings of the OpenAI API, as arrays of numbers or as base64 of little-endian 32-bit floats."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Any

from .lenient_json import integer, items, mapping, number

__all__ = ["read_vectors"]


def read_vectors(value: Any) -> tuple[tuple[float, ...], ...]:
    """Read the vectors of an answer in the order of their `index`; one that cannot be read is empty."""
    found: list[tuple[int, tuple[float, ...]]] = []
    for position, raw in enumerate(items(mapping(value).get("data"))):
        entry = mapping(raw)
        index = integer(entry.get("index"))
        found.append((position if index is None else index, _vector(entry.get("embedding"))))
    return tuple(vector for _, vector in sorted(found, key=lambda pair: pair[0]))


def _vector(raw: Any) -> tuple[float, ...]:
    if isinstance(raw, str):
        try:
            data = base64.b64decode(raw, validate=True)
        except (binascii.Error, ValueError):
            return ()
        if len(data) % 4:
            return ()
        floats = struct.unpack(f"<{len(data) // 4}f", data)
        return floats if all(value - value == 0 for value in floats) else ()
    numbers = [number(value) for value in items(raw)]
    return () if None in numbers else tuple(value for value in numbers if value is not None)
