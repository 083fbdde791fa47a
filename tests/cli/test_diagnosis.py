"""What is found in the facts about a gateway: each fault once, with its remedy, and nothing in a healthy one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mirrorgate.cli.diagnosis import Finding, Weight, diagnose, worst
from mirrorgate.cli.facts import (
    Breaker,
    Cluster,
    Coverage,
    Endpoint,
    Facts,
    FailureBreaker,
    FailureBreakers,
    Journal,
    Overview,
    Verdict,
    Worker,
)
from mirrorgate.errors import Problem, Severity

NOW = 1_800_000_000.0
OVERVIEW = Overview(version="1", generation=3, applied=NOW - 60, now=NOW, mitmproxy="12.2.1", bind="127.0.0.1:9901")
RULE = Cluster("rule", "rule", ("InferencePool default/pool",), (Endpoint("10.0.0.1:8000"), Endpoint("10.0.0.2:8000")))
MIRROR = Cluster("mirror", "mirror", ("Service default/candidate",), (Endpoint("10.0.0.3:8000"),))
METRICS = {
    "mirrorgate_shadow_up": [({}, 1.0)],
    "mirrorgate_event_loop_lag_max_seconds": [({}, 0.004)],
    "process_max_fds": [({}, 65536.0)],
    "process_open_fds": [({}, 60.0)],
    "mirrorgate_shadow_sent_total": [({"cluster": "mirror"}, 1000.0)],
    "mirrorgate_shadow_dropped_total": [
        ({"cluster": "mirror", "leg": "candidate", "at": "proxy", "reason": "sampled_out"}, 9000.0),
        ({"cluster": "mirror", "leg": "candidate", "at": "proxy", "reason": "queue_full"}, 2.0),
    ],
    "mirrorgate_shadow_last_success_timestamp_seconds": [({"cluster": "mirror", "leg": "candidate"}, NOW - 5)],
}
HEALTHY = Facts(
    "127.0.0.1:9901",
    NOW,
    ready=(True, "ready\n"),
    overview=OVERVIEW,
    clusters=(RULE, MIRROR),
    verdicts=(Verdict("mirror", "PROMOTE", "all pass", Coverage(0.99, 0.9)),),
    metrics=METRICS,
    tested=("12.2",),
    config=(),
)


def overview(**changed: Any) -> Facts:
    """Return facts with another overview."""
    fields = {name: getattr(OVERVIEW, name) for name in OVERVIEW.__struct_fields__}
    return replace(HEALTHY, overview=Overview(**(fields | changed)))


def rule(**changed: Any) -> Facts:
    """Return facts with another rule's cluster."""
    fields = {name: getattr(RULE, name) for name in RULE.__struct_fields__}
    return replace(HEALTHY, clusters=(Cluster(**(fields | changed)), MIRROR))


def metric(name: str, value: float, **labels: str) -> Facts:
    """Return facts with one more sample, instead of those of its name."""
    return replace(HEALTHY, metrics=METRICS | {name: [(labels, value)]})


def test_nothing_is_found_in_a_healthy_gateway() -> None:
    """Sampled-out mirrors and two lost ones in a thousand are no finding."""
    assert diagnose(HEALTHY) == []
    assert worst([]) == 0


def test_nothing_is_found_in_what_is_not_known() -> None:
    """A gateway that tells of nothing but its readiness."""
    assert diagnose(Facts("127.0.0.1:9901", NOW, ready=(True, "ready"))) == []


BREAKERS = FailureBreakers(FailureBreaker("open"), {"10.0.0.1:8000": FailureBreaker("half_open")})
FAULTS: list[tuple[Facts, Weight, str, str]] = [
    (Facts("h:1", NOW, unreachable="refused"), Weight.PROBLEM, "admin server", "nothing answers at h:1: refused"),
    (replace(HEALTHY, denied="401"), Weight.WARNING, "admin server", "no more than metrics"),
    (replace(HEALTHY, ready=(False, "draining\n")), Weight.PROBLEM, "gateway", "not ready: draining"),
    (overview(bind_errors={"gateway:80@:80": "in use"}), Weight.PROBLEM, "listener gateway:80@:80", "in use"),
    (overview(problems=2), Weight.PROBLEM, "configuration", "refused for 2 problems; generation 3, 60 seconds old"),
    (overview(warnings=("field x is ignored",)), Weight.NOTE, "configuration", "field x is ignored"),
    (metric("mirrorgate_config_source_age_seconds", 400), Weight.WARNING, "configuration", "7 minutes ago"),
    (
        replace(HEALTHY, config=(Problem("no such kind", severity=Severity.ERROR),)),
        Weight.PROBLEM,
        "manifests",
        "no such kind",
    ),
    (rule(endpoints=()), Weight.PROBLEM, "cluster rule", "InferencePool default/pool has no endpoint"),
    (rule(endpoints=(Endpoint("a:1", False, "x"),)), Weight.PROBLEM, "cluster rule", "none of 1 endpoints is healthy"),
    (rule(endpoints=(Endpoint("a:1", False, "ejected"), Endpoint("b:1"))), Weight.WARNING, "endpoint a:1", "ejected"),
    (rule(endpoints=(Endpoint("a:1", True, "timeout"),)), Weight.WARNING, "endpoint a:1", "load is not known: timeout"),
    (
        replace(HEALTHY, clusters=(RULE, Cluster("mirror", "mirror", ("Service x",)))),
        Weight.WARNING,
        "cluster mirror",
        "no endpoint",
    ),
    (
        rule(limits={"pending": Breaker(4, 4, True)}),
        Weight.WARNING,
        "cluster rule",
        "limit on pending is reached (4 of 4)",
    ),
    (rule(limits={"parallel": Breaker(95, 100)}), Weight.NOTE, "cluster rule", "95 of 100 parallel"),
    (rule(failure_breaker=BREAKERS), Weight.PROBLEM, "cluster rule", "failure breaker is open"),
    (rule(failure_breaker=BREAKERS), Weight.WARNING, "cluster rule, endpoint 10.0.0.1:8000", "half-open"),
    (
        rule(failure_breaker=FailureBreakers(FailureBreaker("forced_open"))),
        Weight.PROBLEM,
        "cluster rule",
        "an operator holds the failure breaker open",
    ),
    (
        rule(failure_breaker=FailureBreakers(FailureBreaker("open"), mode="MetricsOnly")),
        Weight.NOTE,
        "cluster rule",
        "dry run",
    ),
    (metric("mirrorgate_shadow_up", 0), Weight.PROBLEM, "shadow", "the shadow process is down"),
    (overview(paused=True), Weight.WARNING, "shadow", "paused"),
    (metric("mirrorgate_shadow_restarts_total", 3), Weight.WARNING, "shadow", "restarted 3 times"),
    (
        metric("mirrorgate_shadow_dropped_total", 500, cluster="mirror", leg="candidate", reason="queue_full"),
        Weight.WARNING,
        "mirror mirror",
        "500 mirrors were lost beside 1000 that were sent: queue_full",
    ),
    (
        metric("mirrorgate_shadow_dropped_total", 500, cluster="mirror", leg="candidate", reason="of_the_shadow"),
        Weight.WARNING,
        "mirror mirror",
        "of_the_shadow",
    ),
    (
        metric("mirrorgate_shadow_last_success_timestamp_seconds", NOW - 7200, cluster="mirror", leg="candidate"),
        Weight.WARNING,
        "mirror mirror",
        "2 hours old",
    ),
    (metric("mirrorgate_journal_records_total", 5, result="lost"), Weight.PROBLEM, "journal", "5 records were lost"),
    (overview(journal=Journal("/j", writable=False)), Weight.PROBLEM, "journal", "/j cannot be written to"),
    (overview(journal=Journal("/j", True, 10 << 20, 100 << 30)), Weight.WARNING, "journal", "10 MiB are left"),
    (
        replace(HEALTHY, verdicts=(Verdict("mirror", "REJECT", "errors"),)),
        Weight.WARNING,
        "verdict of mirror",
        "REJECT: errors",
    ),
    (replace(HEALTHY, verdicts=(Verdict("mirror", "HOLD", "few"),)), Weight.NOTE, "verdict of mirror", "HOLD: few"),
    (
        replace(HEALTHY, verdicts=(Verdict("mirror", "HOLD", "few", Coverage(0.5, 0.9, {"budget": 7})),)),
        Weight.WARNING,
        "verdict of mirror",
        "50.0 % of the mirrored exchanges were compared, PROMOTE takes 90 %: budget 7",
    ),
    (metric("mirrorgate_overload_active", 1, sheds="requests"), Weight.PROBLEM, "event loop", "overloaded"),
    (metric("mirrorgate_local_replies_total", 7, reason="overload"), Weight.NOTE, "overload", "7 requests and 0 conn"),
    (overview(workers=(Worker(0, 70), Worker(1, 71, ready=False))), Weight.PROBLEM, "worker 1", "process 71"),
    (overview(workers=(Worker(0, None, ready=False),)), Weight.WARNING, "worker 0", "it does not run"),
    (overview(workers=(Worker(0, 70, restarts=3, hangs=2),)), Weight.WARNING, "worker 0", "3 times, 2 of them"),
    (metric("mirrorgate_event_loop_lag_max_seconds", 0.4), Weight.WARNING, "event loop", "400 ms late"),
    (metric("mirrorgate_local_replies_total", 2, reason="internal"), Weight.WARNING, "gateway", "2 requests ended"),
    (metric("mirrorgate_access_log_dropped_total", 9, reason="torn"), Weight.WARNING, "access log", "9 lines"),
    (metric("process_open_fds", 64000), Weight.PROBLEM, "file descriptors", "64000 of 65536 are open"),
    (
        rule(limits={"connections": Breaker(0, 40000)}),
        Weight.NOTE,
        "file descriptors",
        "the clusters' connection limits add up to 40000",
    ),
    (overview(now=NOW - 30), Weight.WARNING, "clock", "30 s apart"),
    (overview(mitmproxy="13.0.0"), Weight.WARNING, "mitmproxy", "13.0.0 was not tested"),
    (overview(bind="0.0.0.0:9901", token=False), Weight.WARNING, "admin server", "without a token"),
]


@pytest.mark.parametrize(("facts", "weight", "subject", "text"), FAULTS, ids=lambda value: str(value)[:40])
def test_a_fault_is_found(facts: Facts, weight: Weight, subject: str, text: str) -> None:
    """With its weight, what it is about, and a remedy."""
    found = [each for each in diagnose(facts) if each.subject == subject and text in each.text]
    assert [each.weight for each in found] == [weight]
    assert found[0].remedy
    assert worst(diagnose(facts)) >= weight


def test_the_gravest_comes_first() -> None:
    """And the exit code is its weight."""
    found = diagnose(replace(overview(problems=1, paused=True), verdicts=(Verdict("mirror", "HOLD", "few"),)))
    assert [each.weight for each in found] == [Weight.PROBLEM, Weight.WARNING, Weight.NOTE]
    assert worst(found) == 2
    assert worst([Finding(Weight.NOTE, "a", "b", "c")]) == 0


def test_a_redirect_is_no_cluster_without_endpoints() -> None:
    """It has no destination."""
    assert diagnose(rule(destinations=(), endpoints=())) == []


@pytest.mark.parametrize("bind", ["localhost:1", "127.0.0.2:1", "[::1]:1"])
def test_loopback_needs_no_token(bind: str) -> None:
    """Only this machine reaches it."""
    assert diagnose(overview(bind=bind, token=False)) == []
