"""One captured exchange, whatever the format that it was read from, and what cannot be sent again."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

from ..records import Headers

__all__ = ["BODY_LIMIT", "Captured", "Item", "Passed", "Recorded", "Skip", "field_of"]

BODY_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of one captured exchange; a larger one is passed by."""


class Skip(enum.StrEnum):
    """Why an exchange of a capture is not sent."""

    DAMAGED = "damaged"
    """The file has something else here: cut off, malformed, larger than any exchange."""
    FILTERED = "filtered"
    SAMPLED_OUT = "sampled out"
    OTHER_SHARD = "other shard"
    DONE = "done before"
    """An earlier run of the same journal has compared it."""
    DUPLICATE = "duplicate"
    """Its id is under way already."""
    UNSAFE_METHOD = "unsafe method"
    """Not GET, HEAD or OPTIONS, and no inference."""
    SERVER_TOOLS = "server-side tools"
    """The server would execute tools by itself."""
    SHADOW_LEG = "a shadow's own"
    REFUSED = "refused by the gateway"
    CLIENT_LEFT = "client left"
    NO_ANSWER = "no recorded answer"
    NO_CONTENT = "no content"
    """A journal that was kept without it."""
    REDACTED = "redacted"
    """The prompt is not the one that the recorded answer belongs to."""
    NO_REQUEST_BODY = "no request body"
    NO_ROUTE = "no route"
    NO_MIRROR = "no mirror"
    NOT_HTTP = "not HTTP"


@dataclass(frozen=True, slots=True)
class Recorded:
    """The answer that the client got. Times are seconds since the exchange's start."""

    status: int
    headers: Headers
    chunks: list[bytes]
    times: list[float]
    """Arrival of each chunk; empty when the capture does not know, so that no latency is compared."""
    outcome: str = "complete"
    """In the words of `records.ExchangeFinished`."""
    flag: str = "-"
    upstream_started: float = 0.0
    head_at: float = 0.0
    finished: float = 0.0
    truncated: bool = False

    @property
    def size(self) -> int:
        return sum(map(len, self.chunks))


@dataclass(frozen=True, slots=True)
class Captured:
    """One request, with the answer that it got if the capture has it."""

    id: str
    method: str
    path: str
    """Request target in origin form, query included."""
    host: str
    """Host, with or without port; empty when unknown."""
    headers: Headers
    body: bytes
    started: float | None = None
    """Unix time; `None` when the capture does not tell."""
    answer: Recorded | None = None
    endpoint: str = ""
    """Of the recorded answer, `host:port`."""
    target_model: str | None = None
    """The model that the recorded answer's server was asked for, when the gateway rewrote it."""
    unanswered: Skip = Skip.NO_ANSWER
    """Why there is no recorded answer to compare with, where there is none."""
    size: int = field(init=False)
    """Bytes that it holds in memory, about."""

    def __post_init__(self) -> None:
        answer = 0 if self.answer is None else self.answer.size
        object.__setattr__(self, "size", len(self.body) + answer + 2048)


@dataclass(frozen=True, slots=True)
class Passed:
    """A place of a capture where nothing can be sent."""

    reason: Skip
    detail: str = ""


Item = Captured | Passed


def field_of(headers: Headers, name: bytes) -> str | None:
    """Return the first field of this lower-case name, `None` when there is none."""
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)
