"""The metrics of several workers as those of one gateway.

Counters and histograms add up. Gauges go by their meaning: what each worker has of its own adds up; what all know of
the same thing (a configuration, a model server's queue, the verdict of the one shadow process) is told once. A worker
that died keeps its part of every counter, as it was last read, so that no counter falls; what it counted after the last
read is lost, which is less than a scrape interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ..telemetry.exposition import number

__all__ = ["MetricFamily", "Totals", "parse", "written"]

_ADDED: Final = frozenset({"counter", "histogram", "summary", "untyped", "unknown"})

_GREATEST: Final = (
    "mirrorgate_breaker_limit",
    "mirrorgate_breaker_open",
    "mirrorgate_build_info",
    "mirrorgate_config_applied_timestamp_seconds",
    "mirrorgate_config_listeners",
    "mirrorgate_config_problems",
    "mirrorgate_config_rules",
    "mirrorgate_config_source_age_seconds",
    "mirrorgate_config_warnings",
    "mirrorgate_endpoint_kv_cache_usage",
    "mirrorgate_endpoint_out",
    "mirrorgate_endpoint_running",
    "mirrorgate_endpoint_scrape_age_seconds",
    "mirrorgate_endpoint_waiting",
    "mirrorgate_event_loop_lag_",
    "mirrorgate_failure_breaker_state",
    "mirrorgate_guardrail_",
    "mirrorgate_leader",
    "mirrorgate_log_evidence",
    "mirrorgate_overload_",
    "mirrorgate_pairs_needed",
    "mirrorgate_rate_limit_keys",
    "mirrorgate_shadow_exchanges",
    "mirrorgate_shadow_held_bytes",
    "mirrorgate_shadow_last_success_timestamp_seconds",
    "mirrorgate_shadow_paused",
    "mirrorgate_verdict",
    "inference_pool_",
    "envoy_cluster_circuit_breakers_default_cx_open",
    "envoy_cluster_circuit_breakers_default_rq_",
    "envoy_cluster_membership_total",
    "envoy_cluster_outlier_detection_ejections_active",
    "process_max_fds",
    "python_info",
)
_LEAST: Final = (
    "mirrorgate_breaker_remaining",
    "mirrorgate_config_generation",
    "mirrorgate_endpoint_healthy",
    "mirrorgate_ready",
    "mirrorgate_shadow_up",
    "envoy_cluster_circuit_breakers_default_remaining_",
    "envoy_cluster_health_check_healthy",
    "envoy_cluster_membership_healthy",
    "inference_pool_ready_pods",
    "process_start_time_seconds",
)
"""Gauges that are not added, by the start of their names; the longest start decides."""

_ONE_SHADOW: Final = (
    "mirrorgate_journal_records_total",
    "mirrorgate_shadow_judge_errors_total",
    "mirrorgate_shadow_restarts_total",
)
"""Counters of the one shadow process, which each worker repeats."""


@dataclass(slots=True)
class MetricFamily:
    """One metric as a worker told it."""

    name: str
    head: list[str] = field(default_factory=list)
    """Its HELP and TYPE lines."""
    kind: str = "untyped"
    series: dict[str, float] = field(default_factory=dict)
    """Values by name and labels, as they were written."""


def parse(text: str) -> dict[str, MetricFamily]:
    """Read an exposition in Prometheus' text format, as `telemetry.exposition` and prometheus_client write it."""
    families: dict[str, MetricFamily] = {}
    family: MetricFamily | None = None
    for line in text.splitlines():
        if line.startswith("# "):
            _, word, name, *rest = line.split(" ", 3)
            if family is None or family.name != name:
                family = families.setdefault(name, MetricFamily(name))
            family.head.append(line)
            if word == "TYPE":
                family.kind = rest[0]
        elif line:
            series, _, value = line.rpartition(" ")
            if family is not None:
                family.series[series] = float(value)
    return families


class Totals:
    """Adds workers' metrics up, and keeps what the dead ones had counted."""

    def __init__(self) -> None:
        self._alive: dict[int, dict[str, MetricFamily]] = {}
        """The last that each worker told."""
        self._dead: dict[str, MetricFamily] = {}

    def take(self, worker: int, text: str) -> None:
        """Take what a worker tells now."""
        self._alive[worker] = parse(text)

    def bury(self, worker: int) -> None:
        """Keep the counters of a worker that is gone."""
        for name, family in self._alive.pop(worker, {}).items():
            if family.kind in _ADDED and name not in _ONE_SHADOW:
                kept = self._dead.setdefault(name, MetricFamily(name, family.head, family.kind))
                for series, value in family.series.items():
                    kept.series[series] = kept.series.get(series, 0.0) + value

    def families(self) -> list[MetricFamily]:
        """Return every metric of the gateway as a whole, in the order in which the workers tell them."""
        merged: dict[str, MetricFamily] = {}
        parts = [*self._alive.values(), self._dead]
        for part in parts:
            for name, family in part.items():
                whole = merged.setdefault(name, MetricFamily(name, family.head, family.kind))
                combine = _combination(name, family.kind)
                series = whole.series
                for key, value in family.series.items():
                    series[key] = value if key not in series else combine(series[key], value)
        return list(merged.values())

    def lines(self) -> Iterator[bytes]:
        """Yield the exposition, a metric at a time."""
        yield from (written(family) for family in self.families())


def written(family: MetricFamily) -> bytes:
    """Return one metric as text."""
    lines: Iterable[str] = (f"{series} {number(value)}" for series, value in family.series.items())
    return ("\n".join([*family.head, *lines]) + "\n").encode()


def _combination(name: str, kind: str) -> Callable[[float, float], float]:
    if name in _ONE_SHADOW:
        return max
    if kind in _ADDED:
        return _add
    greatest, least = _longest(name, _GREATEST), _longest(name, _LEAST)
    if greatest == least:
        return _add
    return max if greatest > least else min


def _longest(name: str, starts: tuple[str, ...]) -> int:
    """Return the length of the longest of the starts that the name has."""
    return max((len(start) for start in starts if name.startswith(start)), default=0)


def _add(one: float, other: float) -> float:
    return one + other
