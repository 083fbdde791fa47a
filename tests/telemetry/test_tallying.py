"""What the other events add."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.events import (
    ConfigApplied,
    ConfigRefused,
    FlowControlled,
    MirrorDropped,
    MirrorDropReason,
    MirrorSent,
    Picked,
    SentAgain,
    ShadowProcessChanged,
)
from mirrorgate.records import Compared, Leg, LegFinished, ShadowDropped
from mirrorgate.telemetry.metrics import Metrics

Value = Callable[..., float | None]
MIRROR = "httproute/default/chat/rule/0-mirror-0"


def _leg(
    outcome: str = "complete", status: int = 200, model: str = "candidate", path: str = "/v1/completions"
) -> LegFinished:
    return LegFinished(
        id="x", leg=Leg.CANDIDATE, cluster=MIRROR, endpoint="127.0.0.1:9", outcome=outcome, status=status, bytes=5,
        seconds=1.1, ttft=0.1, prompt_tokens=7, completion_tokens=11, model=model, path=path,
    )  # fmt: skip


def test_a_shadow_leg_has_the_primary_s_metrics(metrics: Metrics, value: Value) -> None:
    """Both legs are read from the same names, told apart by `leg`."""
    metrics.handle(_leg())
    leg = {"leg": "candidate", "cluster": MIRROR, "model": "candidate"}
    assert value("mirrorgate_requests_total", **leg, pool=MIRROR, code="200", flag="-") == 1
    assert value("mirrorgate_request_duration_seconds_sum", **leg) == 1.1
    assert value("mirrorgate_ttft_seconds_sum", **leg) == 0.1
    assert value("mirrorgate_time_per_output_token_seconds_sum", **leg) == pytest.approx(0.1)
    assert value("mirrorgate_tokens_total", **leg, type="output") == 11
    assert value("mirrorgate_shadow_cost_tokens_total", cluster=MIRROR, leg="candidate", type="input") == 7
    assert value("mirrorgate_shadow_legs_total", cluster=MIRROR, leg="candidate", outcome="complete") == 1
    assert value("mirrorgate_shadow_last_success_timestamp_seconds", cluster=MIRROR, leg="candidate") == 1000.0
    gen_ai = {
        "gen_ai_operation_name": "text_completion",
        "gen_ai_request_model": "candidate",
        "gen_ai_response_model": "candidate",
        "leg": "candidate",
    }
    assert value("gen_ai_server_request_duration_seconds_count", **gen_ai, error_type="") == 1
    assert value("gen_ai_client_token_usage_sum", **gen_ai, gen_ai_token_type="output") == 11


@pytest.mark.parametrize(
    ("outcome", "status", "code", "flag"),
    [("refused", 0, "0", "UF"), ("timeout", 200, "200", "UT"), ("complete", 500, "500", "-"), ("new", 0, "0", "-")],
)
def test_a_failed_leg_is_no_success(
    metrics: Metrics, value: Value, outcome: str, status: int, code: str, flag: str
) -> None:
    """Only a complete answer of status 2xx moves the time of the last success."""
    metrics.handle(_leg(outcome, status))
    labels = {"leg": "candidate", "cluster": MIRROR, "pool": MIRROR, "model": "other", "code": code, "flag": flag}
    assert value("mirrorgate_requests_total", **labels) == 1
    assert value("mirrorgate_shadow_last_success_timestamp_seconds", cluster=MIRROR, leg="candidate") is None


def test_a_leg_without_figures_has_none(metrics: Metrics, value: Value) -> None:
    """`None` is not zero."""
    metrics.handle(
        LegFinished("x", Leg.CONTROL, MIRROR, "127.0.0.1:9", "refused", 0, 0, 0.1, None, None, None)
    )  # fmt: skip
    assert value("mirrorgate_ttft_seconds_count", leg="control", cluster=MIRROR, model="") is None
    assert not metrics.tally("mirrorgate_tokens_total").cells


def test_drops_say_where_and_why(metrics: Metrics, value: Value) -> None:
    """A full queue in the proxy and one in the shadow process are two series."""
    metrics.handle(MirrorDropped("x", MIRROR, MirrorDropReason.QUEUE_FULL))
    metrics.handle(ShadowDropped("x", MIRROR, Leg.CONTROL, "127.0.0.1:9", "queue_full"))
    metrics.handle(MirrorSent("x", MIRROR, "127.0.0.1:9"))
    dropped = {"cluster": MIRROR, "reason": "queue_full"}
    assert value("mirrorgate_shadow_dropped_total", **dropped, leg="candidate", at="proxy") == 1
    assert value("mirrorgate_shadow_dropped_total", **dropped, leg="control", at="shadow") == 1
    assert value("mirrorgate_shadow_sent_total", cluster=MIRROR) == 1


def test_pairs_are_counted_by_outcome(metrics: Metrics, value: Value) -> None:
    """A pair that cannot be compared has no similarity."""
    metrics.handle(Compared("x", MIRROR, "similar", 0.97, "", b"{}"))
    metrics.handle(Compared("y", MIRROR, "candidate_failed", None, "", b"{}"))
    assert value("mirrorgate_pairs_total", cluster=MIRROR, outcome="similar") == 1
    assert value("mirrorgate_pairs_total", cluster=MIRROR, outcome="candidate_failed") == 1
    assert value("mirrorgate_similarity_bucket", cluster=MIRROR, le="0.95") == 0
    assert value("mirrorgate_similarity_bucket", cluster=MIRROR, le="0.99") == 1
    assert value("mirrorgate_similarity_count", cluster=MIRROR) == 1


def test_tries_that_were_repeated(metrics: Metrics, value: Value) -> None:
    """By where they failed, and why."""
    metrics.handle(SentAgain("c", "127.0.0.1:9", "503"))
    metrics.handle(SentAgain("c", "127.0.0.1:9", "503"))
    metrics.handle(SentAgain("c", "127.0.0.1:8", "connect_failure"))
    name = "mirrorgate_endpoint_retried_total"
    assert value(name, cluster="c", endpoint="127.0.0.1:9", reason="503") == 2
    assert value(name, cluster="c", endpoint="127.0.0.1:8", reason="connect_failure") == 1


def test_picks(metrics: Metrics, value: Value) -> None:
    """By endpoint and profile, with what they cost; also under the Inference Extension's name."""
    metrics.handle(Picked("c", "p", "127.0.0.1:9", "gaie-v1", 0.00002))
    assert value("mirrorgate_endpoint_picked_total", cluster="c", endpoint="127.0.0.1:9", profile="gaie-v1") == 1
    assert value("mirrorgate_pick_seconds_bucket", profile="gaie-v1", le="2.5e-05") == 1
    assert value("inference_extension_scheduler_e2e_duration_seconds_count") == 1


def test_configurations(metrics: Metrics, value: Value) -> None:
    """A refused configuration leaves the figures of the running one and shows its problems until one is applied."""
    metrics.handle(ConfigApplied(at=50.0, generation=3, listeners=2, rules=9, warnings=1))
    metrics.handle(ConfigRefused(at=60.0, problems=4))
    assert value("mirrorgate_config_generation") == 3
    assert value("mirrorgate_config_applied_timestamp_seconds") == 50.0
    assert value("mirrorgate_config_rules") == 9
    assert value("mirrorgate_config_problems") == 4
    assert value("mirrorgate_config_reloads_total", result="refused") == 1
    metrics.handle(ConfigApplied(at=70.0, generation=4, listeners=2, rules=9, warnings=0))
    assert value("mirrorgate_config_problems") == 0
    assert value("mirrorgate_config_warnings") == 0
    assert value("mirrorgate_config_reloads_total", result="applied") == 2


def test_the_shadow_process(metrics: Metrics, value: Value) -> None:
    """Restarts are the number that the event brings, not the number of events."""
    metrics.handle(ShadowProcessChanged(up=True, pid=10, restarts=0))
    metrics.handle(ShadowProcessChanged(up=False, pid=10, restarts=0))
    metrics.handle(ShadowProcessChanged(up=True, pid=11, restarts=1))
    assert value("mirrorgate_shadow_up") == 1
    assert value("mirrorgate_shadow_restarts_total") == 1


def test_what_is_declared_shows_before_its_first_event(metrics: Metrics, value: Value) -> None:
    """`rate()` sees the first event of a series only if the series was there before, at 0."""
    metrics.introduce_cluster("c")
    metrics.introduce_mirror(MIRROR)
    assert value("envoy_cluster_upstream_rq_pending_overflow", envoy_cluster_name="c") == 0
    assert value("mirrorgate_breaker_rejected_total", cluster="c", reason="active_overflow") == 0
    assert value("mirrorgate_shadow_sent_total", cluster=MIRROR) == 0
    metrics.handle(MirrorSent("x", MIRROR, "127.0.0.1:9"))
    metrics.introduce_mirror(MIRROR)
    assert value("mirrorgate_shadow_sent_total", cluster=MIRROR) == 1


def test_a_wait_for_a_saturated_pool_is_told_by_its_end(metrics: Metrics, value: Value) -> None:
    """Under the Inference Extension's name."""
    metrics.handle(FlowControlled("InferencePool default/p", -1, "expired", 60.0))
    name = "inference_extension_flow_control_request_queue_duration_seconds"
    labels = {"priority": "-1", "outcome": "expired", "inference_pool": "InferencePool default/p"}
    assert value(f"{name}_sum", **labels) == 60.0
