"""The fields of a request body that are looked at, and careful looks at their values."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from .surrogates import repaired

__all__ = ["UNREADABLE", "RequestBody", "decode_body", "decoded", "member", "number", "string", "whole"]

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on input that it refuses: malformed, not UTF-8, nested too deeply."""

_NOTHING = msgspec.Raw(b"")


class RequestBody(msgspec.Struct):
    """The fields that are looked at, of all APIs together. `Raw` leaves a value's judgement to later."""

    model: str | None = None
    stream: msgspec.Raw = _NOTHING
    stream_options: msgspec.Raw = _NOTHING
    max_tokens: msgspec.Raw = _NOTHING
    max_completion_tokens: msgspec.Raw = _NOTHING
    max_output_tokens: msgspec.Raw = _NOTHING
    temperature: msgspec.Raw = _NOTHING
    n: msgspec.Raw = _NOTHING
    seed: msgspec.Raw = _NOTHING
    cache_salt: msgspec.Raw = _NOTHING
    messages: msgspec.Raw = _NOTHING
    system: msgspec.Raw = _NOTHING
    prompt: msgspec.Raw = _NOTHING
    input: msgspec.Raw = _NOTHING
    instructions: msgspec.Raw = _NOTHING
    tools: msgspec.Raw = _NOTHING
    response_format: msgspec.Raw = _NOTHING
    text: msgspec.Raw = _NOTHING
    user: msgspec.Raw = _NOTHING
    metadata: msgspec.Raw = _NOTHING
    conversation: msgspec.Raw = _NOTHING
    conversation_id: msgspec.Raw = _NOTHING
    session_id: msgspec.Raw = _NOTHING
    session_params: msgspec.Raw = _NOTHING
    prompt_cache_key: msgspec.Raw = _NOTHING


_body = msgspec.json.Decoder(RequestBody)
_any = msgspec.json.Decoder()


def decode_body(body: bytes) -> RequestBody:
    try:
        return _body.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if b"\\u" not in body:
            raise
        return _body.decode(repaired(body))


def decoded(raw: msgspec.Raw) -> Any:
    """Decode a field, `None` when it is absent or unreadable; the model server says what is wrong with it."""
    if not raw:
        return None
    try:
        return _any.decode(raw)
    except UNREADABLE:
        return None


def number(raw: msgspec.Raw) -> float | None:
    """Decode a number; infinity for one that no double holds, `None` for anything else."""
    if not raw:
        return None
    try:
        value = _any.decode(raw)
    except msgspec.ValidationError:
        return math.inf
    except UNREADABLE:
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def string(raw: msgspec.Raw) -> str | None:
    value = decoded(raw)
    return value if isinstance(value, str) else None


def member(raw: msgspec.Raw, name: str) -> Any:
    value = decoded(raw)
    return value.get(name) if isinstance(value, dict) else None
