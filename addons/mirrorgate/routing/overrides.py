"""Answers that are replaced by others: by status, header and origin.

Envoy Gateway, `BackendTrafficPolicy.responseOverride` v1alpha1. The first override that fits an answer applies.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..resources.traffic_limits import (
    CustomRedirect,
    CustomResponse,
    ResponseHeaderMatch,
    ResponseOverride,
    body_commands,
)
from .regexes import Regex

__all__ = ["Answered", "FieldMatch", "Origin", "Override", "OverrideRedirect", "Replacement", "compile_overrides"]

Fields = Sequence[tuple[bytes, bytes]]


class Origin(enum.StrEnum):
    """Whose answers an override is for."""

    ALL = "All"
    LOCAL = "Local"
    """The gateway's own."""
    BACKEND = "Backend"


@dataclass(frozen=True, slots=True)
class Answered:
    """What is known of an answer that may be replaced."""

    status: int
    flag: str
    details: str
    body: str
    """The text of an answer of the gateway's own, empty for a server's, which is not read."""
    method: str
    protocol: str


@dataclass(frozen=True, slots=True)
class FieldMatch:
    """One of an answer's header fields (name lower case): `regex` matches the whole value."""

    name: bytes
    regex: Regex

    def holds(self, fields: Fields) -> bool:
        values = [value.decode("latin-1") for name, value in fields if name.lower() == self.name]
        return bool(values) and self.regex.fits(",".join(values))


@dataclass(frozen=True, slots=True)
class Replacement:
    """What is sent instead. `None` keeps the status; a body of `None` is none."""

    status: int | None
    content_type: str | None
    body: str | None
    fields: tuple[tuple[bytes, bytes], ...] = ()

    def text(self, answered: Answered) -> str:
        """Return the body, with what it asks of the answer put in; into JSON as the inside of a string."""
        if self.body is None or "%" not in self.body:
            return self.body or ""
        known = {
            "RESPONSE_CODE": str(answered.status),
            "RESPONSE_FLAGS": answered.flag,
            "RESPONSE_CODE_DETAILS": answered.details,
            "LOCAL_REPLY_BODY": answered.body,
            "PROTOCOL": answered.protocol,
            "REQ(:METHOD)": answered.method,
        }
        quoted = "json" in (self.content_type or "")
        parts: list[str] = []
        for literal, command in body_commands(self.body):
            value = known.get(command, "") if command else ""
            parts += (literal, json.dumps(value)[1:-1] if quoted else value)
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class OverrideRedirect:
    """Where the client is sent. `None` is the request's own; the query of the request is kept with its path."""

    status: int
    scheme: str | None
    hostname: str | None
    port: int | None
    path: str | None


@dataclass(frozen=True, slots=True)
class Override:
    statuses: tuple[tuple[int, int], ...]
    """Ranges, both ends included; empty is any status."""
    fields: tuple[FieldMatch, ...]
    origin: Origin
    action: Replacement | OverrideRedirect

    def fits(self, status: int, fields: Fields, *, local: bool) -> bool:
        """Tell whether an answer is replaced by this override."""
        if self.origin is not Origin.ALL and local != (self.origin is Origin.LOCAL):
            return False
        if self.statuses and not any(first <= status <= last for first, last in self.statuses):
            return False
        return all(match.holds(fields) for match in self.fields)


def compile_overrides(declared: Iterable[ResponseOverride]) -> tuple[Override, ...]:
    """Compile those that can be honoured, in their order."""
    return tuple(_compiled(declared))


def _compiled(declared: Iterable[ResponseOverride]) -> Iterator[Override]:
    for override in declared:
        action = override.response if override.response is not None else override.redirect
        if action is None or not override.doable:
            continue
        yield Override(
            statuses=tuple(code.bounds for code in override.match.status_codes),
            fields=tuple(map(_field, override.match.response_headers)),
            origin=Origin(override.source or "All"),
            action=_replacement(action) if isinstance(action, CustomResponse) else _redirect(action),
        )


def _field(declared: ResponseHeaderMatch) -> FieldMatch:
    value, kind = declared.value.value, declared.value.type
    before, after = (".*" if kind == "Suffix" else ""), (".*" if kind == "Prefix" else "")
    # As it was checked: within other text a pattern may mean something else, or nothing.
    pattern = value if kind == "RegularExpression" else f"{before}{re.escape(value)}{after}"
    return FieldMatch(declared.name.lower().encode(), Regex(pattern))


def _replacement(declared: CustomResponse) -> Replacement:
    fields: list[tuple[bytes, bytes]] = []
    if declared.header is not None:
        set_ = {item.name.lower(): item.value for item in declared.header.set}
        fields += [(name.encode(), value.encode("utf-8")) for name, value in set_.items()]
        fields += [(item.name.lower().encode(), item.value.encode("utf-8")) for item in declared.header.add]
    body = None if declared.body is None else declared.body.inline
    return Replacement(declared.status_code, declared.content_type or None, body, tuple(fields))


def _redirect(declared: CustomRedirect) -> OverrideRedirect:
    path = None if declared.path is None else declared.path.replace_full_path
    return OverrideRedirect(declared.status_code, declared.scheme, declared.hostname, declared.port, path)
