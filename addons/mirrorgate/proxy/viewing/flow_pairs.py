"""What ties the flows of a pair together: metadata of plain values, so that saved flows keep it.

An unmodified mitmproxy reads the files, and `~meta` finds the values.
"""

from __future__ import annotations

from typing import Any

import msgspec
from mitmproxy import http

from ...records import Compared

__all__ = [
    "AGAIN",
    "ENDPOINT",
    "LEG",
    "LINKS",
    "MIRROR",
    "NUMBERS",
    "PREFIX",
    "PRIMARY",
    "SHADOWS",
    "TRUNCATED",
    "LegNumbers",
    "PairNumbers",
    "numbers_in",
    "numbers_of",
    "plain",
]

AGAIN = ":repeat:"
"""The mark of a flow that a command sends again; its comment says where to."""
PREFIX = "mirrorgate."
LEG = "mirrorgate.leg"
"""On a shadow's flow: `candidate` or `control`."""
PRIMARY = "mirrorgate.primary"
"""On a shadow's flow: the id of the primary's."""
MIRROR = "mirrorgate.mirror"
"""On a shadow's flow: the mirror's cluster."""
SHADOWS = "mirrorgate.shadows"
"""On a primary's flow: the ids of its shadows' flows."""
LINKS = (LEG, PRIMARY, MIRROR, SHADOWS)
ENDPOINT = "mirrorgate.endpoint"
"""Where the request went, `host:port`."""
TRUNCATED = "mirrorgate.truncated"
"""On a shadow's flow: true when only the answer's beginning is there."""
NUMBERS = "mirrorgate.numbers"
"""On a primary's flow: `PairNumbers` by the mirror's cluster."""


class LegNumbers(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fields of a leg in the journal's record that a person asks for first. Seconds and tokens."""

    outcome: str = ""
    status: int = 0
    flag: str = "-"
    broken: str = ""
    model: str | None = None
    endpoint: str = ""
    truncated: bool = False
    ttft: float | None = None
    itl_mean: float | None = None
    itl_p95: float | None = None
    e2e: float | None = None
    usage: dict[str, int | None] | None = None


class PairNumbers(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pair without its content."""

    outcome: str = ""
    similarity: float | None = None
    summary: str = ""
    primary: LegNumbers = LegNumbers()
    candidate: LegNumbers = LegNumbers()
    control: LegNumbers | None = None


_records: msgspec.json.Decoder[PairNumbers] = msgspec.json.Decoder(PairNumbers)


def numbers_of(compared: Compared) -> PairNumbers:
    """Read the numbers of a comparison from its record; without a readable record there is the outcome alone."""
    try:
        return _records.decode(compared.record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return PairNumbers(compared.outcome, compared.similarity, compared.summary)


def plain(numbers: PairNumbers) -> dict[str, Any]:
    """Return plain values for a flow's metadata."""
    built: dict[str, Any] = msgspec.to_builtins(numbers)
    return built


def numbers_in(flow: http.HTTPFlow, mirror: str) -> PairNumbers | None:
    """Read the numbers back from a primary's flow; `None` without any, and where somebody has changed them."""
    known = flow.metadata.get(NUMBERS)
    if not isinstance(known, dict) or mirror not in known:
        return None
    try:
        return msgspec.convert(known[mirror], PairNumbers)
    except msgspec.ValidationError:
        return None
