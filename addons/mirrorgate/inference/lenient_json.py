"""JSON that others wrote, decoded leniently and looked at without surprises.

Model servers are mostly Python, whose encoder writes `NaN`, `Infinity` and lone surrogates; those are read here,
since a completion with an odd log probability is still a completion.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

__all__ = ["JsonError", "decoded", "integer", "items", "mapping", "number", "string", "written"]

_decoder = msgspec.json.Decoder()
_NONE: dict[str, Any] = {}


class JsonError(ValueError):
    """The text is not JSON, even leniently."""


def decoded(data: bytes | str) -> Any:
    """Decode JSON; raises `JsonError` only."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError):
        pass
    except RecursionError:
        raise JsonError("nested too deeply") from None
    try:
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        value = json.loads(text)
        # Lone surrogates cannot leave as UTF-8 again: what reads as text from here on is sound Unicode.
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise JsonError(str(error)) from None


def mapping(value: Any) -> dict[str, Any]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else _NONE


def items(value: Any) -> list[Any]:
    """Return the value if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def string(value: Any) -> str:
    """Return the value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def integer(value: Any) -> int | None:
    """Return the value if it is a whole number, else `None`."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: Any) -> float | None:
    """Return the value if it is a finite number, else `None`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if result - result == 0 else None


def written(value: Any) -> str:
    """Write a JSON value as compact text; numbers that JSON cannot carry become `null`."""
    try:
        return msgspec.json.encode(value).decode()
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
