"""The gateway's state in the shapes of `/clusters`: counts, endpoints and picks as JSON-ready values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...admission.failure_breaker import FailureBreaker
from ...admission.flow_queue import FlowQueue
from ...admission.gauges import Gauges
from ...admission.limits import UNLIMITED
from ...breakers import CLUSTER, ClusterBreakers
from ...health import ClusterHealth
from ...scheduling.endpoints import EndpointHealth, EndpointView
from ...scheduling.picks import Pick
from .sources import (
    BreakerView,
    FailureBreakersView,
    FailureBreakerView,
    LoadView,
    PickView,
    QueueView,
    ScoreView,
)
from .sources import EndpointView as EndpointRow

__all__ = ["endpoint_rows", "failure_breaker_view", "limit_views", "pick_view", "queue_view"]

_SHOWN_SCORES = 32
"""Candidates shown for a pick, best first."""


def limit_views(gauges: Gauges) -> dict[str, BreakerView]:
    """Return what counts against each limit of a cluster."""
    limits = gauges.limits
    return {
        "connections": _limit(gauges.connections, limits.connections, gauges.connections_open),
        "pending": _limit(gauges.pending, limits.pending, gauges.pending_open),
        "parallel": _limit(gauges.active, limits.parallel, gauges.parallel_open),
        "retries": _limit(gauges.retries, gauges.retries_limit, gauges.retries_open),
    }


def endpoint_rows(
    views: Iterable[EndpointView],
    health: dict[str, EndpointHealth],
    now: float,
    checks: ClusterHealth | None = None,
) -> list[EndpointRow]:
    """Return a row for each endpoint. *now* is of the clock that `Load.at` was read from."""
    rows: list[EndpointRow] = []
    for view in views:
        known = health.get(view.key)
        out = "" if checks is None else checks.reason(view.key)
        row = EndpointRow(
            address=view.key,
            name=view.address.name,
            healthy=view.healthy and not out,
            in_flight=view.in_flight,
            load=None,
            error=out or (known.last_error if known is not None else ""),
        )
        if view.load is not None:
            load = LoadView(waiting=view.load.waiting, running=view.load.running, age=round(now - view.load.at, 3))
            if view.load.kv_usage is not None:
                load["kv_usage"] = view.load.kv_usage
            row["load"] = load
        rows.append(row)
    return rows


def failure_breaker_view(breakers: ClusterBreakers, now: float) -> FailureBreakersView:
    """Return the breakers of a cluster. *now* is monotonic."""
    views = {name: _breaker(breaker, now) for name, breaker in breakers.all()}
    mode = "Enforce" if breakers.enforced else "MetricsOnly"
    return FailureBreakersView(mode=mode, cluster=views.pop(CLUSTER), endpoints=views)


def _breaker(breaker: FailureBreaker, now: float) -> FailureBreakerView:
    calls, failed, slow = breaker.rates(now)
    return FailureBreakerView(
        state=breaker.state.value,
        calls=calls,
        failure_percent=round(failed, 1),
        slow_percent=round(slow, 1),
        opened=breaker.opened,
        refused=breaker.refused,
    )


def pick_view(at: float, model: str, pick: Pick) -> PickView:
    """Return a pick with the scores of the candidates, best first."""
    scores: Sequence[ScoreView] = [
        ScoreView(
            endpoint=scored.endpoint,
            total=round(scored.total, 4),
            parts={name: round(score * weight, 4) for name, score, weight in scored.parts},
        )
        for scored in pick.scores[:_SHOWN_SCORES]
    ]
    return PickView(
        at=at, endpoint=pick.endpoint, profile=pick.profile, reason=pick.reason, model=model, scores=list(scores)
    )


def _limit(used: int, limit: int, reached: bool) -> BreakerView:
    return BreakerView(used=used, limit=None if limit >= UNLIMITED else limit, open=reached)


def queue_view(pool: str, queue: FlowQueue[Any]) -> QueueView:
    """Show who waits for a saturated pool."""
    return {"pool": pool, "waiting": len(queue), "bytes": sum(size for _, size in queue.bytes())}
