"""What each event adds to which metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from ..errors import OVERFLOWS
from ..events import (
    ConfigApplied,
    ConfigRefused,
    EndpointChanged,
    Event,
    ExchangeDone,
    FlowControlled,
    MirrorDropped,
    MirrorSent,
    Picked,
    RequestsShed,
    SentAgain,
    ShadowProcessChanged,
)
from ..records import Compared, LegFinished, ShadowDropped
from .error_codes import LEG_FLAGS
from .exchange_tally import Alike, ExchangeTally, Tokens, alike
from .families import Distribution, Family, Tally
from .labels import CappedLabel, operation

__all__ = ["Tallying"]


class Tallying:
    """The additions for every event; those for the end of an exchange are `ExchangeTally`'s."""

    def __init__(self, families: Mapping[str, Family], models: CappedLabel, clock: Callable[[], float]) -> None:
        self._families = families
        self._models = models
        self._clock = clock
        self._exchange = ExchangeTally(families, models)

    def work(self, events: Iterable[Event]) -> list[Callable[[], None]]:
        """Return what counts the events, in their order, each piece of which may fail by itself.

        Ends of exchanges, and picks, of one kind are one piece at the place of their first. One that is no member of
        `Event` is a TypeError.
        """
        done: dict[Alike, list[ExchangeDone]] = {}
        picked: dict[tuple[str, str, str], list[float]] = {}
        work: list[Callable[[], None]] = []
        for event in events:
            if isinstance(event, ExchangeDone):
                key = alike(event)
                group = done.get(key)
                if group is None:
                    group = done[key] = []
                    work.append(partial(self._exchange.add, group))
                group.append(event)
            elif isinstance(event, Picked):
                endpoint = event.cluster, event.endpoint, event.profile
                seconds = picked.get(endpoint)
                if seconds is None:
                    seconds = picked[endpoint] = []
                    work.append(partial(self._picked, endpoint, seconds))
                seconds.append(event.seconds)
            else:
                work.append(partial(self._count, event))
        return work

    def _picked(self, endpoint: tuple[str, str, str], seconds: list[float]) -> None:
        self._tally("mirrorgate_endpoint_picked_total").add(endpoint, len(seconds))
        self._distribution("mirrorgate_pick_seconds").observe_all((endpoint[2],), seconds)
        self._distribution("inference_extension_scheduler_e2e_duration_seconds").observe_all((), seconds)

    def _count(self, event: Event) -> None:
        match event:
            case RequestsShed():
                self._exchange.add_shed(event)
            case SentAgain():
                self._tally("mirrorgate_endpoint_retried_total").add((event.cluster, event.endpoint, event.reason))
            case FlowControlled():
                name = "inference_extension_flow_control_request_queue_duration_seconds"
                self._distribution(name).observe((str(event.priority), event.outcome, event.pool), event.seconds)
            case LegFinished():
                self._leg(event)
            case Compared():
                self._tally("mirrorgate_pairs_total").add((event.cluster, event.outcome))
                if event.similarity is not None:
                    self._distribution("mirrorgate_similarity").observe((event.cluster,), event.similarity)
            case MirrorSent():
                self._tally("mirrorgate_shadow_sent_total").add((event.cluster,))
            case MirrorDropped():
                self._dropped(event.cluster, "candidate", "proxy", event.reason.value)
            case ShadowDropped():
                self._dropped(event.cluster, event.leg.value, "shadow", event.reason)
            case EndpointChanged():
                self._tally("mirrorgate_endpoint_changes_total").add((event.cluster, event.change.value))
            case ShadowProcessChanged():
                self._tally("mirrorgate_shadow_up").set((), float(event.up))
                self._tally("mirrorgate_shadow_restarts_total").set((), float(event.restarts))
            case ConfigApplied():
                self._applied(event)
            case ConfigRefused():
                self._tally("mirrorgate_config_problems").set((), float(event.problems))
                self._tally("mirrorgate_config_reloads_total").add(("refused",))
            case _:
                raise TypeError(f"{type(event).__name__} is no event")

    def loop_lag(self, seconds: float) -> None:
        """Count how late the event loop was."""
        self._distribution("mirrorgate_event_loop_lag_seconds").observe((), seconds)

    def introduce_cluster(self, cluster: str) -> None:
        """Show the counters of a rule at 0."""
        for reason in OVERFLOWS:
            self._tally("mirrorgate_breaker_rejected_total").introduce((cluster, reason.value))
        for name in (
            "envoy_cluster_upstream_rq_total",
            "envoy_cluster_upstream_rq_completed",
            "envoy_cluster_upstream_rq_pending_overflow",
            "envoy_cluster_upstream_rq_active_overflow",
            "envoy_cluster_upstream_rq_timeout",
            "envoy_cluster_upstream_cx_connect_fail",
            "envoy_cluster_upstream_cx_connect_timeout",
            "mirrorgate_request_bytes_total",
            "mirrorgate_response_bytes_total",
        ):
            self._tally(name).introduce((cluster,))

    def introduce_mirror(self, cluster: str) -> None:
        """Show the counters of a mirror at 0."""
        self._tally("mirrorgate_shadow_sent_total").introduce((cluster,))
        self._tally("mirrorgate_shadow_legs_total").introduce((cluster, "candidate", "complete"))
        self._tally("mirrorgate_shadow_dropped_total").introduce((cluster, "candidate", "proxy", "queue_full"))
        self._tally("mirrorgate_shadow_dropped_total").introduce((cluster, "candidate", "proxy", "process_down"))

    def _leg(self, event: LegFinished) -> None:
        leg, cluster = event.leg.value, event.cluster
        complete = event.outcome == "complete" and 200 <= event.status < 300
        model = self._models.of(event.model, proven=complete)
        code = str(event.status) if 100 <= event.status <= 599 else "0"
        flag = LEG_FLAGS.get(event.outcome, "-")
        self._tally("mirrorgate_shadow_legs_total").add((cluster, leg, event.outcome))
        self._tally("mirrorgate_requests_total").add((leg, cluster, cluster, model, code, flag))
        if complete:
            self._tally("mirrorgate_shadow_last_success_timestamp_seconds").set((cluster, leg), self._clock())
        labels = (leg, cluster, model)
        self._distribution("mirrorgate_request_duration_seconds").observe(labels, event.seconds)
        if event.ttft is not None:
            self._distribution("mirrorgate_ttft_seconds").observe(labels, event.ttft)
            if event.completion_tokens is not None and event.completion_tokens > 1:
                each = (event.seconds - event.ttft) / (event.completion_tokens - 1)
                self._distribution("mirrorgate_time_per_output_token_seconds").observe(labels, max(each, 0.0))
        for kind, tokens in (("input", event.prompt_tokens), ("output", event.completion_tokens)):
            if tokens is not None and tokens >= 0:
                self._tally("mirrorgate_tokens_total").add((leg, cluster, model, kind), float(tokens))
                self._tally("mirrorgate_shadow_cost_tokens_total").add((cluster, leg, kind), float(tokens))
        self._exchange.gen_ai(
            operation(event.path), model, model, leg,
            error="" if complete else (event.outcome if event.outcome != "complete" else code),
            durations=[event.seconds], tokens=Tokens([(event, event.seconds)]),
        )  # fmt: skip

    def _dropped(self, cluster: str, leg: str, at: str, reason: str) -> None:
        self._tally("mirrorgate_shadow_dropped_total").add((cluster, leg, at, reason))

    def _applied(self, event: ConfigApplied) -> None:
        self._tally("mirrorgate_config_generation").set((), float(event.generation))
        self._tally("mirrorgate_config_applied_timestamp_seconds").set((), event.at)
        self._tally("mirrorgate_config_problems").set((), 0.0)
        self._tally("mirrorgate_config_warnings").set((), float(event.warnings))
        self._tally("mirrorgate_config_listeners").set((), float(event.listeners))
        self._tally("mirrorgate_config_rules").set((), float(event.rules))
        self._tally("mirrorgate_config_reloads_total").add(("applied",))

    def _tally(self, name: str) -> Tally:
        family = self._families[name]
        assert isinstance(family, Tally)
        return family

    def _distribution(self, name: str) -> Distribution:
        family = self._families[name]
        assert isinstance(family, Distribution)
        return family
