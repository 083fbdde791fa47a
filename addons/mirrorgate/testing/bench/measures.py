"""What one run of one scenario through one proxy came to."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

__all__ = ["Footprint", "Measure", "Spread", "spread"]


class Spread(msgspec.Struct, frozen=True):
    """Seconds at the 50th and the 99th percentile (nearest rank)."""

    p50: float
    p99: float


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Times are in seconds, sizes in bytes."""

    scenario: str
    proxy: str
    round: int
    window: float
    requests: int
    events: int = 0
    errors: int = 0
    """Answers other than 200, broken ones, connections that failed, and requests that never ended."""
    e2e: Spread | None = None
    ttft: Spread | None = None
    """To the first byte of the answer's body."""
    delay: Spread | None = None
    """How long an event was under way from the server to the client."""
    itl: Spread | None = None
    """Between two events of a stream as they come to the client."""
    cpu: float = 0.0
    """Of the proxy's process, or of all of its workers."""
    beside: float = 0.0
    """CPU seconds of the processes beside it: the shadow."""
    memory: int = 0
    """Of all of them, at the end of the window."""
    mirrored: int | None = None
    """Requests that reached the shadow; `None` without one."""

    @property
    def cpu_per_request(self) -> float | None:
        """CPU seconds; `None` when nothing was answered."""
        return self.cpu / self.requests if self.requests else None

    @property
    def cpu_per_event(self) -> float | None:
        """CPU seconds; `None` when nothing was streamed."""
        return self.cpu / self.events if self.events else None


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """What a proxy and its children hold in memory, in bytes (PSS)."""

    proxy: str
    idle: int
    """After a few requests, with nothing under way."""
    clients: int
    """Connections of clients that idle behind one answered request each."""
    with_clients: int
    """With those."""
    streams: int
    """Answers that are being streamed."""
    with_streams: int
    """With those beside the connections."""

    @property
    def per_client(self) -> float:
        """Bytes that a client's idle connection takes."""
        return (self.with_clients - self.idle) / self.clients

    @property
    def per_stream(self) -> float:
        """Bytes that a stream takes, its two connections included."""
        return (self.with_streams - self.with_clients) / self.streams


def spread(values: Iterable[float]) -> Spread | None:
    """Return the percentiles of some values, `None` without any."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Spread(_rank(ordered, 0.5), _rank(ordered, 0.99))


def _rank(ordered: list[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
