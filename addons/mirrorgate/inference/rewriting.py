"""Replace the model of a request body and leave the rest as the client wrote it."""

from __future__ import annotations

import re

import msgspec

from .surrogates import repaired

__all__ = ["with_model"]


class _Named(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw(b"")


_named = msgspec.json.Decoder(_Named)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KEY = re.compile(rb'"model"[ \t\r\n]*:[ \t\r\n]*')


def with_model(body: bytes, model: str) -> bytes:
    """Return the body with its top-level `model` set; a body without one gets one.

    Where the name `model` stands in the body once, only its value changes. Where it stands more often (a tool with
    an argument of that name, or a duplicate field) the object is written anew: every other value keeps its bytes
    and its place, space between fields goes, and of duplicate fields the last stays, so that gateway and server
    cannot read different models. Escaped lone surrogates, which are no text, become U+FFFD.

    Raises `ValueError` when the body is not a JSON object or the model is no Unicode text.
    """
    value = msgspec.json.encode(model)
    try:
        try:
            return _with_value(body, value)
        except msgspec.DecodeError:
            if b"\\u" not in body:
                raise
            return _with_value(repaired(body), value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the body is not a JSON object: {error}") from error


def _with_value(body: bytes, value: bytes) -> bytes:
    old = bytes(_named.decode(body).model)
    return (_spliced(body, old, value) if old else None) or _rewritten(body, value)


def _spliced(body: bytes, old: bytes, value: bytes) -> bytes | None:
    places = _KEY.finditer(body)
    place = next(places, None)
    if place is None or next(places, None) is not None or not body.startswith(old, place.end()):
        return None
    result = body[: place.end()] + value + body[place.end() + len(old) :]
    # The one textual match may be a nested field, when the top-level name is written with escapes.
    return result if bytes(_named.decode(result).model) == value else None


def _rewritten(body: bytes, value: bytes) -> bytes:
    members = _members.decode(body)
    if "model" not in members:
        members = {"model": msgspec.Raw(value), **members}
    else:
        members["model"] = msgspec.Raw(value)
    return msgspec.json.encode(members)
