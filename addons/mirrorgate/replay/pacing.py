"""When each request is sent. Pure: `now` is the event loop's clock and comes in.

An open loop: a request is due at its moment whatever became of those before it, as clients do not wait for each other.
One that cannot be sent then, because too many are under way, is sent late and counted.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from .captured import Captured, Item

__all__ = ["AtRate", "Lateness", "Original", "Pace", "Unpaced", "in_order", "parse_rate"]

TOLERANCE: Final = 0.05
"""Seconds after its moment from which a request is late: less is the timer's and the loop's own."""

_RATE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(?:/\s*(s|m|h))?")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class Pace(Protocol):
    """Says when the next request is due."""

    def due(self, entry: Captured, now: float) -> float | None:
        """Return the moment, `None` for as soon as there is room; called once for each request, in their order."""


class Original:
    """The gaps of the capture, divided by `speed`. What has no time is due with the one before it."""

    def __init__(self, speed: float = 1.0) -> None:
        """Raises ValueError for a speed that is not above 0."""
        if not 0.0 < speed < 1e6:
            raise ValueError(f"a speed must be more than 0, not {speed:g}")
        self._speed = speed
        self._origin: tuple[float, float] | None = None
        self._last = 0.0

    def due(self, entry: Captured, now: float) -> float:
        if entry.started is None:
            return max(self._last, now) if self._origin is None else self._last
        if self._origin is None:
            self._origin = (entry.started, now)
        started, began = self._origin
        self._last = max(self._last, began + (entry.started - started) / self._speed)
        return self._last


class AtRate:
    """So many requests a second, evenly."""

    def __init__(self, per_second: float) -> None:
        """Raises ValueError for a rate that is not above 0."""
        if not 0.0 < per_second < 1e6:
            raise ValueError(f"a rate must be more than 0, not {per_second:g}")
        self._gap = 1.0 / per_second
        self._began: float | None = None
        self._count = 0

    def due(self, entry: Captured, now: float) -> float:
        if self._began is None:
            self._began = now
        due = self._began + self._count * self._gap
        self._count += 1
        return due


class Unpaced:
    """As fast as the number at once allows: nothing is ever late."""

    def due(self, entry: Captured, now: float) -> None:
        return None


@dataclass(slots=True)
class Lateness:
    """How well the pace was kept."""

    sent: int = 0
    late: int = 0
    worst: float = 0.0
    """Seconds."""

    def note(self, due: float | None, now: float) -> None:
        self.sent += 1
        behind = 0.0 if due is None else now - due
        if behind > TOLERANCE:
            self.late += 1
            self.worst = max(self.worst, behind)


def parse_rate(text: str) -> float:
    """Read `50/s`, `600/m` or `50` as requests a second; raises ValueError for anything else."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no rate such as 50/s or 600/m")
    rate = float(match[1]) / _UNITS[match[2]]
    if rate <= 0.0:
        raise ValueError("a rate must be more than 0")
    return rate


def in_order(items: Iterable[Item], most: int = 20_000, most_bytes: int = 64 * 1024 * 1024) -> Iterator[Item]:
    """Put exchanges in the order of their start, as far as a bounded look ahead reaches.

    Captures are written as exchanges end, so that a long one stands behind short ones that began after it.
    """
    heap: list[tuple[float, int, Captured]] = []
    held = number = 0
    last = 0.0
    for item in items:
        if not isinstance(item, Captured):
            yield item
            continue
        last = item.started if item.started is not None else last
        number += 1
        heapq.heappush(heap, (last, number, item))
        held += item.size
        while len(heap) > most or held > most_bytes:
            _, _, first = heapq.heappop(heap)
            held -= first.size
            yield first
    while heap:
        yield heapq.heappop(heap)[2]
