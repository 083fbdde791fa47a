"""The one table of metric names: what each is, its labels, its buckets. A rename is one line here.

Names of our own begin with `mirrorgate_`. The rest are the names that existing dashboards ask for: Envoy's
(`envoy_*`, Prometheus form of its statistics), the Gateway API Inference Extension's (`inference_*`, v1.4 names) and
OpenTelemetry's GenAI semantic conventions in Prometheus form (`gen_ai_*`, semantic-conventions-genai, Development).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from ..admission.outliers import Cause
from .buckets import (
    GEN_AI_DURATION,
    GEN_AI_TIME_PER_TOKEN,
    GEN_AI_TOKENS,
    GEN_AI_TTFT,
    INFERENCE_DURATION,
    INFERENCE_INPUT_TOKENS,
    INFERENCE_OUTPUT_TOKENS,
    INFERENCE_SIZES,
    LATENCY,
    MICRO,
    MILLISECONDS,
    SHARE,
)

__all__ = ["GROUPS", "SPECS", "Group", "Kind", "Read", "Spec"]


class Kind(enum.StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    UNTYPED = "untyped"
    """A counter whose name does not end in `_total`, kept as its origin writes it (Envoy)."""


class Read(enum.StrEnum):
    """How a metric gets its value."""

    EVENT = "event"
    """Counted as events arrive."""
    SCRAPE = "scrape"
    """Asked of its owner when somebody scrapes."""


class Group(enum.StrEnum):
    """The heading under which the documentation lists a metric."""

    TRAFFIC = "Requests, by leg"
    GATEWAY = "The gateway itself"
    CONFIG = "Configuration"
    BREAKER = "Circuit breaker"
    LIMITS = "Rate limits"
    BALANCER = "Endpoints and picks"
    SHADOW = "Shadow"
    CAPTURE = "Capture"
    COMPARISON = "Comparison and verdict"
    GEN_AI = "OpenTelemetry GenAI"
    INFERENCE = "Gateway API Inference Extension"
    ENVOY = "Envoy"


@dataclass(frozen=True, slots=True)
class Spec:
    name: str
    """As it is scraped; a counter's ends in `_total`."""
    kind: Kind
    labels: tuple[str, ...]
    help: str
    read: Read = Read.EVENT
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, ascending, without +Inf."""


def _counter(name: str, labels: str, text: str, read: Read = Read.EVENT) -> Spec:
    return Spec(name, Kind.COUNTER, tuple(labels.split()), text, read)


def _gauge(name: str, labels: str, text: str, read: Read = Read.SCRAPE) -> Spec:
    return Spec(name, Kind.GAUGE, tuple(labels.split()), text, read)


def _histogram(name: str, labels: str, buckets: tuple[float, ...], text: str) -> Spec:
    return Spec(name, Kind.HISTOGRAM, tuple(labels.split()), text, Read.EVENT, buckets)


def _envoy(name: str, labels: str, text: str, read: Read = Read.EVENT) -> Spec:
    return Spec(name, Kind.UNTYPED, tuple(labels.split()), text, read)


_SCRAPE = Read.SCRAPE


def _outlier_specs() -> Iterator[Spec]:
    """Yield Envoy's statistics of outlier detection, two for each cause."""
    start, label = "envoy_cluster_outlier_detection_ejections_", "envoy_cluster_name"
    yield _gauge(f"{start}active", label, "Endpoints that are ejected now.")
    yield _envoy(f"{start}overflow", label, "Ejections that maxEjectionPercent did not allow.", _SCRAPE)
    yield _envoy(f"{start}enforced_total", label, "Ejections in all.", _SCRAPE)
    for cause in Cause:
        yield _envoy(f"{start}detected_{cause}", label, f"Endpoints found to be outliers by {cause}.", _SCRAPE)
        yield _envoy(f"{start}enforced_{cause}", label, f"Those of them that were ejected, by {cause}.", _SCRAPE)


# One metric is one entry of two lines, so that the table can be read as a table.
# fmt: off
GROUPS: dict[Group, tuple[Spec, ...]] = {
    Group.TRAFFIC: (
        _counter("mirrorgate_requests_total", "leg cluster pool model code flag",
                 "Requests that ended. `code` is 0 when no status was sent or received; `flag` is Envoy's."),
        _histogram("mirrorgate_request_duration_seconds", "leg cluster model", LATENCY,
                   "From the first byte of the request to the last byte of the answer (E2E)."),
        _histogram("mirrorgate_ttft_seconds", "leg cluster model", LATENCY,
                   "Time to the first piece of a streamed answer's body (TTFT)."),
        _histogram("mirrorgate_itl_seconds", "leg cluster model", GEN_AI_TIME_PER_TOKEN,
                   "Mean gap between the pieces of a streamed answer (ITL), as the client saw it."),
        _histogram("mirrorgate_time_per_output_token_seconds", "leg cluster model", GEN_AI_TIME_PER_TOKEN,
                   "(E2E - TTFT) / (completion tokens - 1): the same formula on every leg."),
        _counter("mirrorgate_tokens_total", "leg cluster model type",
                 "Tokens that the servers reported; `type` is `input` or `output`."),
        _counter("mirrorgate_request_bytes_total", "cluster", "Bytes of requests that clients sent."),
        _counter("mirrorgate_response_bytes_total", "cluster", "Bytes of answers that clients got."),
        _counter("mirrorgate_local_replies_total", "cluster reason",
                 "Answers of the gateway's own; `reason` is a Refusal, `internal` is a bug."),
        _counter("mirrorgate_tls_handshake_failures_total", "", "TLS handshakes with clients that came to nothing.",
                 _SCRAPE),
        _gauge("mirrorgate_downstream_connections", "listener", "Connections of clients that are open."),
        _counter("mirrorgate_downstream_connections_refused_total", "reason",
                 "Connections of clients that were closed unread; by limit (`total`, `address`) or `overload`.",
                 _SCRAPE),
        _gauge("mirrorgate_buffered_body_bytes", "", "Bytes of request bodies that came in pieces and are in memory."),
        _gauge("mirrorgate_downstream_requests_active", "listener", "Requests of clients under way."),
    ),
    Group.GATEWAY: (
        _histogram("mirrorgate_overhead_seconds", "", MICRO,
                   "The gateway's own time before a request went upstream, without its time in the queue."),
        _histogram("mirrorgate_event_loop_lag_seconds", "", MICRO,
                   "How late the event loop ran a timer: time in which no byte moved."),
        _gauge("mirrorgate_event_loop_lag_max_seconds", "", "The greatest lag since the last scrape but one."),
        _gauge("mirrorgate_event_loop_lag_standing_seconds", "",
               "With gateway_overload_lag: for how long the event loop has been behind, by which overload is told."),
        _gauge("mirrorgate_overload_active", "sheds",
               "With gateway_overload_lag: 1 while `control`, `mirrors` or `requests` are shed."),
        _gauge("mirrorgate_overload_refused_share", "",
               "With gateway_overload_lag: share of new requests that is refused now, 0 to 1."),
        _gauge("mirrorgate_build_info", "version python mitmproxy", "Always 1; the labels say what runs."),
        _gauge("mirrorgate_ready", "", "1 when /ready answers 200."),
        _gauge("mirrorgate_worker_up", "worker", "With several workers: 1 while a worker serves."),
        _counter("mirrorgate_worker_restarts_total", "worker reason",
                 "With several workers: restarts of a worker, because it `died`, `hung` or was `replaced` (SIGUSR2).",
                 _SCRAPE),
        _counter("mirrorgate_access_log_lines_total", "", "Lines of the access log that were written.", _SCRAPE),
        _counter("mirrorgate_access_log_dropped_total", "reason",
                 "Lines that were not: `buffer_full`, `torn` or `closed`.", _SCRAPE),
        _counter("mirrorgate_telemetry_errors_total", "source",
                 "Faults inside the telemetry itself: `source`, `sample` or `event`."),
        _counter("mirrorgate_label_overflow_total", "label",
                 "Values that were counted as `other` because the label had no room or was not proven."),
    ),
    Group.CONFIG: (
        _gauge("mirrorgate_config_generation", "", "Grows by one with each configuration applied.", Read.EVENT),
        _gauge("mirrorgate_config_applied_timestamp_seconds", "", "When the running configuration was applied.",
               Read.EVENT),
        _gauge("mirrorgate_config_problems", "", "Problems of the latest configuration; 0 when it was applied.",
               Read.EVENT),
        _gauge("mirrorgate_config_warnings", "", "Warnings of the running configuration.", Read.EVENT),
        _gauge("mirrorgate_config_listeners", "", "Listeners of the running configuration.", Read.EVENT),
        _gauge("mirrorgate_config_rules", "", "Rules of the running configuration.", Read.EVENT),
        _counter("mirrorgate_config_reloads_total", "result", "Configurations read; `applied` or `refused`."),
        _gauge("mirrorgate_config_source_age_seconds", "",
               "With a cluster: since the API server was last heard of; up to a minute is ordinary."),
        _gauge("mirrorgate_leader", "", "With a cluster: 1 at the replica that writes statuses."),
        _counter("mirrorgate_status_writes_total", "", "With a cluster: statuses that this replica wrote.", _SCRAPE),
    ),
    Group.BREAKER: (
        _gauge("mirrorgate_breaker_open", "cluster limit", "1 while a limit is reached, as Envoy's `*_open`."),
        _gauge("mirrorgate_breaker_in_use", "cluster limit",
               "What counts against a limit now; `limit` is `connections`, `pending`, `parallel` or `retries`."),
        _gauge("mirrorgate_breaker_limit", "cluster limit", "The limit as configured."),
        _gauge("mirrorgate_breaker_remaining", "cluster limit", "Room that is left under the limit."),
        _counter("mirrorgate_breaker_rejected_total", "cluster reason",
                 "Requests answered with the overflow 503; `pending_overflow`, `active_overflow`, `forced_open` or "
                 "`breaker_open`."),
        _gauge("mirrorgate_failure_breaker_state", "cluster endpoint mode state",
               "1 for the state of a failure breaker; `endpoint` is empty for the cluster's own. In the mode "
               "`MetricsOnly` it refuses nothing."),
        _counter("mirrorgate_failure_breaker_opened_total", "cluster endpoint mode",
                 "How often a failure breaker opened by itself.", _SCRAPE),
        _counter("mirrorgate_failure_breaker_refused_total", "cluster endpoint mode",
                 "Requests that a failure breaker did not let pass, or would not have.", _SCRAPE),
        _histogram("mirrorgate_queue_seconds", "cluster", LATENCY,
                   "Time that requests spent waiting for a connection; those that never waited are not counted."),
    ),
    Group.LIMITS: (
        _counter("mirrorgate_rate_limit_requests_total", "limit result",
                 "Requests by limit; `result` is `under` or `over`, which in shadow mode is not refused.", _SCRAPE),
        _counter("mirrorgate_rate_limit_tokens_total", "limit source",
                 "Tokens charged to a limit; `source` is `reported` by the server or `estimated`.", _SCRAPE),
        _gauge("mirrorgate_rate_limit_keys", "limit", "Buckets that a limit has, one for each distinct key."),
    ),
    Group.BALANCER: (
        _counter("mirrorgate_endpoint_picked_total", "cluster endpoint profile", "Picks of an endpoint."),
        _counter("mirrorgate_endpoint_requests_total", "cluster endpoint code_class",
                 "Requests that an endpoint answered or failed; `code_class` is `2xx` and so on, or `none`."),
        _counter("mirrorgate_endpoint_retried_total", "cluster endpoint reason",
                 "Tries that failed at an endpoint and were repeated; `reason` is the status, or why there was none."),
        _histogram("mirrorgate_pick_seconds", "profile", MICRO, "What a pick cost."),
        _counter("mirrorgate_endpoint_picker_requests_total", "picker result",
                 "With gateway_endpoint_picker=external: what pools' own pickers made of requests; `picked`, "
                 "`answered`, `outside_pool`, `unreachable`, `timed_out` or `broken`.", _SCRAPE),
        _counter("mirrorgate_endpoint_picker_answers_cut_total", "picker",
                 "Answers whose rest a picker did not get, since it read too slowly.", _SCRAPE),
        _gauge("mirrorgate_endpoint_healthy", "pool endpoint", "1 when an endpoint is picked from, 0 when not."),
        _gauge("mirrorgate_endpoint_out", "cluster endpoint",
               "1 while a health check of the cluster's policy keeps new requests from an endpoint."),
        _counter("mirrorgate_endpoint_changes_total", "cluster change",
                 "How often endpoints of a cluster went out or came back; `change` is what happened."),
        _gauge("mirrorgate_endpoint_inflight", "leg endpoint", "Requests of this gateway under way at an endpoint."),
        _gauge("mirrorgate_endpoint_waiting", "pool endpoint", "Requests in the server's own queue, as scraped."),
        _gauge("mirrorgate_endpoint_running", "pool endpoint", "Requests that the server runs, as scraped."),
        _gauge("mirrorgate_endpoint_kv_cache_usage", "pool endpoint", "KV-cache usage from 0 to 1, as scraped."),
        _gauge("mirrorgate_endpoint_scrape_age_seconds", "pool endpoint", "Age of the scraped values."),
    ),
    Group.SHADOW: (
        _counter("mirrorgate_shadow_sent_total", "cluster", "Mirrors handed to the shadow process."),
        _counter("mirrorgate_shadow_dropped_total", "cluster leg at reason",
                 "Mirrors that were not sent, or not finished; `at` is `proxy` or `shadow`. "
                 "`sampled_out`, `rejected` and `replay` are intended, the rest is loss."),
        _counter("mirrorgate_shadow_legs_total", "cluster leg outcome", "Shadow legs that ended, by outcome."),
        _counter("mirrorgate_shadow_cost_tokens_total", "cluster leg type", "Tokens spent on shadow legs."),
        _gauge("mirrorgate_shadow_last_success_timestamp_seconds", "cluster leg",
               "When a shadow leg last completed: a shadow that died in silence shows here.", Read.EVENT),
        _gauge("mirrorgate_shadow_up", "", "1 while the shadow process runs.", Read.EVENT),
        _gauge("mirrorgate_shadow_paused", "", "1 while mirroring is paused by an operator."),
        _counter("mirrorgate_shadow_restarts_total", "", "Restarts of the shadow process."),
        _gauge("mirrorgate_shadow_queue_bytes", "", "Bytes handed off and not yet taken, reservations included."),
        _gauge("mirrorgate_shadow_queue_limit_bytes", "", "The bound on them (`shadow_queue_bytes`)."),
        _gauge("mirrorgate_shadow_exchanges", "", "Exchanges that the shadow process has and has not judged."),
        _gauge("mirrorgate_shadow_held_bytes", "", "Bytes of bodies and answers that it holds."),
        _counter("mirrorgate_shadow_judge_errors_total", "", "Pairs that could not be judged: a bug.", _SCRAPE),
        _counter("mirrorgate_shadow_contents_dropped_total", "",
                 "Answers of candidates and controls that mitmweb does not show: the proxy was too slow to take them.",
                 _SCRAPE),
        _counter("mirrorgate_journal_records_total", "result",
                 "Journal records since the shadow process started: `written`, or `lost` to a disk.", _SCRAPE),
    ),
    Group.CAPTURE: (
        _counter("mirrorgate_capture_flows_total", "result",
                 "Captured exchanges: `written`, or dropped: `no_room`, `disk`, `unwritable`, `closed`.", _SCRAPE),
        _counter("mirrorgate_capture_bodies_left_out_total", "",
                 "Bodies that a captured exchange is without, because they were too large.", _SCRAPE),
        _gauge("mirrorgate_capture_held_bytes", "", "Bytes of bodies that the capture holds."),
    ),
    Group.COMPARISON: (
        _counter("mirrorgate_pairs_total", "cluster outcome", "Compared pairs, by outcome."),
        _histogram("mirrorgate_similarity", "cluster", SHARE, "Text similarity of compared pairs, 0 to 1."),
        _gauge("mirrorgate_guardrail_diff", "cluster guardrail", "Mean paired loss difference, candidate - primary."),
        _gauge("mirrorgate_guardrail_diff_low", "cluster guardrail", "Lower end of its confidence sequence."),
        _gauge("mirrorgate_guardrail_diff_high", "cluster guardrail", "Upper end of its confidence sequence."),
        _gauge("mirrorgate_guardrail_margin", "cluster guardrail", "The margin that it is held against."),
        _gauge("mirrorgate_log_evidence", "cluster guardrail side",
               "Log of the e-process; `side` is `promote` or `reject`. Sums over replicas."),
        _gauge("mirrorgate_pairs_needed", "cluster",
               "Estimate of the pairs still needed for PROMOTE: 0 when decided, +Inf when it is not to be expected."),
        _gauge("mirrorgate_verdict_pairs", "cluster", "Observations that the verdict stands on. Sums over replicas."),
        _gauge("mirrorgate_verdict_coverage", "cluster", "Share of the mirrored exchanges that were compared, 0 to 1."),
        _gauge("mirrorgate_verdict", "cluster state", "1 for the state that holds: `PROMOTE`, `HOLD` or `REJECT`."),
    ),
    Group.GEN_AI: (
        _histogram("gen_ai_server_request_duration_seconds",
                   "gen_ai_operation_name gen_ai_request_model gen_ai_response_model error_type leg",
                   GEN_AI_DURATION, "`gen_ai.server.request.duration`."),
        _histogram("gen_ai_server_time_to_first_token_seconds",
                   "gen_ai_operation_name gen_ai_request_model gen_ai_response_model leg",
                   GEN_AI_TTFT, "`gen_ai.server.time_to_first_token`; streamed answers only."),
        _histogram("gen_ai_server_time_per_output_token_seconds",
                   "gen_ai_operation_name gen_ai_request_model gen_ai_response_model leg",
                   GEN_AI_TIME_PER_TOKEN, "`gen_ai.server.time_per_output_token`; streamed answers only."),
        _histogram("gen_ai_client_token_usage",
                   "gen_ai_operation_name gen_ai_request_model gen_ai_response_model gen_ai_token_type leg",
                   GEN_AI_TOKENS, "`gen_ai.client.token.usage`; `gen_ai_token_type` is `input` or `output`."),
    ),
    Group.INFERENCE: (
        _counter("inference_objective_request_total", "model_name target_model_name", "Requests that name a model."),
        _counter("inference_objective_request_error_total", "model_name target_model_name error_code",
                 "Those that failed; `error_code` is the extension's canonical word."),
        _histogram("inference_objective_request_duration_seconds", "model_name target_model_name",
                   INFERENCE_DURATION, "E2E."),
        _histogram("inference_objective_request_sizes", "model_name target_model_name", INFERENCE_SIZES,
                   "Bytes of a request."),
        _histogram("inference_objective_response_sizes", "model_name target_model_name", INFERENCE_SIZES,
                   "Bytes of an answer."),
        _histogram("inference_objective_input_tokens", "model_name target_model_name", INFERENCE_INPUT_TOKENS,
                   "Prompt tokens of a request."),
        _histogram("inference_objective_output_tokens", "model_name target_model_name", INFERENCE_OUTPUT_TOKENS,
                   "Completion tokens of a request."),
        _histogram("inference_objective_normalized_time_per_output_token_seconds", "model_name target_model_name",
                   GEN_AI_TIME_PER_TOKEN, "E2E / completion tokens."),
        _histogram("inference_objective_request_ttft_seconds", "model_name target_model_name", INFERENCE_DURATION,
                   "TTFT."),
        _histogram("inference_objective_request_tpot_seconds", "model_name target_model_name",
                   GEN_AI_TIME_PER_TOKEN, "Time per output token after the first."),
        _gauge("inference_objective_running_requests", "model_name", "Requests of a model under way."),
        _gauge("inference_pool_average_kv_cache_utilization", "name", "Mean KV-cache usage of a pool's endpoints."),
        _gauge("inference_pool_average_queue_size", "name", "Mean waiting queue of a pool's endpoints."),
        _gauge("inference_pool_per_pod_queue_size", "name model_server_pod", "Waiting queue of one endpoint."),
        _gauge("inference_pool_ready_pods", "name", "Endpoints of a pool that are ready."),
        _histogram("inference_extension_scheduler_e2e_duration_seconds", "", MICRO, "What a pick cost."),
        _gauge("inference_extension_flow_control_queue_size", "fairness_id priority inference_pool",
               "Requests that wait for a saturated pool; over 100 fairness ids the rest is `other`."),
        _gauge("inference_extension_flow_control_queue_bytes", "priority inference_pool",
               "Bytes of their bodies."),
        _histogram("inference_extension_flow_control_request_queue_duration_seconds", "priority outcome inference_pool",
                   LATENCY, "How long they waited, by what became of them."),
    ),
    Group.ENVOY: (
        _envoy("envoy_cluster_upstream_rq_total", "envoy_cluster_name", "Requests that went upstream."),
        _envoy("envoy_cluster_upstream_rq", "envoy_cluster_name envoy_response_code", "Answers by status."),
        _envoy("envoy_cluster_upstream_rq_xx", "envoy_cluster_name envoy_response_code_class",
               "Answers by class of status."),
        _envoy("envoy_cluster_upstream_rq_completed", "envoy_cluster_name", "Answers in all."),
        _histogram("envoy_cluster_upstream_rq_time", "envoy_cluster_name", MILLISECONDS,
                   "E2E in milliseconds, as Envoy has it."),
        _envoy("envoy_cluster_upstream_rq_pending_overflow", "envoy_cluster_name",
               "Requests over maxPendingRequests."),
        _envoy("envoy_cluster_upstream_rq_active_overflow", "envoy_cluster_name",
               "Requests over maxParallelRequests (Envoy 1.40)."),
        _envoy("envoy_cluster_upstream_rq_timeout", "envoy_cluster_name", "Requests over their timeout."),
        _envoy("envoy_cluster_upstream_cx_connect_fail", "envoy_cluster_name",
               "Requests that failed because no connection came about."),
        _envoy("envoy_cluster_upstream_cx_connect_timeout", "envoy_cluster_name", "Those that timed out connecting."),
        _envoy("envoy_cluster_upstream_cx_total", "envoy_cluster_name", "Connections made.", _SCRAPE),
        _envoy("envoy_cluster_upstream_cx_overflow", "envoy_cluster_name",
               "Attempts to connect over maxConnections.", _SCRAPE),
        _envoy("envoy_cluster_upstream_rq_pending_total", "envoy_cluster_name",
               "Requests that waited for a connection.", _SCRAPE),
        _envoy("envoy_cluster_upstream_rq_retry", "envoy_cluster_name", "Requests sent again.", _SCRAPE),
        _envoy("envoy_cluster_upstream_rq_retry_success", "envoy_cluster_name",
               "Requests whose last answer, after a retry, was none to retry for.", _SCRAPE),
        _envoy("envoy_cluster_upstream_rq_retry_overflow", "envoy_cluster_name",
               "Requests not sent again: maxParallelRetries, or the budget, was used up.", _SCRAPE),
        _envoy("envoy_cluster_upstream_rq_retry_limit_exceeded", "envoy_cluster_name",
               "Requests whose last try failed as well.", _SCRAPE),
        _envoy("envoy_cluster_retry_or_shadow_abandoned", "envoy_cluster_name",
               "Streamed requests too large to be sent again.", _SCRAPE),
        _gauge("envoy_cluster_upstream_rq_active", "envoy_cluster_name", "Requests under way."),
        _gauge("envoy_cluster_upstream_rq_pending_active", "envoy_cluster_name", "Requests in the pending queue."),
        _gauge("envoy_cluster_upstream_cx_active", "envoy_cluster_name", "Connections that are open."),
        _gauge("envoy_cluster_membership_healthy", "envoy_cluster_name", "Endpoints that are picked from."),
        _gauge("envoy_cluster_membership_total", "envoy_cluster_name", "Endpoints in all."),
        _envoy("envoy_cluster_lb_healthy_panic", "envoy_cluster_name",
               "Picks that went by no health because too few endpoints were healthy.", _SCRAPE),
        *_outlier_specs(),
        _gauge("envoy_cluster_health_check_healthy", "envoy_cluster_name", "Endpoints whose active check passes."),
        _envoy("envoy_cluster_health_check_attempt", "envoy_cluster_name",
               "Probes of the cluster's endpoints; rules that ask for the same share them.", _SCRAPE),
        _envoy("envoy_cluster_health_check_success", "envoy_cluster_name", "Those that passed.", _SCRAPE),
        _envoy("envoy_cluster_health_check_failure", "envoy_cluster_name", "Those that did not.", _SCRAPE),
        _envoy("envoy_cluster_health_check_network_failure", "envoy_cluster_name",
               "Those of them that got no answer.", _SCRAPE),
        _gauge("envoy_cluster_circuit_breakers_default_cx_open", "envoy_cluster_name", "1 at maxConnections."),
        _gauge("envoy_cluster_circuit_breakers_default_rq_pending_open", "envoy_cluster_name",
               "1 at maxPendingRequests."),
        _gauge("envoy_cluster_circuit_breakers_default_rq_open", "envoy_cluster_name", "1 at maxParallelRequests."),
        _gauge("envoy_cluster_circuit_breakers_default_rq_retry_open", "envoy_cluster_name",
               "1 at maxParallelRetries."),
        _gauge("envoy_cluster_circuit_breakers_default_remaining_cx", "envoy_cluster_name", "Room for connections."),
        _gauge("envoy_cluster_circuit_breakers_default_remaining_pending", "envoy_cluster_name",
               "Room in the pending queue."),
        _gauge("envoy_cluster_circuit_breakers_default_remaining_rq", "envoy_cluster_name", "Room for requests."),
        _gauge("envoy_cluster_circuit_breakers_default_remaining_retries", "envoy_cluster_name", "Room for retries."),
    ),
}
# fmt: on

SPECS: dict[str, Spec] = {spec.name: spec for spec in chain.from_iterable(GROUPS.values())}
"""Every metric by its name, in the order in which it is shown."""
