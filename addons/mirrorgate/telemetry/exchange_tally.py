"""What the end of an exchange adds, under every project's names.

It is the one event of the hot path, so families are looked up once, in the constructor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from ..errors import OVERFLOWS, Refusal
from ..events import ExchangeDone, RequestsShed
from .error_codes import error_type, inference_error_code
from .families import Distribution, Family, Tally
from .labels import CappedLabel, code_class, operation

__all__ = ["Alike", "ExchangeTally", "Tokens", "alike"]

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


type Alike = tuple[str, str, str, str, str, int, str, str, str]
"""What decides which cells an exchange counts in."""


def alike(event: ExchangeDone) -> Alike:
    """Return the key that exchanges share which count in the same cells."""
    return (
        event.cluster, event.pool, event.endpoint, event.model, event.target_model, event.status, event.flag,
        event.refusal, operation(event.path),
    )  # fmt: skip


class ExchangeTally:
    """Adds exchanges to some thirty cells: those that count in the same ones, all at once."""

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

    def add(self, events: Sequence[ExchangeDone]) -> None:
        """Count finished exchanges of the primary leg, of one key (`alike`); at least one."""
        first, number = events[0], len(events)
        cluster, refusal = first.cluster, first.refusal
        proven = not refusal and 200 <= first.status < 300
        model = self._models.of(first.model, proven=proven)
        labels = ("primary", cluster, model)
        code = _CODES.get(first.status, "0")
        durations = [event.duration for event in events]
        received, sent = [event.bytes_received for event in events], [event.bytes_sent for event in events]
        tokens = Tokens((event, event.duration) for event in events)
        self._requests.add(("primary", cluster, first.pool, model, code, first.flag), number)
        self._duration.observe_all(labels, durations)
        self._received.add((cluster,), sum(received))
        self._sent.add((cluster,), sum(sent))
        if refusal:
            self._local.add((cluster, refusal), number)
        self._overhead.observe_all((), [event.overhead for event in events if event.overhead is not None])
        self._queue.observe_all((cluster,), [event.queued for event in events if event.queued > 0])
        if first.endpoint:
            self._endpoint.add((cluster, first.endpoint, code_class(first.status)), number)
        self._ttft.observe_all(labels, tokens.ttft)
        self._itl.observe_all(labels, [event.itl for event in events if event.itl is not None])
        self._per_token.observe_all(labels, tokens.per_token)
        if tokens.prompt:
            self._tokens.add((*labels, "input"), sum(tokens.prompt))
        if tokens.completion:
            self._tokens.add((*labels, "output"), sum(tokens.completion))
        if cluster:
            self._envoy(first, code, events)
        if first.model:
            target = self._models.of(first.target_model, proven=proven)
            self._inference((model, target), first, durations, received, sent, tokens)
            self.gen_ai(
                operation(first.path), model, target or model, "primary",
                error=error_type(refusal, first.status, first.flag), durations=durations, tokens=tokens,
            )  # fmt: skip

    def add_shed(self, event: RequestsShed) -> None:
        """Count requests that were refused unread. They have no duration: one of 0 would hide that of the others."""
        sample = event.sample
        code = _CODES.get(sample.status, "0")
        self._requests.add(("primary", "", "", self._models.of("", proven=False), code, sample.flag), event.count)
        self._sent.add(("",), event.bytes_sent)
        self._local.add(("", sample.refusal), event.count)

    def gen_ai(
        self, name: str, model: str, target: str, leg: str, *, error: str, durations: list[float], tokens: Tokens
    ) -> None:
        """Count a leg under OpenTelemetry's names; nothing for an operation that is not of generative AI."""
        if not name:
            return
        labels = (name, model, target, leg)
        self._gen_duration.observe_all((name, model, target, error, leg), durations)
        self._gen_ttft.observe_all(labels, tokens.ttft)
        self._gen_per_token.observe_all(labels, tokens.per_token)
        self._gen_usage.observe_all((name, model, target, "input", leg), tokens.prompt)
        self._gen_usage.observe_all((name, model, target, "output", leg), tokens.completion)

    def _inference(
        self,
        labels: tuple[str, str],
        first: ExchangeDone,
        durations: list[float],
        received: list[int],
        sent: list[int],
        tokens: Tokens,
    ) -> None:
        self._objective.add(labels, len(durations))
        error = inference_error_code(first.refusal, first.status, first.flag)
        if error:
            self._objective_error.add((*labels, error), len(durations))
        self._objective_duration.observe_all(labels, durations)
        self._objective_in.observe_all(labels, received)
        self._objective_out.observe_all(labels, sent)
        self._objective_prompt.observe_all(labels, tokens.prompt)
        self._objective_completion.observe_all(labels, tokens.completion)
        self._objective_normalized.observe_all(labels, tokens.normalized)
        self._objective_ttft.observe_all(labels, tokens.ttft)
        self._objective_tpot.observe_all(labels, tokens.per_token)

    def _envoy(self, first: ExchangeDone, code: str, events: Sequence[ExchangeDone]) -> None:
        cluster, refusal, number = first.cluster, first.refusal, len(events)
        if first.endpoint and refusal not in _NOT_UPSTREAM:
            self._envoy_rq.add((cluster,), sum([max(1, event.attempts) for event in events]))
            self._envoy_time.observe_all((cluster,), [event.duration * 1000.0 for event in events])
        if code != "0":
            self._envoy_code.add((cluster, code), number)
            self._envoy_class.add((cluster, code[0]), number)
            self._envoy_completed.add((cluster,), number)
        if not refusal:
            return
        overflow = self._envoy_overflow.get(refusal)
        if overflow is not None:
            overflow.add((cluster,), number)
        if refusal in OVERFLOWS:
            self._rejected.add((cluster, refusal), number)
        elif refusal in _TIMEOUTS:
            self._envoy_timeout.add((cluster,), number)
        elif refusal in _CONNECT_FAILURES:
            self._envoy_cx_fail.add((cluster,), number)
            if refusal == Refusal.CONNECT_TIMEOUT:
                self._envoy_cx_timeout.add((cluster,), number)


class _Leg(Protocol):
    """What an exchange, or a leg of one, tells of tokens. Seconds; `None` where there is none."""

    @property
    def ttft(self) -> float | None: ...
    @property
    def prompt_tokens(self) -> int | None: ...
    @property
    def completion_tokens(self) -> int | None: ...


class Tokens:
    """What legs tell of their tokens, each list without those that do not tell."""

    __slots__ = ("completion", "normalized", "per_token", "prompt", "ttft")

    def __init__(self, legs: Iterable[tuple[_Leg, float]]) -> None:
        """`legs` come with their durations."""
        self.ttft: list[float] = []
        self.prompt: list[int] = []
        self.completion: list[int] = []
        self.per_token: list[float] = []
        """Seconds for each token behind the first."""
        self.normalized: list[float] = []
        """Seconds for each token, the first one's included."""
        for leg, duration in legs:
            ttft, prompt, completion = leg.ttft, leg.prompt_tokens, leg.completion_tokens
            if prompt is not None and prompt >= 0:
                self.prompt.append(prompt)
            if ttft is not None:
                self.ttft.append(ttft)
            if completion is None or completion < 0:
                continue
            self.completion.append(completion)
            if completion:
                self.normalized.append(duration / completion)
            if ttft is not None and completion > 1:
                self.per_token.append(max(duration - ttft, 0.0) / (completion - 1))
