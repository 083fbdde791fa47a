"""Breakers and endpoints as samples."""

from __future__ import annotations

from collections.abc import Iterable

from mirrorgate.admission.cluster import Counters
from mirrorgate.admission.flow_queue import FlowQueue, QueueLimits
from mirrorgate.admission.gauges import Gauges
from mirrorgate.admission.limits import Limits
from mirrorgate.admission.retries import RetryCounters
from mirrorgate.admission.token_buckets import Meter
from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import EndpointView, Load
from mirrorgate.telemetry.samples import Sample, gather
from mirrorgate.telemetry.state_samples import (
    cluster_samples,
    endpoint_inflight_samples,
    flow_samples,
    limit_samples,
    pool_samples,
)


def _cells(samples: Iterable[Sample]) -> dict[str, dict[tuple[str, ...], float]]:
    faults: list[str] = []
    families = gather([lambda: samples], faults.append)
    assert not faults
    return {name: family.cells for name, family in families.items()}


def test_a_breaker_has_its_own_names_and_envoy_s() -> None:
    """Used, limit, room and whether it is open, for each limit; open as soon as the limit is reached (measured)."""
    gauges = Gauges(active=10, pending=1, connections=4, limits=Limits(8, 1, 10, retries=3), retries=2)
    counters = Counters(connections_opened=5, connection_overflow=3, pending_total=2)
    retries = RetryCounters(begun=9, success=4, overflow=1, limit_exceeded=2, abandoned=6)
    cells = _cells(cluster_samples("c", gauges, counters, retries))
    in_use = {limit: count for (_, limit), count in cells["mirrorgate_breaker_in_use"].items()}
    assert in_use == {"connections": 4, "pending": 1, "parallel": 10, "retries": 2}
    assert cells["mirrorgate_breaker_remaining"][("c", "connections")] == 4
    reached = {limit: count for (_, limit), count in cells["mirrorgate_breaker_open"].items()}
    assert reached == {"connections": 0, "pending": 1, "parallel": 1, "retries": 0}
    assert cells["envoy_cluster_circuit_breakers_default_rq_open"] == {("c",): 1}
    assert cells["envoy_cluster_circuit_breakers_default_rq_pending_open"] == {("c",): 1}
    assert cells["envoy_cluster_circuit_breakers_default_cx_open"] == {("c",): 0}
    assert cells["envoy_cluster_circuit_breakers_default_remaining_rq"] == {("c",): 0}
    assert cells["envoy_cluster_circuit_breakers_default_remaining_pending"] == {("c",): 0}
    assert cells["envoy_cluster_circuit_breakers_default_remaining_cx"] == {("c",): 4}
    assert cells["envoy_cluster_circuit_breakers_default_rq_retry_open"] == {("c",): 0}
    assert cells["envoy_cluster_circuit_breakers_default_remaining_retries"] == {("c",): 1}
    assert cells["envoy_cluster_upstream_rq_retry"] == {("c",): 9}
    assert cells["envoy_cluster_upstream_rq_retry_success"] == {("c",): 4}
    assert cells["envoy_cluster_upstream_rq_retry_overflow"] == {("c",): 1}
    assert cells["envoy_cluster_upstream_rq_retry_limit_exceeded"] == {("c",): 2}
    assert cells["envoy_cluster_retry_or_shadow_abandoned"] == {("c",): 6}
    assert cells["envoy_cluster_upstream_cx_overflow"] == {("c",): 3}
    assert cells["envoy_cluster_upstream_cx_total"] == {("c",): 5}


def test_a_pool_has_means_of_what_its_endpoints_report() -> None:
    """An endpoint without load counts as ready and into no mean."""
    first, second, third = (Address("127.0.0.1", port, name) for port, name in ((1, "ns/a"), (2, ""), (3, "ns/c")))
    views = [
        EndpointView("127.0.0.1:1", first, Load(waiting=4, running=2, kv_usage=0.5, at=8.0)),
        EndpointView("127.0.0.1:2", second, Load(waiting=0, running=1, kv_usage=None, at=9.5)),
        EndpointView("127.0.0.1:3", third, None, healthy=False),
    ]
    cells = _cells(pool_samples("ns/p", views, 10.0))
    assert cells["inference_pool_average_queue_size"] == {("ns/p",): 2.0}
    assert cells["inference_pool_average_kv_cache_utilization"] == {("ns/p",): 0.5}
    assert cells["inference_pool_ready_pods"] == {("ns/p",): 2}
    assert cells["inference_pool_per_pod_queue_size"] == {("ns/p", "ns/a"): 4, ("ns/p", "127.0.0.1:2"): 0}
    assert cells["mirrorgate_endpoint_scrape_age_seconds"] == {
        ("ns/p", "127.0.0.1:1"): 2.0,
        ("ns/p", "127.0.0.1:2"): 0.5,
    }
    assert cells["mirrorgate_endpoint_healthy"][("ns/p", "127.0.0.1:3")] == 0


def test_a_pool_that_reports_nothing_has_no_means() -> None:
    """Zeros would look idle."""
    cells = _cells(pool_samples("ns/p", [EndpointView("a:1", Address("a", 1))], 10.0))
    assert set(cells) == {"mirrorgate_endpoint_healthy", "inference_pool_ready_pods"}


def test_in_flight_by_leg() -> None:
    """One sample an endpoint."""
    cells = _cells(endpoint_inflight_samples("candidate", [("a:1", 3)]))
    assert cells == {"mirrorgate_endpoint_inflight": {("candidate", "a:1"): 3.0}}


def test_fairness_ids_are_bounded() -> None:
    """Clients choose them; those beyond a hundred are one, and no request is left out."""
    queue: FlowQueue[int] = FlowQueue()
    for number in range(150):
        assert queue.join(number, QueueLimits(1_000), fairness=f"f{number}", size=2, now=0.0)
    samples = list(flow_samples("p", queue))
    sizes = {s.labels["fairness_id"]: s.value for s in samples if s.name.endswith("queue_size")}
    assert (len(sizes), sizes["f0"], sizes["other"], sum(sizes.values())) == (101, 1, 50, 150)
    assert [s.value for s in samples if s.name.endswith("queue_bytes")] == [300]


def test_limits_by_what_came_of_requests() -> None:
    """Those under and over the limit, tokens by where their number came from, and the number of buckets."""
    meter = Meter(1, 60.0)
    for key in ("a", "a", "b"):
        meter.take(key, 0.0)
    meter.charge("a", 0.0, 7)
    meter.charge("a", 0.0, 2, estimated=True)
    assert _cells(limit_samples([("p/local/0 c", meter)])) == {
        "mirrorgate_rate_limit_requests_total": {("p/local/0 c", "under"): 2, ("p/local/0 c", "over"): 1},
        "mirrorgate_rate_limit_tokens_total": {("p/local/0 c", "reported"): 7, ("p/local/0 c", "estimated"): 2},
        "mirrorgate_rate_limit_keys": {("p/local/0 c",): 2},
    }
