"""The health of a cluster's endpoints as samples."""

from __future__ import annotations

import random

from mirrorgate.admission.checks import Outcome
from mirrorgate.admission.failure_breaker import Trigger
from mirrorgate.calls import Call
from mirrorgate.health import Health, Watched
from mirrorgate.resources.endpoints import Address
from mirrorgate.resources.traffic_health import (
    ActiveHealthCheck,
    HealthCheck,
    HttpActiveHealthCheck,
    PassiveHealthCheck,
)
from mirrorgate.telemetry.health_samples import health_samples

CHECK = ActiveHealthCheck(type="HTTP", http=HttpActiveHealthCheck(path="/health"))


def figures(health: Health) -> dict[tuple[str, ...], float]:
    """Return the samples of the cluster `c` by their names, and endpoint, cause or state where they have one."""
    found: dict[tuple[str, ...], float] = {}
    for sample in health_samples(health.clusters["c"]):
        more = {name: value for name, value in sample.labels.items() if name in ("endpoint", "state", "mode") and value}
        found[(sample.name, *map(str, more.values()))] = sample.value
    return found


def watched(check: HealthCheck) -> Health:
    health = Health(lambda: 0.0, random.Random(1))
    health.adopt([Watched("c", (Address("a", 80), Address("b", 80)), check)])
    return health


def test_ejections() -> None:
    """By what they were detected and whether they were enforced; who is out is told by endpoint."""
    health = watched(HealthCheck(passive=PassiveHealthCheck(consecutive_5xx_errors=1, max_ejection_percent=50)))
    for name in ("a:80", "b:80"):
        call = health.clusters["c"].begin(name)
        assert isinstance(call, Call)
        call.answered(500)
    found = figures(health)
    assert (found["envoy_cluster_membership_total",], found["envoy_cluster_membership_healthy",]) == (2, 1)
    assert (found["mirrorgate_endpoint_out", "a:80"], found["mirrorgate_endpoint_out", "b:80"]) == (1, 0)
    outlier = "envoy_cluster_outlier_detection_ejections_"
    assert found[f"{outlier}active",] == 1
    assert found[f"{outlier}overflow",] == 1
    assert found[f"{outlier}enforced_total",] == found[f"{outlier}enforced_consecutive_5xx",] == 1
    assert found[f"{outlier}detected_consecutive_5xx",] == 2
    assert "envoy_cluster_health_check_healthy" not in {name for name, *_ in found}


def test_checks() -> None:
    """Attempts are successes, failures and silences; an endpoint that is not checked yet is not healthy."""
    health = watched(HealthCheck(active=CHECK))
    first, second = health.checks
    for target, outcome in ((first, Outcome.PASSED), (second, Outcome.FAILED), (second, Outcome.SILENT)):
        health.checked(target, outcome, "")
    found = figures(health)
    check = "envoy_cluster_health_check_"
    told = {word: found[f"{check}{word}",] for word in ("attempt", "success", "failure", "network_failure", "healthy")}
    assert told == {"attempt": 3, "success": 1, "failure": 2, "network_failure": 1, "healthy": 1}


def test_breakers() -> None:
    """One state of each is 1; a cluster without a policy has them once an operator has said something."""
    health = watched(HealthCheck())
    assert not any(name.startswith("mirrorgate_failure_breaker") for name, *_ in figures(health))
    health.force("c", Trigger.FORCE_OPEN)
    assert isinstance(health.clusters["c"].begin("a:80"), str)
    found = figures(health)
    states = {key[2]: value for key, value in found.items() if key[0] == "mirrorgate_failure_breaker_state"}
    assert states == {"closed": 0, "open": 0, "half_open": 0, "forced_open": 1, "forced_closed": 0}
    assert found["mirrorgate_failure_breaker_opened_total", "Enforce"] == 0
    assert found["mirrorgate_failure_breaker_refused_total", "Enforce"] == 1
