"""What the admin server shows: callables that the composition root fills in, and the shapes that the page reads.

The server knows no other part of the gateway. A callable is called in the event loop for every request of its page,
returns values that JSON can hold, and may be a coroutine function (those of a supervisor ask its workers). Keys that
the page does not find it leaves out, so more can be said in any of these than is written down here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypedDict

__all__ = [
    "Action",
    "AdminSources",
    "BreakerView",
    "ClusterView",
    "ClustersView",
    "ComparisonView",
    "EndpointView",
    "ExchangesView",
    "FailureBreakerView",
    "FailureBreakersView",
    "LoadView",
    "PickView",
    "QueueView",
    "ScoreView",
    "View",
    "collecting",
]

View = Callable[[], object | Awaitable[object]]
Action = Callable[[], object | Awaitable[object]]


class BreakerView(TypedDict):
    """One limit of a cluster."""

    used: int
    limit: int | None
    """`None` when nothing limits it."""
    open: bool


class LoadView(TypedDict, total=False):
    waiting: int
    running: int
    kv_usage: float
    """0 to 1."""
    age: float
    """Seconds since it was scraped."""


class EndpointView(TypedDict, total=False):
    address: str
    name: str
    healthy: bool
    in_flight: int
    connections: int
    load: LoadView | None
    error: str
    """Why it is not healthy, empty when it is."""


class ScoreView(TypedDict, total=False):
    endpoint: str
    total: float
    parts: dict[str, float]
    """Scorer to its weighted share of the total."""


class PickView(TypedDict, total=False):
    at: float
    """Unix time."""
    endpoint: str
    profile: str
    reason: str
    model: str
    scores: list[ScoreView]


class FailureBreakerView(TypedDict):
    """One failure breaker."""

    state: str
    """`closed`, `open`, `half_open`, `forced_open` or `forced_closed`."""
    calls: int
    """In its window."""
    failure_percent: float
    slow_percent: float
    opened: int
    refused: int


class FailureBreakersView(TypedDict):
    """The failure breakers of a cluster."""

    mode: str
    """`Enforce` or `MetricsOnly`."""
    cluster: FailureBreakerView
    endpoints: dict[str, FailureBreakerView]


class QueueView(TypedDict):
    """Requests that wait for a saturated pool."""

    pool: str
    waiting: int
    bytes: int
    """Of their bodies."""


class ClusterView(TypedDict, total=False):
    name: str
    kind: str
    """`rule` or `mirror`."""
    destinations: list[str]
    limits: dict[str, BreakerView]
    """By `connections`, `pending`, `parallel`, `retries`."""
    failure_breaker: FailureBreakersView
    """Left out where no FailureBreakerPolicy applies and no operator has said anything."""
    queues: list[QueueView]
    """Of its pools; empty where nobody waits."""
    connecting: int
    """Connections that are being made. Their requests count as pending."""
    endpoints: list[EndpointView]
    profiles: list[str]
    """How each destination's endpoints are picked."""
    picks: list[PickView]
    """Latest first."""


class ClustersView(TypedDict):
    """What `/clusters` answers."""

    clusters: list[ClusterView]


class ComparisonView(TypedDict, total=False):
    id: str
    at: float
    cluster: str
    outcome: str
    similarity: float | None
    summary: str


class ExchangesView(TypedDict):
    """What `/exchanges` answers, latest first."""

    exchanges: list[ComparisonView]


def collecting() -> object:
    """Return the verdict before there is any evidence."""
    return {"verdict": "HOLD", "reason": "collecting", "shadows": []}


def _no_clusters() -> object:
    return {"clusters": []}


def _no_exchanges() -> object:
    return {"exchanges": []}


def _nothing() -> object:
    return {}


def _of_no_mirror(cluster: str) -> object | None:
    return None


def _undecided(cluster: str) -> tuple[str, str] | None:
    return None if cluster else ("HOLD", "collecting")


@dataclass(frozen=True, slots=True)
class AdminSources:
    ready: Callable[[], tuple[bool, str] | Awaitable[tuple[bool, str]]]
    """Whether /ready answers 200, and its text."""
    metrics: Callable[[str], tuple[str, Iterator[bytes]] | Awaitable[tuple[str, Iterator[bytes]]]]
    """From an Accept header to the content type and the exposition in pieces (`Metrics.render_pieces`)."""
    resources: View = _nothing
    routes: View = _nothing
    clusters: View = _no_clusters
    """A `ClustersView`."""
    exchanges: View = _no_exchanges
    """An `ExchangesView`."""
    verdict: View = collecting
    """`verdict` (`PROMOTE`, `HOLD`, `REJECT`), `reason`, and a list of `shadows` with the same and more for each."""
    verdict_of: Callable[[str], object | Awaitable[object | None] | None] = _of_no_mirror
    """From a mirror's cluster to its part of `verdict`; `None` for a cluster that is no mirror's."""
    decision_of: Callable[[str], tuple[str, str] | Awaitable[tuple[str, str] | None] | None] = _undecided
    """From a mirror's cluster, empty for all together, to the decision and its reason; `None` as above."""
    overview: View = _nothing
    """`version`, `started` (Unix time), `generation`, `applied` (Unix time), `problems`, `paused`, and `summary`
    (`telemetry.summary.summarise`)."""
    drain: Action | None = None
    """Stop taking requests and let those under way end; `None` refuses `POST /drain` with 501."""
    pause_mirrors: Action | None = None
    resume_mirrors: Action | None = None
