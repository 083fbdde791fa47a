"""`/metrics`: the names, types and labels of vLLM 0.32 as recorded, with live values where the engine has them."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    Summary,
    generate_latest,
)

from .behaviour import Behaviour, MetricsDialect
from .engine import Engine
from .metric_names import COUNTERS, GAUGES, HISTOGRAMS, LABELLED, LABELS
from .received import Received

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class Metrics:
    """The metrics of one server, brought up to date when they are read."""

    def __init__(self, behaviour: Callable[[], Behaviour], engine: Engine) -> None:
        self._behaviour = behaviour
        self._engine = engine
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        base = {"engine": "0", "model_name": behaviour().models[0]}
        self._base = base
        self._gauges = {name: Gauge(name, name, list(base), registry=registry).labels(**base) for name in GAUGES}
        self._counters = {name: Counter(name, name, list(base), registry=registry).labels(**base) for name in COUNTERS}
        self._histograms = {
            name: Histogram(name, name, list(base), buckets=bounds, registry=registry).labels(**base)
            for name, bounds in HISTOGRAMS.items()
        }
        self._labelled: dict[str, Counter | Gauge] = {}
        for name, (kind, label, values) in LABELLED.items():
            names = [*(LABELS.get(name, base)), label]
            metric = self._labelled[name] = kind(name, name, names, registry=registry)
            for value in values:
                metric.labels(**{each: base[each] for each in names[:-1]}, **{label: value})
        self._lora = Gauge(
            "vllm:lora_requests_info",
            "Running stats on lora requests.",
            ["max_lora", "running_lora_adapters", "waiting_lora_adapters"],
            registry=registry,
        )
        self._cache = Gauge(
            "vllm:cache_config_info",
            "Information of the LLMEngine CacheConfig",
            ["block_size", "cache_dtype", "enable_prefix_caching", "engine", "num_gpu_blocks"],
            registry=registry,
        )
        self._requests = Counter(
            "http_requests_total", "Requests by handler.", ["handler", "method", "status"], registry=registry
        )
        sizes = (("http_request_size_bytes", "Length of requests."), ("http_response_size_bytes", "Length of answers."))
        self._sizes = [Summary(name, text, ["handler"], registry=registry) for name, text in sizes]
        self._highr = Histogram("http_request_duration_highr_seconds", "Latency.", registry=registry)
        self._duration = Histogram(
            "http_request_duration_seconds",
            "Latency by handler.",
            ["handler", "method"],
            buckets=(0.1, 0.5, 1.0),
            registry=registry,
        )
        self._seen: Tally[str] = Tally()

    def note_adapters(self) -> None:
        """Stamp the present set of adapters. Sets that were seen before stay, as in vLLM."""
        behaviour, engine = self._behaviour(), self._engine
        if not behaviour.adapters:
            return
        running = engine.running_adapters
        waiting = tuple(dict.fromkeys((*running, *engine.waiting_adapters)))
        self._lora.labels(str(behaviour.max_lora), ",".join(running), ",".join(waiting)).set(time.time())

    def note_request(self, received: Received, handler: str) -> None:
        """Count an exchange that is over."""
        if received.status is None:
            return
        self._requests.labels(handler, received.method, f"{received.status // 100}xx").inc()
        for summary, size in zip(self._sizes, (len(received.body), received.bytes_sent), strict=True):
            summary.labels(handler).observe(size)
        seconds = (received.ended or received.arrived) - received.arrived
        self._highr.observe(seconds)
        self._duration.labels(handler, received.method).observe(seconds)

    def render(self) -> bytes:
        """Return the text of the exposition, in the words of the server that is played."""
        behaviour, engine = self._behaviour(), self._engine
        running = _first(behaviour.reported_running, engine.running)
        waiting = _first(behaviour.reported_waiting, engine.waiting)
        usage = _first(behaviour.reported_kv_cache_usage, engine.kv_cache_usage)
        if behaviour.metrics_dialect is MetricsDialect.SGLANG:
            return _plain(
                {"sglang:num_running_reqs": running, "sglang:num_queue_reqs": waiting, "sglang:token_usage": usage},
                f'{{model_name="{behaviour.models[0]}"}}',
            )
        if behaviour.metrics_dialect is MetricsDialect.LLAMACPP:
            return _plain({"llamacpp:requests_processing": running, "llamacpp:requests_deferred": waiting}, "")
        self._update(running, waiting, usage, behaviour)
        text = generate_latest(self._registry)
        if behaviour.metrics_dialect is MetricsDialect.VLLM_OLD:
            text = text.replace(b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc")
        return text

    def _update(self, running: float, waiting: float, usage: float, behaviour: Behaviour) -> None:
        self._gauges["vllm:num_requests_running"].set(running)
        self._gauges["vllm:num_requests_waiting"].set(waiting)
        self._gauges["vllm:kv_cache_usage_perc"].set(usage)
        waits = self._labelled["vllm:num_requests_waiting_by_reason"]
        assert isinstance(waits, Gauge)
        waits.labels(**self._base, reason="capacity").set(waiting)
        blocks = behaviour.kv_cache_tokens // behaviour.block_size
        self._cache.labels(str(behaviour.block_size), "auto", "True", "0", str(blocks)).set(1)
        self.note_adapters()
        for total, counters in _TOTALS.items():
            grown = self._engine.totals[total] - self._seen[total]
            self._seen[total] += grown
            for counter in counters:
                self._counters[counter].inc(grown)
        rejections = self._engine.totals["rejections"] - self._seen["rejections"]
        self._seen["rejections"] += rejections
        rejected = self._labelled["vllm:admission_rejections_total"]
        rejected.labels(model_name=self._base["model_name"], reason="max_num_queued_reqs").inc(rejections)
        self._observe_finished()

    def _observe_finished(self) -> None:
        histograms = self._histograms
        for sequence, reason in self._engine.take_finished():
            ended = sequence.last_token or sequence.arrived
            started = sequence.started or sequence.arrived
            first = sequence.first_token or ended
            gaps = max(0, sequence.generated - 1)
            self._labelled["vllm:request_success_total"].labels(**self._base, finished_reason=reason).inc()
            histograms["vllm:request_prompt_tokens"].observe(sequence.prompt_tokens)
            histograms["vllm:request_generation_tokens"].observe(sequence.generated)
            histograms["vllm:time_to_first_token_seconds"].observe(first - sequence.arrived)
            histograms["vllm:e2e_request_latency_seconds"].observe(ended - sequence.arrived)
            histograms["vllm:request_queue_time_seconds"].observe(started - sequence.arrived)
            histograms["vllm:request_inference_time_seconds"].observe(ended - started)
            histograms["vllm:request_prefill_time_seconds"].observe(first - started)
            histograms["vllm:request_decode_time_seconds"].observe(sequence.decode_time)
            if gaps:
                gap = sequence.decode_time / gaps
                histograms["vllm:request_time_per_output_token_seconds"].observe(gap)
                for _ in range(gaps):
                    histograms["vllm:inter_token_latency_seconds"].observe(gap)


_TOTALS = {
    "prompt_tokens": ("vllm:prompt_tokens_total",),
    "generation_tokens": ("vllm:generation_tokens_total",),
    "prefix_cache_queries": ("vllm:prefix_cache_queries_total",),
    "prefix_cache_hits": ("vllm:prefix_cache_hits_total", "vllm:prompt_tokens_cached_total"),
}


def _first(forced: float | None, true: float) -> float:
    return true if forced is None else forced


def _plain(gauges: Mapping[str, float], labels: str) -> bytes:
    return "".join(f"# TYPE {name} gauge\n{name}{labels} {float(value)}\n" for name, value in gauges.items()).encode()
