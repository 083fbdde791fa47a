"""The counters in a few figures, as JSON-ready values for the dashboard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypedDict

from .families import Distribution
from .metrics import Metrics

__all__ = ["Drop", "Leg", "Quantiles", "Summary", "quantile", "summarise"]


class Quantiles(TypedDict):
    """Seconds, interpolated within a bucket; `None` without observations."""

    p50: float | None
    p95: float | None
    p99: float | None


class Leg(TypedDict):
    requests: int
    errors: int
    """Those without a status below 400 or with a response flag, client departures (`DC`) left out and delays that the
    configuration injects (`DI`) too."""
    input_tokens: int
    output_tokens: int
    ttft: Quantiles
    time_per_output_token: Quantiles
    duration: Quantiles


class Drop(TypedDict):
    cluster: str
    leg: str
    at: str
    reason: str
    count: int


class Summary(TypedDict):
    legs: dict[str, Leg]
    codes: dict[str, int]
    """Answers to clients by status."""
    flags: dict[str, int]
    local_replies: dict[str, int]
    rejected: dict[str, int]
    mirrors_sent: int
    drops: list[Drop]
    pairs: dict[str, dict[str, int]]
    """By cluster, then by outcome."""


_FINE = frozenset(("-", "DI"))
_LEFT = frozenset(("DC", "DI,DC"))


def summarise(metrics: Metrics) -> Summary:
    """Return what the counters say since the start of the process."""
    codes: dict[str, int] = defaultdict(int)
    flags: dict[str, int] = defaultdict(int)
    totals: dict[str, list[int]] = {"primary": [0, 0]}
    for (leg, _, _, _, code, flag), count in metrics.tally("mirrorgate_requests_total").cells.items():
        total = totals.setdefault(leg, [0, 0])
        total[0] += int(count)
        if flag not in _LEFT and (flag not in _FINE or code == "0" or code >= "400"):
            total[1] += int(count)
        if leg == "primary":
            codes[code] += int(count)
            flags[flag] += int(count)
    pairs: dict[str, dict[str, int]] = defaultdict(dict)
    for (cluster, outcome), count in metrics.tally("mirrorgate_pairs_total").cells.items():
        pairs[cluster][outcome] = int(count)
    drops = [
        Drop(cluster=cluster, leg=leg, at=at, reason=reason, count=int(count))
        for (cluster, leg, at, reason), count in metrics.tally("mirrorgate_shadow_dropped_total").cells.items()
        if count
    ]
    return Summary(
        legs={leg: _leg(metrics, leg, requests, errors) for leg, (requests, errors) in totals.items()},
        codes=dict(codes),
        flags=dict(flags),
        local_replies=_by_last(metrics.tally("mirrorgate_local_replies_total").cells),
        rejected=_by_last(metrics.tally("mirrorgate_breaker_rejected_total").cells),
        mirrors_sent=int(sum(metrics.tally("mirrorgate_shadow_sent_total").cells.values())),
        drops=sorted(drops, key=lambda drop: -drop["count"]),
        pairs=dict(pairs),
    )


def quantile(distribution: Distribution, share: float, where: Mapping[str, str]) -> float | None:
    """Return the value under which *share* of the observations lie, over all series whose labels equal *where*.

    Interpolates within the bucket, as PromQL's `histogram_quantile` does; above the last bound it is that bound.
    """
    names = distribution.spec.labels
    wanted = [(names.index(label), value) for label, value in where.items()]
    chosen = [cell for key, cell in distribution.cells.items() if all(key[i] == value for i, value in wanted)]
    bounds = distribution.spec.buckets
    counts = [sum(cell[i] for cell in chosen) for i in range(len(bounds) + 1)]
    rank = share * sum(counts)
    if not rank:
        return None
    below, lower = 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count if count else bound
        below, lower = below + count, bound
    return bounds[-1]


def _leg(metrics: Metrics, leg: str, requests: int, errors: int) -> Leg:
    tokens = metrics.tally("mirrorgate_tokens_total").cells
    counted = {
        kind: int(sum(v for key, v in tokens.items() if key[0] == leg and key[-1] == kind))
        for kind in ("input", "output")
    }
    return Leg(
        requests=requests,
        errors=errors,
        input_tokens=counted["input"],
        output_tokens=counted["output"],
        ttft=_quantiles(metrics, "mirrorgate_ttft_seconds", leg),
        time_per_output_token=_quantiles(metrics, "mirrorgate_time_per_output_token_seconds", leg),
        duration=_quantiles(metrics, "mirrorgate_request_duration_seconds", leg),
    )


def _quantiles(metrics: Metrics, name: str, leg: str) -> Quantiles:
    spread = metrics.distribution(name)
    return Quantiles(
        p50=quantile(spread, 0.5, {"leg": leg}),
        p95=quantile(spread, 0.95, {"leg": leg}),
        p99=quantile(spread, 0.99, {"leg": leg}),
    )


def _by_last(cells: Mapping[tuple[str, ...], float]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    items: Iterable[tuple[tuple[str, ...], float]] = cells.items()
    for labels, count in items:
        if count:
            found[labels[-1]] += int(count)
    return dict(found)
