"""What the end of an exchange adds, under every project's names.

It is the one event of the hot path, so families are looked up once, in the constructor.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import OVERFLOWS, Refusal
from ..events import ExchangeDone, RequestsShed
from .error_codes import error_type, inference_error_code
from .families import Distribution, Family, Tally
from .labels import CappedLabel, code_class, operation

__all__ = ["ExchangeTally"]

_OVERFLOWS = {
    Refusal.PENDING_OVERFLOW.value: "envoy_cluster_upstream_rq_pending_overflow",
    Refusal.ACTIVE_OVERFLOW.value: "envoy_cluster_upstream_rq_active_overflow",
}
_TIMEOUTS = {
    Refusal.REQUEST_TIMEOUT.value,
    Refusal.PER_TRY_TIMEOUT.value,
    Refusal.STREAM_IDLE.value,
    Refusal.MAX_DURATION.value,
}
_CONNECT_FAILURES = {Refusal.CONNECT_FAILURE.value, Refusal.CONNECT_TIMEOUT.value}
_NOT_UPSTREAM = {
    Refusal.NO_ROUTE.value, Refusal.REDIRECT.value, Refusal.PREFLIGHT.value, Refusal.INVALID_BACKEND.value,
    Refusal.NO_ENDPOINTS.value,
    Refusal.PENDING_OVERFLOW.value, Refusal.ACTIVE_OVERFLOW.value, Refusal.FORCED_OPEN.value, Refusal.SATURATED.value,
    Refusal.BREAKER_OPEN.value,
    Refusal.CONNECT_FAILURE.value, Refusal.CONNECT_TIMEOUT.value,
    Refusal.BAD_REQUEST.value, Refusal.BAD_INFERENCE_REQUEST.value,
    Refusal.UNKNOWN_MODEL.value, Refusal.BODY_TOO_LARGE.value, Refusal.BUFFERS_FULL.value,
    Refusal.HEADERS_TOO_LARGE.value,
    Refusal.REQUEST_HEADER_TIMEOUT.value, Refusal.DRAINING.value, Refusal.INTERNAL.value,
}  # fmt: skip
"""Refusals before a request was written to an upstream. One that came after (`client_left`, timeouts) is not here."""

_CODES = {code: str(code) for code in range(100, 600)}


class ExchangeTally:
    """Adds one `ExchangeDone` to some thirty cells."""

    def __init__(self, families: Mapping[str, Family], models: CappedLabel) -> None:
        def tally(name: str) -> Tally:
            family = families[name]
            assert isinstance(family, Tally)
            return family

        def spread(name: str) -> Distribution:
            family = families[name]
            assert isinstance(family, Distribution)
            return family

        self._models = models
        self._requests = tally("mirrorgate_requests_total")
        self._duration = spread("mirrorgate_request_duration_seconds")
        self._ttft = spread("mirrorgate_ttft_seconds")
        self._itl = spread("mirrorgate_itl_seconds")
        self._per_token = spread("mirrorgate_time_per_output_token_seconds")
        self._tokens = tally("mirrorgate_tokens_total")
        self._received = tally("mirrorgate_request_bytes_total")
        self._sent = tally("mirrorgate_response_bytes_total")
        self._local = tally("mirrorgate_local_replies_total")
        self._overhead = spread("mirrorgate_overhead_seconds")
        self._rejected = tally("mirrorgate_breaker_rejected_total")
        self._queue = spread("mirrorgate_queue_seconds")
        self._endpoint = tally("mirrorgate_endpoint_requests_total")
        self._gen_duration = spread("gen_ai_server_request_duration_seconds")
        self._gen_ttft = spread("gen_ai_server_time_to_first_token_seconds")
        self._gen_per_token = spread("gen_ai_server_time_per_output_token_seconds")
        self._gen_usage = spread("gen_ai_client_token_usage")
        self._objective = tally("inference_objective_request_total")
        self._objective_error = tally("inference_objective_request_error_total")
        self._objective_duration = spread("inference_objective_request_duration_seconds")
        self._objective_in = spread("inference_objective_request_sizes")
        self._objective_out = spread("inference_objective_response_sizes")
        self._objective_prompt = spread("inference_objective_input_tokens")
        self._objective_completion = spread("inference_objective_output_tokens")
        self._objective_normalized = spread("inference_objective_normalized_time_per_output_token_seconds")
        self._objective_ttft = spread("inference_objective_request_ttft_seconds")
        self._objective_tpot = spread("inference_objective_request_tpot_seconds")
        self._envoy_rq = tally("envoy_cluster_upstream_rq_total")
        self._envoy_code = tally("envoy_cluster_upstream_rq")
        self._envoy_class = tally("envoy_cluster_upstream_rq_xx")
        self._envoy_completed = tally("envoy_cluster_upstream_rq_completed")
        self._envoy_time = spread("envoy_cluster_upstream_rq_time")
        self._envoy_timeout = tally("envoy_cluster_upstream_rq_timeout")
        self._envoy_cx_fail = tally("envoy_cluster_upstream_cx_connect_fail")
        self._envoy_cx_timeout = tally("envoy_cluster_upstream_cx_connect_timeout")
        self._envoy_overflow = {refusal: tally(name) for refusal, name in _OVERFLOWS.items()}

    def add(self, event: ExchangeDone) -> None:
        """Count a finished exchange of the primary leg."""
        proven = not event.refusal and 200 <= event.status < 300
        model = self._models.of(event.model, proven=proven)
        labels = ("primary", event.cluster, model)
        code = _CODES.get(event.status, "0")
        self._requests.add(("primary", event.cluster, event.pool, model, code, event.flag))
        self._duration.observe(labels, event.duration)
        self._received.add((event.cluster,), event.bytes_received)
        self._sent.add((event.cluster,), event.bytes_sent)
        if event.refusal:
            self._local.add((event.cluster, event.refusal))
        if event.overhead is not None:
            self._overhead.observe((), event.overhead)
        if event.queued > 0:
            self._queue.observe((event.cluster,), event.queued)
        if event.endpoint:
            self._endpoint.add((event.cluster, event.endpoint, code_class(event.status)))
        per_token = _per_token(event)
        if event.ttft is not None:
            self._ttft.observe(labels, event.ttft)
        if event.itl is not None:
            self._itl.observe(labels, event.itl)
        if per_token is not None:
            self._per_token.observe(labels, per_token)
        if event.prompt_tokens is not None:
            self._tokens.add((*labels, "input"), event.prompt_tokens)
        if event.completion_tokens is not None:
            self._tokens.add((*labels, "output"), event.completion_tokens)
        if event.cluster:
            self._envoy(event, code)
        if event.model:
            target = self._models.of(event.target_model, proven=proven)
            self._inference(event, model, target, per_token)
            self.gen_ai(
                operation(event.path), model, target or model, "primary",
                error=error_type(event.refusal, event.status, event.flag),
                duration=event.duration, ttft=event.ttft,
                tokens=(event.prompt_tokens, event.completion_tokens),
            )  # fmt: skip

    def add_shed(self, event: RequestsShed) -> None:
        """Count requests that were refused unread. They have no duration: one of 0 would hide that of the others."""
        sample = event.sample
        code = _CODES.get(sample.status, "0")
        self._requests.add(("primary", "", "", self._models.of("", proven=False), code, sample.flag), event.count)
        self._sent.add(("",), event.bytes_sent)
        self._local.add(("", sample.refusal), event.count)

    def gen_ai(
        self,
        name: str,
        model: str,
        target: str,
        leg: str,
        *,
        error: str,
        duration: float,
        ttft: float | None,
        tokens: tuple[int | None, int | None],
    ) -> None:
        """Count one leg under OpenTelemetry's names; nothing for an operation that is not of generative AI."""
        if not name:
            return
        labels = (name, model, target, leg)
        self._gen_duration.observe((name, model, target, error, leg), duration)
        prompt, completion = tokens
        if ttft is not None:
            self._gen_ttft.observe(labels, ttft)
            if completion is not None and completion > 1:
                self._gen_per_token.observe(labels, max(duration - ttft, 0.0) / (completion - 1))
        if prompt is not None and prompt >= 0:
            self._gen_usage.observe((name, model, target, "input", leg), prompt)
        if completion is not None and completion >= 0:
            self._gen_usage.observe((name, model, target, "output", leg), completion)

    def _inference(self, event: ExchangeDone, model: str, target: str, per_token: float | None) -> None:
        labels = (model, target)
        self._objective.add(labels)
        error = inference_error_code(event.refusal, event.status, event.flag)
        if error:
            self._objective_error.add((model, target, error))
        self._objective_duration.observe(labels, event.duration)
        self._objective_in.observe(labels, event.bytes_received)
        self._objective_out.observe(labels, event.bytes_sent)
        if event.prompt_tokens is not None:
            self._objective_prompt.observe(labels, event.prompt_tokens)
        if event.completion_tokens is not None:
            self._objective_completion.observe(labels, event.completion_tokens)
            if event.completion_tokens > 0:
                self._objective_normalized.observe(labels, event.duration / event.completion_tokens)
        if event.ttft is not None:
            self._objective_ttft.observe(labels, event.ttft)
        if per_token is not None:
            self._objective_tpot.observe(labels, per_token)

    def _envoy(self, event: ExchangeDone, code: str) -> None:
        cluster = event.cluster
        refusal = event.refusal
        if event.endpoint and refusal not in _NOT_UPSTREAM:
            self._envoy_rq.add((cluster,), max(1, event.attempts))
            self._envoy_time.observe((cluster,), event.duration * 1000.0)
        if code != "0":
            self._envoy_code.add((cluster, code))
            self._envoy_class.add((cluster, code[0]))
            self._envoy_completed.add((cluster,))
        if not refusal:
            return
        overflow = self._envoy_overflow.get(refusal)
        if overflow is not None:
            overflow.add((cluster,))
        if refusal in OVERFLOWS:
            self._rejected.add((cluster, refusal))
        elif refusal in _TIMEOUTS:
            self._envoy_timeout.add((cluster,))
        elif refusal in _CONNECT_FAILURES:
            self._envoy_cx_fail.add((cluster,))
            if refusal == Refusal.CONNECT_TIMEOUT:
                self._envoy_cx_timeout.add((cluster,))


def _per_token(event: ExchangeDone) -> float | None:
    if event.ttft is None or event.completion_tokens is None or event.completion_tokens < 2:
        return None
    return max(event.duration - event.ttft, 0.0) / (event.completion_tokens - 1)
