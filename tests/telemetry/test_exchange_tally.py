"""What the end of an exchange adds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirrorgate.errors import REPLIES, Refusal
from mirrorgate.events import ExchangeDone, RequestsShed
from mirrorgate.telemetry.metrics import Metrics

Done = Callable[..., ExchangeDone]
Value = Callable[..., float | None]

CLUSTER = "httproute/default/chat/rule/0"


def test_a_streamed_completion_counts_under_every_name(metrics: Metrics, done: Done, value: Value) -> None:
    """One exchange gives exactly these samples."""
    metrics.handle(done())
    leg = {"leg": "primary", "cluster": CLUSTER, "model": "llama"}
    assert value("mirrorgate_requests_total", **leg, pool="default/llama", code="200", flag="-") == 1
    assert value("mirrorgate_request_duration_seconds_count", **leg) == 1
    assert value("mirrorgate_request_duration_seconds_sum", **leg) == 2.0
    assert value("mirrorgate_request_duration_seconds_bucket", **leg, le="1.5") == 0
    assert value("mirrorgate_request_duration_seconds_bucket", **leg, le="2.0") == 1
    assert value("mirrorgate_request_duration_seconds_bucket", **leg, le="+Inf") == 1
    assert value("mirrorgate_ttft_seconds_sum", **leg) == 0.3
    assert value("mirrorgate_itl_seconds_sum", **leg) == 0.02
    assert value("mirrorgate_time_per_output_token_seconds_sum", **leg) == pytest.approx(0.1)
    assert value("mirrorgate_tokens_total", **leg, type="input") == 10
    assert value("mirrorgate_tokens_total", **leg, type="output") == 18
    assert value("mirrorgate_request_bytes_total", cluster=CLUSTER) == 120
    assert value("mirrorgate_response_bytes_total", cluster=CLUSTER) == 2048
    assert value("mirrorgate_queue_seconds_count", cluster=CLUSTER) is None
    endpoint = {"cluster": CLUSTER, "endpoint": "127.0.0.1:18001"}
    assert value("mirrorgate_endpoint_requests_total", **endpoint, code_class="2xx") == 1
    objective = {"model_name": "llama", "target_model_name": "llama-v1"}
    assert value("inference_objective_request_total", **objective) == 1
    assert value("inference_objective_request_error_total", **objective, error_code="") is None
    assert value("inference_objective_input_tokens_sum", **objective) == 10
    assert value("inference_objective_output_tokens_sum", **objective) == 18
    assert value("inference_objective_request_ttft_seconds_sum", **objective) == 0.3
    normalized = "inference_objective_normalized_time_per_output_token_seconds_sum"
    assert value(normalized, **objective) == pytest.approx(2 / 18)
    gen_ai = {
        "gen_ai_operation_name": "chat",
        "gen_ai_request_model": "llama",
        "gen_ai_response_model": "llama-v1",
        "leg": "primary",
    }
    assert value("gen_ai_server_request_duration_seconds_sum", **gen_ai, error_type="") == 2.0
    assert value("gen_ai_server_time_to_first_token_seconds_sum", **gen_ai) == 0.3
    assert value("gen_ai_server_time_per_output_token_seconds_sum", **gen_ai) == pytest.approx(0.1)
    assert value("gen_ai_client_token_usage_sum", **gen_ai, gen_ai_token_type="input") == 10
    assert value("gen_ai_client_token_usage_bucket", **gen_ai, gen_ai_token_type="output", le="16.0") == 0
    assert value("gen_ai_client_token_usage_bucket", **gen_ai, gen_ai_token_type="output", le="64.0") == 1
    envoy = {"envoy_cluster_name": CLUSTER}
    assert value("envoy_cluster_upstream_rq_total", **envoy) == 1
    assert value("envoy_cluster_upstream_rq", **envoy, envoy_response_code="200") == 1
    assert value("envoy_cluster_upstream_rq_xx", **envoy, envoy_response_code_class="2") == 1
    assert value("envoy_cluster_upstream_rq_completed", **envoy) == 1
    assert value("envoy_cluster_upstream_rq_time_sum", **envoy) == 2000.0


@pytest.mark.parametrize(
    ("refusal", "counter"),
    [
        (Refusal.PENDING_OVERFLOW, "envoy_cluster_upstream_rq_pending_overflow"),
        (Refusal.ACTIVE_OVERFLOW, "envoy_cluster_upstream_rq_active_overflow"),
    ],
)
def test_an_overflow_counts_as_in_envoy(
    metrics: Metrics, done: Done, value: Value, refusal: Refusal, counter: str
) -> None:
    """Each limit has its own counter, and a refused request never went upstream (Envoy 1.40, measured)."""
    metrics.introduce_cluster(CLUSTER)
    metrics.handle(done(status=503, flag="UO", refusal=refusal.value, completion_tokens=None, ttft=None, itl=None))
    assert value(counter, envoy_cluster_name=CLUSTER) == 1
    other = {"envoy_cluster_upstream_rq_pending_overflow", "envoy_cluster_upstream_rq_active_overflow"} - {counter}
    assert value(other.pop(), envoy_cluster_name=CLUSTER) == 0
    assert value("mirrorgate_breaker_rejected_total", cluster=CLUSTER, reason=refusal.value) == 1
    assert value("mirrorgate_local_replies_total", cluster=CLUSTER, reason=refusal.value) == 1
    assert value("envoy_cluster_upstream_rq_total", envoy_cluster_name=CLUSTER) == 0
    assert value("envoy_cluster_upstream_rq_xx", envoy_cluster_name=CLUSTER, envoy_response_code_class="5") == 1


@pytest.mark.parametrize(
    ("refusal", "counter"),
    [
        (Refusal.REQUEST_TIMEOUT, "envoy_cluster_upstream_rq_timeout"),
        (Refusal.STREAM_IDLE, "envoy_cluster_upstream_rq_timeout"),
        (Refusal.CONNECT_FAILURE, "envoy_cluster_upstream_cx_connect_fail"),
        (Refusal.CONNECT_TIMEOUT, "envoy_cluster_upstream_cx_connect_fail"),
        (Refusal.CONNECT_TIMEOUT, "envoy_cluster_upstream_cx_connect_timeout"),
    ],
)
def test_failures_of_the_upstream_count_as_in_envoy(
    metrics: Metrics, done: Done, value: Value, refusal: Refusal, counter: str
) -> None:
    """Timeouts and failed connections have Envoy's counters."""
    reply = REPLIES[refusal]
    metrics.handle(done(status=reply.status, flag=reply.flag, refusal=refusal.value))
    assert value(counter, envoy_cluster_name=CLUSTER) == 1


@pytest.mark.parametrize("refusal", list(Refusal))
def test_every_refusal_can_be_counted(metrics: Metrics, done: Done, value: Value, refusal: Refusal) -> None:
    """No refusal is a fault of the telemetry, with or without a route, a model, an endpoint."""
    reply = REPLIES[refusal]
    refused = {"status": reply.status, "flag": reply.flag, "refusal": refusal.value}
    metrics.handle(done(**refused))
    metrics.handle(done(**refused, cluster="", route="", pool="", endpoint="", model="", target_model=""))
    assert value("mirrorgate_telemetry_errors_total", source="event") is None
    assert value("mirrorgate_local_replies_total", cluster=CLUSTER, reason=refusal.value) == 1
    assert value("mirrorgate_local_replies_total", cluster="", reason=refusal.value) == 1
    assert value("envoy_cluster_upstream_rq_completed", envoy_cluster_name="") is None


def test_a_client_that_left_has_no_status(metrics: Metrics, done: Done, value: Value) -> None:
    """Status 0 is code 0, class `none`, and no error of a model server."""
    metrics.handle(done(status=0, flag="DC", refusal="client_left", completion_tokens=None))
    requests = {"leg": "primary", "cluster": CLUSTER, "pool": "default/llama", "code": "0", "flag": "DC"}
    assert value("mirrorgate_requests_total", **requests, model="other") == 1
    endpoint = {"cluster": CLUSTER, "endpoint": "127.0.0.1:18001", "code_class": "none"}
    assert value("mirrorgate_endpoint_requests_total", **endpoint) == 1
    assert value("envoy_cluster_upstream_rq_completed", envoy_cluster_name=CLUSTER) is None
    assert b"inference_objective_request_error_total{" not in metrics.render()


@pytest.mark.parametrize("status", [-1, 7, 99, 600, 999, 10**9])
def test_a_status_that_is_none_makes_no_series_of_its_own(metrics: Metrics, done: Done, status: int) -> None:
    """An upstream cannot grow the label by inventing statuses."""
    metrics.handle(done(status=status))
    cells = metrics.tally("mirrorgate_requests_total").cells
    assert {labels[4] for labels in cells} == {"0"}


def test_time_per_token_needs_two_tokens(metrics: Metrics, done: Done) -> None:
    """One token, none, or a clock that ran backwards divide by nothing and give nothing negative."""
    for tokens in (None, 0, 1):
        metrics.handle(done(completion_tokens=tokens))
    assert not metrics.distribution("mirrorgate_time_per_output_token_seconds").cells
    metrics.handle(done(completion_tokens=2, duration=0.1, ttft=0.3))
    (cell,) = metrics.distribution("mirrorgate_time_per_output_token_seconds").cells.values()
    assert cell[-1] == 0.0


def test_what_names_no_model_is_not_of_generative_ai(metrics: Metrics, done: Done) -> None:
    """Health checks and uploads through the gateway stay out of the model metrics."""
    metrics.handle(done(path="/health", model="", target_model="", ttft=None, itl=None))
    text = metrics.render()
    assert b"gen_ai_" not in text
    assert b"inference_objective_request_total{" not in text


def test_overhead_and_queue_count_where_known(metrics: Metrics, done: Done, value: Value) -> None:
    """Requests that waited are in the queue's histogram; overhead is counted where it is measured."""
    metrics.handle(done(queued=0.4, overhead=0.0002))
    metrics.handle(done())
    assert value("mirrorgate_queue_seconds_count", cluster=CLUSTER) == 1
    assert value("mirrorgate_overhead_seconds_bucket", le="0.00025") == 1
    assert value("mirrorgate_overhead_seconds_count") == 1


def test_what_is_shed_counts_one_by_one_without_durations(metrics: Metrics, done: Done, value: Value) -> None:
    """A refusal takes no time, and would hide how long the others take."""
    sample = done(
        status=503, flag="OM", details="overload", refusal="overload", cluster="", pool="", model="", target_model=""
    )
    metrics.handle(RequestsShed(sample, 41, 1000))
    metrics.handle(RequestsShed(sample, 1, 25))
    labels = {"leg": "primary", "cluster": "", "model": ""}
    assert value("mirrorgate_requests_total", **labels, pool="", code="503", flag="OM") == 42
    assert value("mirrorgate_local_replies_total", cluster="", reason="overload") == 42
    assert value("mirrorgate_response_bytes_total", cluster="") == 1025
    assert value("mirrorgate_request_duration_seconds_count", **labels) is None
