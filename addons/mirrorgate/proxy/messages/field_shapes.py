"""What the names of a message's fields say, without their values.

A client sends the same names in the same order, request after request, and so does a server. Which fields are passed
on, and where those stand that mean something here, is worked out once for each such list of names.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from ...inference.pool_headers import speaks_to_pools

__all__ = ["HOP_BY_HOP", "AnswerShape", "RequestShape", "answer_shape", "names_of", "request_shape", "spoken_for_us"]

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade", b"trailer")
)
"""RFC 9110, 7.6.1: of this connection, so never forwarded."""

_OURS = frozenset(
    (
        b"content-length",
        b"expect",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-request-id",
        b"x-gateway-destination-endpoint",
        b"x-gateway-destination-endpoint-subset",
        b"x-gateway-destination-endpoint-served",
        b"x-gateway-model-name-rewrite",
        b"test-epp-endpoint-selection",
        b"x-forwarded-client-cert",
    )
)
"""Fields that the gateway writes itself, or that a client must not be able to set: those of the endpoint picker
protocol, and a certificate that nobody has checked."""

_RESERVED = (b"x-envoy-", b"x-mirrorgate-")
"""Names that only a proxy may speak by: servers behind us believe them."""

_MARK = b"x-mirrorgate-leg"
"""The one that is passed on: a copy of another gateway's must not be mirrored again further on."""

_NOT_BACK = HOP_BY_HOP | {b"content-length"}


_PLAIN = (
    (b"host", 1, 1),
    (b"content-length", 0, 1),
    (b"user-agent", 0, 1),
    (b"content-type", 0, 1),
    (b"x-forwarded-for", 0, 1),
    (b"transfer-encoding", 0, 0),
    (b"upgrade", 0, 0),
    (b"expect", 0, 0),
)
"""How often each field may be there that means something, least and most, so that there is nothing to be decided."""


class RequestShape(msgspec.Struct, frozen=True):
    """The fields of a request. Places are indexes, -1 where there is none."""

    kept: tuple[bool, ...]
    """For each field whether it is passed on."""
    forwarded: tuple[int, ...]
    """Of X-Forwarded-For."""
    connection: tuple[int, ...]
    plain: bool
    """Whether no field that means something is repeated, and there is one Host and nothing about framing but a length:
    then the places below are those fields'."""
    host: int
    length: int
    agent: int
    content_type: int
    to_pool: bool
    """Whether a field may speak to an InferencePool's picker."""


_PLAIN_BACK = ((b"content-length", 0, 1), (b"content-type", 0, 1), (b"transfer-encoding", 0, 0))
"""The same for an answer."""


class AnswerShape(msgspec.Struct, frozen=True):
    """The fields of an answer."""

    kept: tuple[bool, ...]
    connection: tuple[int, ...]
    length: int | None
    dated: bool
    date: int
    """Its place, -1 where there is none, or more than one."""
    plain: bool
    """Whether no field that means something is repeated, and there is nothing about framing but a length."""
    content_type: int
    """Its place, -1 where there is none."""
    alt_svc: bool


def names_of(fields: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, ...]:
    """Return the names of fields, without a loop in Python."""
    return next(zip(*fields, strict=True), ())


@lru_cache(maxsize=256)
def request_shape(names: tuple[bytes, ...]) -> RequestShape:
    """Look at the names of a request's fields."""
    lower = [name.lower() for name in names]
    places = {name: place for place, name in enumerate(lower)}
    return RequestShape(
        kept=tuple(name == _MARK or not (name in HOP_BY_HOP or spoken_for_us(name)) for name in lower),
        forwarded=_places(lower, b"x-forwarded-for"),
        connection=_places(lower, b"connection"),
        plain=_is_plain(lower, _PLAIN),
        host=places.get(b"host", -1),
        length=places.get(b"content-length", -1),
        agent=places.get(b"user-agent", -1),
        content_type=places.get(b"content-type", -1),
        to_pool=any(map(speaks_to_pools, lower)),
    )


@lru_cache(maxsize=256)
def answer_shape(names: tuple[bytes, ...]) -> AnswerShape:
    """Look at the names of an answer's fields."""
    lower = [name.lower() for name in names]
    lengths = _places(lower, b"content-length")
    kept = tuple(name not in _NOT_BACK for name in lower)
    return AnswerShape(
        kept=kept,
        connection=_places(lower, b"connection"),
        length=lengths[-1] if lengths else None,
        dated=b"date" in lower,
        date=lower.index(b"date") if lower.count(b"date") == 1 else -1,
        plain=_is_plain(lower, _PLAIN_BACK),
        content_type=lower.index(b"content-type") if b"content-type" in lower else -1,
        alt_svc=b"alt-svc" in lower,
    )


def spoken_for_us(name: bytes) -> bool:
    """Tell whether a field is one that only a proxy may write, or is read as one: to servers that know fields as
    variables (WSGI, CGI) an underscore is a hyphen."""
    if b"_" in name:
        name = name.replace(b"_", b"-")
        return name in _OURS or name in HOP_BY_HOP or name.startswith(_RESERVED)
    return name in _OURS or name.startswith(_RESERVED)


def _is_plain(names: list[bytes], wanted: tuple[tuple[bytes, int, int], ...]) -> bool:
    return all(least <= names.count(name) <= most for name, least, most in wanted)


def _places(names: list[bytes], wanted: bytes) -> tuple[int, ...]:
    return tuple(place for place, name in enumerate(names) if name == wanted)
