"""What a running gateway says of itself, as far as `mirrorgate doctor` looks at it.

The structs are parts of the admin server's pages; what is not in them is not read, what a page lacks has a default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from ..errors import Problem

__all__ = [
    "Breaker",
    "Cluster",
    "Coverage",
    "Endpoint",
    "Facts",
    "FailureBreaker",
    "FailureBreakers",
    "Journal",
    "Overview",
    "Verdict",
    "Worker",
]


class Journal(msgspec.Struct, frozen=True):
    folder: str
    writable: bool = True
    free: int | None = None
    size: int | None = None


class Worker(msgspec.Struct, frozen=True):
    worker: int
    pid: int | None = None
    ready: bool = True
    restarts: int = 0
    hangs: int = 0
    """Restarts because it hung."""


class Overview(msgspec.Struct, frozen=True, rename={"bind_errors": "bindErrors"}):
    version: str = ""
    generation: int = 0
    applied: float = 0.0
    problems: int = 0
    warnings: tuple[str, ...] = ()
    bind_errors: dict[str, str] = {}
    paused: bool = False
    now: float | None = None
    mitmproxy: str = ""
    bind: str = ""
    token: bool = True
    journal: Journal | None = None
    workers: tuple[Worker, ...] = ()
    """None in a gateway of one process."""


class Breaker(msgspec.Struct, frozen=True):
    used: int
    limit: int | None = None
    open: bool = False


class FailureBreaker(msgspec.Struct, frozen=True):
    state: str


class FailureBreakers(msgspec.Struct, frozen=True):
    cluster: FailureBreaker
    endpoints: dict[str, FailureBreaker] = {}
    mode: str = "Enforce"


class Endpoint(msgspec.Struct, frozen=True):
    address: str
    healthy: bool = True
    error: str | None = ""


class Cluster(msgspec.Struct, frozen=True):
    name: str
    kind: str = "rule"
    destinations: tuple[str, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    limits: dict[str, Breaker] = {}
    failure_breaker: FailureBreakers | None = None


class Coverage(msgspec.Struct, frozen=True):
    share: float = 1.0
    minimum: float = 0.0
    reasons: dict[str, int] = {}


class Verdict(msgspec.Struct, frozen=True):
    cluster: str
    verdict: str
    reason: str = ""
    coverage: Coverage | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a gateway; `None` is not known."""

    admin: str
    """Where the admin server was asked, `host:port`; empty when it was not."""
    now: float
    """The asker's Unix time."""
    unreachable: str = ""
    """Why nothing answers, empty when something does."""
    denied: str = ""
    """Why the pages are not shown, empty when they are."""
    ready: tuple[bool, str] | None = None
    overview: Overview | None = None
    clusters: Sequence[Cluster] | None = None
    verdicts: Sequence[Verdict] | None = None
    metrics: Mapping[str, Sequence[tuple[Mapping[str, str], float]]] = field(default_factory=dict)
    """Name of a sample to its labels and values."""
    tested: Sequence[str] = ()
    """Series of mitmproxy that this installation was tested with."""
    config: Sequence[Problem] | None = None
    """Of the configuration that was named; empty when it is good."""

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels."""
        return sum(
            value
            for found, value in self.metrics.get(name, ())
            if all(found.get(label) == wanted for label, wanted in labels.items())
        )
