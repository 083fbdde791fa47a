"""The gateway's state as samples: what breakers hold and what endpoints reported, under every project's names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence

from ..admission.cluster import Counters
from ..admission.flow_queue import FlowQueue
from ..admission.gauges import Gauges
from ..admission.retries import RetryCounters
from ..admission.token_buckets import Meter
from ..scheduling.endpoints import EndpointView
from .samples import Sample

__all__ = ["cluster_samples", "endpoint_inflight_samples", "flow_samples", "limit_samples", "pool_samples"]

_FAIRNESS_IDS = 100
"""Clients choose them, so that their number as labels is bounded."""


_REMAINING = {"rq_pending": "pending", "rq_retry": "retries"}
"""Envoy's words for the room under a limit, where they are not those for its being reached."""


def cluster_samples(cluster: str, gauges: Gauges, counters: Counters, retries: RetryCounters) -> Iterator[Sample]:
    """Yield the breaker of one cluster. A limit over 2^32 - 2 is none and has neither limit nor room."""
    limits, other = gauges.limits, gauges.elsewhere
    rows = (
        ("connections", "cx", gauges.connections, other.connections, limits.connections, gauges.connections_open),
        ("pending", "rq_pending", gauges.pending, other.pending, limits.pending, gauges.pending_open),
        ("parallel", "rq", gauges.active, other.active, limits.parallel, gauges.parallel_open),
        ("retries", "rq_retry", gauges.retries, other.retries, gauges.retries_limit, gauges.retries_open),
    )
    envoy = {"envoy_cluster_name": cluster}
    for limit, word, used, used_elsewhere, most, reached in rows:
        labels = {"cluster": cluster, "limit": limit}
        room = max(most - used - used_elsewhere, 0)
        yield Sample("mirrorgate_breaker_in_use", used, labels)
        yield Sample("mirrorgate_breaker_limit", most, labels)
        yield Sample("mirrorgate_breaker_remaining", room, labels)
        yield Sample("mirrorgate_breaker_open", float(reached), labels)
        yield Sample(f"envoy_cluster_circuit_breakers_default_{word}_open", float(reached), envoy)
        short = _REMAINING.get(word, word)
        yield Sample(f"envoy_cluster_circuit_breakers_default_remaining_{short}", room, envoy)
    yield Sample("envoy_cluster_upstream_rq_active", gauges.active, envoy)
    yield Sample("envoy_cluster_upstream_rq_pending_active", gauges.pending, envoy)
    yield Sample("envoy_cluster_upstream_cx_active", gauges.connections, envoy)
    yield Sample("envoy_cluster_upstream_cx_total", counters.connections_opened, envoy)
    yield Sample("envoy_cluster_upstream_cx_overflow", counters.connection_overflow, envoy)
    yield Sample("envoy_cluster_upstream_rq_pending_total", counters.pending_total, envoy)
    yield Sample("envoy_cluster_upstream_rq_retry", retries.begun, envoy)
    yield Sample("envoy_cluster_upstream_rq_retry_success", retries.success, envoy)
    yield Sample("envoy_cluster_upstream_rq_retry_overflow", retries.overflow, envoy)
    yield Sample("envoy_cluster_upstream_rq_retry_limit_exceeded", retries.limit_exceeded, envoy)
    yield Sample("envoy_cluster_retry_or_shadow_abandoned", retries.abandoned, envoy)


def pool_samples(pool: str, views: Sequence[EndpointView], now: float) -> Iterator[Sample]:
    """Yield one destination's endpoints and the extension's pool figures.

    *now* is of the clock that `Load.at` was read from. Means are over the endpoints that report; a pool of which none
    does has no means, rather than zeros that look idle.
    """
    queues: list[int] = []
    caches: list[float] = []
    for view in views:
        labels = {"pool": pool, "endpoint": view.key}
        yield Sample("mirrorgate_endpoint_healthy", float(view.healthy), labels)
        load = view.load
        if load is None:
            continue
        queues.append(load.waiting)
        yield Sample("mirrorgate_endpoint_waiting", load.waiting, labels)
        yield Sample("mirrorgate_endpoint_running", load.running, labels)
        yield Sample("mirrorgate_endpoint_scrape_age_seconds", max(now - load.at, 0.0), labels)
        if load.kv_usage is not None:
            caches.append(load.kv_usage)
            yield Sample("mirrorgate_endpoint_kv_cache_usage", load.kv_usage, labels)
        pod = {"name": pool, "model_server_pod": view.address.name or view.key}
        yield Sample("inference_pool_per_pod_queue_size", load.waiting, pod)
    name = {"name": pool}
    yield Sample("inference_pool_ready_pods", sum(view.healthy for view in views), name)
    if queues:
        yield Sample("inference_pool_average_queue_size", sum(queues) / len(queues), name)
    if caches:
        yield Sample("inference_pool_average_kv_cache_utilization", sum(caches) / len(caches), name)


def endpoint_inflight_samples(leg: str, counts: Iterable[tuple[str, int]]) -> Iterator[Sample]:
    """Yield what this gateway has under way at each endpoint, as (endpoint, count), on one leg."""
    for endpoint, count in counts:
        yield Sample("mirrorgate_endpoint_inflight", count, {"leg": leg, "endpoint": endpoint})


def flow_samples[W: Hashable](pool: str, queue: FlowQueue[W]) -> Iterator[Sample]:
    """Yield what waits for a saturated pool."""
    sizes: Counter[tuple[int, str]] = Counter()
    for number, (priority, fairness, requests) in enumerate(queue.sizes()):
        sizes[priority, fairness if number < _FAIRNESS_IDS else "other"] += requests
    for (priority, fairness), requests in sizes.items():
        labels = {"fairness_id": fairness, "priority": str(priority), "inference_pool": pool}
        yield Sample("inference_extension_flow_control_queue_size", requests, labels)
    for priority, size in queue.bytes():
        labels = {"priority": str(priority), "inference_pool": pool}
        yield Sample("inference_extension_flow_control_queue_bytes", size, labels)


def limit_samples(limits: Iterable[tuple[str, Meter]]) -> Iterator[Sample]:
    """Yield what rate limits have let pass, held up and charged."""
    for name, meter in limits:
        labels = {"limit": name}
        yield Sample("mirrorgate_rate_limit_requests_total", meter.under, {**labels, "result": "under"})
        yield Sample("mirrorgate_rate_limit_requests_total", meter.over, {**labels, "result": "over"})
        yield Sample("mirrorgate_rate_limit_tokens_total", meter.charged, {**labels, "source": "reported"})
        yield Sample("mirrorgate_rate_limit_tokens_total", meter.estimated, {**labels, "source": "estimated"})
        yield Sample("mirrorgate_rate_limit_keys", len(meter), labels)
