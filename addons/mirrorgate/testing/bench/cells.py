"""What stands in the cells of the document's tables, and the tables. What was not measured is a dash."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["count", "kib", "mib", "middle_of", "ms", "table", "times_of", "us"]

_TELLING: Final = 3
"""Rounds from which on their range is shown."""


def us(seconds: float | None) -> str:
    """Show seconds as microseconds."""
    return "–" if seconds is None else _short(seconds * 1e6)


def ms(seconds: float | None) -> str:
    """Show seconds as milliseconds."""
    return "–" if seconds is None else _short(seconds * 1e3)


def mib(size: float | None) -> str:
    """Show bytes as MiB; none were measured where there are 0."""
    return "–" if not size else f"{size / 2**20:,.0f}"


def kib(size: float) -> str:
    """Show bytes as KiB."""
    return f"{size / 1024:,.1f}"


def count(value: float | None) -> str:
    """Show a count."""
    return "–" if value is None else f"{value:,.0f}"


def times_of(ratio: float | None) -> str:
    """Show a ratio."""
    return "–" if ratio is None else f"{ratio:.2f}"


def middle_of(ratios: Sequence[float]) -> str:
    """Show the median of ratios, with how far they reach where there are enough of them to tell."""
    if len(ratios) < _TELLING:
        return times_of(statistics.median(ratios) if ratios else None)
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def table(head: Sequence[str], rows: Iterable[list[str]]) -> str:
    """Return a table in Markdown, its first column to the left."""
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(['---'] + ['--:'] * (len(head) - 1))}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"
