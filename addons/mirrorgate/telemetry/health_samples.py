"""The health of a cluster's endpoints as samples, under Envoy's names and our own."""

from __future__ import annotations

from collections.abc import Iterator

from ..admission.failure_breaker import State
from ..admission.outliers import Outliers
from ..breakers import ClusterBreakers
from ..health import ClusterHealth
from .samples import Sample

__all__ = ["health_samples"]

_OUTLIER = "envoy_cluster_outlier_detection_ejections_"


def health_samples(health: ClusterHealth) -> Iterator[Sample]:
    """Yield the samples of one cluster that declares a health check."""
    envoy = {"envoy_cluster_name": health.cluster}
    yield Sample("envoy_cluster_membership_total", len(health.endpoints), envoy)
    yield Sample("envoy_cluster_membership_healthy", len(set(health.endpoints) - health.out), envoy)
    yield Sample("envoy_cluster_lb_healthy_panic", health.panics, envoy)
    for endpoint in health.endpoints:
        labels = {"cluster": health.cluster, "endpoint": endpoint}
        yield Sample("mirrorgate_endpoint_out", float(endpoint in health.out), labels)
    if health.outliers is not None:
        yield from _outlier_samples(health.outliers, envoy)
    if health.breakers is not None:
        yield from _breaker_samples(health.cluster, health.breakers)
    if health.checks:
        checks = health.checks.values()
        yield Sample("envoy_cluster_health_check_healthy", sum(check.healthy for check in checks), envoy)
        yield Sample("envoy_cluster_health_check_attempt", sum(check.attempts for check in checks), envoy)
        yield Sample("envoy_cluster_health_check_success", sum(check.successes for check in checks), envoy)
        yield Sample("envoy_cluster_health_check_failure", sum(check.failures for check in checks), envoy)
        yield Sample("envoy_cluster_health_check_network_failure", sum(check.silences for check in checks), envoy)


def _breaker_samples(cluster: str, breakers: ClusterBreakers) -> Iterator[Sample]:
    mode = "Enforce" if breakers.enforced else "MetricsOnly"
    for endpoint, breaker in breakers.all():
        labels = {"cluster": cluster, "endpoint": endpoint, "mode": mode}
        for state in State:
            yield Sample("mirrorgate_failure_breaker_state", float(breaker.state is state), {**labels, "state": state})
        yield Sample("mirrorgate_failure_breaker_opened_total", breaker.opened, labels)
        yield Sample("mirrorgate_failure_breaker_refused_total", breaker.refused, labels)


def _outlier_samples(outliers: Outliers, envoy: dict[str, str]) -> Iterator[Sample]:
    yield Sample(f"{_OUTLIER}active", len(outliers.ejected), envoy)
    yield Sample(f"{_OUTLIER}overflow", outliers.overflow, envoy)
    yield Sample(f"{_OUTLIER}enforced_total", sum(outliers.enforced.values()), envoy)
    for cause, count in outliers.detected.items():
        yield Sample(f"{_OUTLIER}detected_{cause}", count, envoy)
        yield Sample(f"{_OUTLIER}enforced_{cause}", outliers.enforced[cause], envoy)
