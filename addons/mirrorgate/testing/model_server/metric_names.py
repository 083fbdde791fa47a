"""The metrics of vLLM 0.32 under load, as recorded: names, types, labels and buckets."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

__all__ = ["COUNTERS", "GAUGES", "HISTOGRAMS", "LABELLED", "LABELS"]

GAUGES = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
)

COUNTERS = (
    "vllm:estimated_flops_per_gpu_total",
    "vllm:estimated_read_bytes_per_gpu_total",
    "vllm:estimated_write_bytes_per_gpu_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:external_prefix_cache_queries_total",
    "vllm:external_prefix_cache_hits_total",
    "vllm:mm_cache_queries_total",
    "vllm:mm_cache_hits_total",
    "vllm:num_preemptions_total",
    "vllm:prompt_tokens_total",
    "vllm:prompt_tokens_cached_total",
    "vllm:generation_tokens_total",
)

LABELLED: dict[str, tuple[type[Counter] | type[Gauge], str, tuple[str, ...]]] = {
    "vllm:num_requests_waiting_by_reason": (Gauge, "reason", ("capacity", "deferred")),
    "vllm:engine_sleep_state": (Gauge, "sleep_state", ("awake", "weights_offloaded", "discard_all")),
    "vllm:prompt_tokens_by_source_total": (
        Counter,
        "source",
        ("local_compute", "local_cache_hit", "external_kv_transfer"),
    ),
    "vllm:prompt_tokens_cached_by_source_total": (
        Counter,
        "source",
        ("device", "host", "p2p", "disk", "external_unspecified"),
    ),
    "vllm:request_success_total": (Counter, "finished_reason", ("stop", "length", "abort", "error", "repetition")),
    "vllm:admission_rejections_total": (Counter, "reason", ("max_num_queued_reqs", "max_num_queued_tokens")),
}
"""Metrics with one more label: kind, the label and its values."""

LABELS = {"vllm:admission_rejections_total": ("model_name",)}
"""Where the other labels are not `engine` and `model_name`."""

_COUNTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_BATCHES = (1.0, *(float(2**power) for power in range(3, 15)))
_FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
_TOKEN = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
_REQUEST = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0),
    *(60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)

HISTOGRAMS: dict[str, tuple[float, ...]] = {
    "vllm:request_prompt_tokens": _COUNTS,
    "vllm:request_generation_tokens": _COUNTS,
    "vllm:iteration_tokens_total": _BATCHES,
    "vllm:request_max_num_generation_tokens": _COUNTS,
    "vllm:request_params_n": _COUNTS[:5],
    "vllm:request_params_max_tokens": _COUNTS,
    "vllm:time_to_first_token_seconds": _FIRST_TOKEN,
    "vllm:inter_token_latency_seconds": _TOKEN,
    "vllm:request_time_per_output_token_seconds": _TOKEN,
    "vllm:e2e_request_latency_seconds": _REQUEST,
    "vllm:request_queue_time_seconds": _REQUEST,
    "vllm:request_inference_time_seconds": _REQUEST,
    "vllm:request_prefill_time_seconds": _REQUEST,
    "vllm:request_decode_time_seconds": _REQUEST,
    "vllm:request_num_preemptions": (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0),
    "vllm:request_prefill_kv_computed_tokens": _COUNTS,
}
"""Histograms and the upper bounds of their buckets. `iteration_tokens_total` is one, whatever its name says."""
