"""Numbers and names in words that a person reads, and text that is safe to show."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from ..comparison.guardrails import GuardrailName
from ..comparison.verdict import Standing

__all__ = [
    "EXPLANATIONS",
    "count",
    "explanation",
    "odds",
    "percent",
    "period",
    "points",
    "safe",
    "seconds",
    "state",
    "when",
]

EXPLANATIONS: Final[dict[str, str]] = {
    GuardrailName.ERRORS: "no usable answer: no connection, a timeout before the first byte, or an error status",
    GuardrailName.BROKEN_STREAMS: "an answer that began well and broke off, or ended in an error event",
    GuardrailName.TRUNCATION: "an answer that was ended by the limit of tokens",
    GuardrailName.REFUSAL: "an answer that refuses",
    GuardrailName.EMPTINESS: "an answer without text and without a tool call",
    GuardrailName.REPETITION: "an answer that goes in circles",
    GuardrailName.TOOL_CALLS: "a tool call that does not parse, does not fit its schema, or is missing",
    GuardrailName.JSON_SCHEMA: "text that is not the JSON that was asked for",
    GuardrailName.TTFT_SLO: "the first token comes later than the SLO",
    GuardrailName.ITL_SLO: "the mean gap between tokens is longer than the SLO",
    GuardrailName.E2E_SLO: "the answer takes longer than the SLO",
    GuardrailName.DIVERGENCE: "how much farther the candidate is from the primary than the primary from itself",
}
"""What counts as a loss."""

_JOINERS: Final = "\u200c\u200d"
"""Zero-width characters that scripts and emoji need."""


def explanation(guardrail: str) -> str:
    return EXPLANATIONS.get(guardrail, "a scorer of yours")


def state(standing: Standing) -> str:
    """Return how a guardrail stands, in a few words."""
    if not standing.gating:
        return "shown only"
    if standing.failed:
        return "fails"
    if standing.passed:
        return "passes"
    if standing.pairs_needed is None:
        return "at the margin or beyond"
    return f"about {count(standing.pairs_needed)} more"


def safe(text: str) -> str:
    """Return text that a terminal and a page show as it is: no control character, nothing that turns its direction."""
    return "".join(c if c.isprintable() or c in "\n\t" or c in _JOINERS else "\ufffd" for c in text)


def count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100.0 * share:.{digits}f} %"


def points(share: float | None) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    if share is None:
        return "–"
    shown = f"{100.0 * share:+.2f}".replace("-", "\u2212")
    return "0 pt" if shown.strip("+\u22120.") == "" else f"{shown} pt"


def seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value < 0.0009995:
        return f"{1e6 * value:.0f} µs"
    if value < 0.0995:
        return f"{1000.0 * value:.1f} ms"
    if value < 0.9995:
        return f"{1000.0 * value:.0f} ms"
    return f"{value:.2f} s" if value < 120.0 else f"{value / 60.0:.1f} min"


def odds(log: float) -> str:
    """Return evidence as the odds that it is worth, such as `34 : 1`."""
    if log > math.log(1e6):
        return f"10^{log / math.log(10.0):.0f} : 1"
    return f"{math.exp(log):,.0f} : 1" if log >= math.log(10.0) else f"{math.exp(log):.2g} : 1"


def when(at: float | None) -> str:
    """Return a time of day in UTC; a time outside the calendar is shown as its number."""
    if at is None:
        return "–"
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at:g}"


def period(first: float | None, last: float | None) -> str:
    """Return from when to when, and how long that is."""
    if first is None or last is None:
        return "–"
    length = last - first
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if length >= 2.0 * size:
            return f"{when(first)} to {when(last)} ({length / size:.1f} {unit})"
    return f"{when(first)} to {when(last)} ({length:.0f} s)"
