"""How a fake model server behaves: its models, its pace, its size, its faults and defects."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .faults import Fault, FaultError

__all__ = ["Behaviour", "BehaviourError", "Canned", "Defect", "MetricsDialect"]


class Defect(enum.StrEnum):
    """What goes wrong when a model is deployed: the answers are well-formed, and worse."""

    WRONG_CHAT_TEMPLATE = "wrong_chat_template"
    """The markers of the template come out as text, and the prompt is misread."""
    DROPPED_SYSTEM_PROMPT = "dropped_system_prompt"
    CLAMPED_MAX_TOKENS = "clamped_max_tokens"
    """No answer is longer than 16 tokens."""
    LOST_STOP_TOKEN = "lost_stop_token"
    """The answer goes on to the limit and repeats itself; `stop` is not honoured."""
    TEMPERATURE_IGNORED = "temperature_ignored"
    """Everything is drawn at temperature 1, without the request's seed."""
    TOOL_PARSER_OFF = "tool_parser_off"
    """A tool call comes out as text."""
    JSON_MODE_OFF = "json_mode_off"
    """`response_format` is not honoured."""
    QUANTISATION_NOISE = "quantisation_noise"
    """One answer in four departs from what the model would say."""
    WRONG_LORA = "wrong_lora"
    """Adapters answer as the base model."""
    SLOW = "slow"
    """All times are three times as long."""
    FLAKY_5XX = "flaky_5xx"
    """One request in twenty gets a 500."""
    TRUNCATED_STREAMS = "truncated_streams"
    """One stream in ten stops without its end."""


class MetricsDialect(enum.StrEnum):
    """Whose names `/metrics` uses."""

    VLLM = "vllm"
    VLLM_OLD = "vllm_old"
    """vLLM before `gpu_cache_usage_perc` became `kv_cache_usage_perc`."""
    SGLANG = "sglang"
    LLAMACPP = "llamacpp"


@dataclass(frozen=True, slots=True)
class Canned:
    """A fixed answer for a path, whatever the method: for tests of a proxy rather than of a model."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[bytes, ...] = (b"",)
    """The body. One piece goes out with Content-Length, several go out chunked, an event of the loop apart."""
    trailers: tuple[tuple[str, str], ...] = ()
    """Sent only after a chunked body."""
    upgrade: str = ""
    """Answers 101 to this protocol, and echoes every byte that follows."""


class BehaviourError(ValueError):
    """A change of behaviour in words that it does not have."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Everything a fake model server can be told. All times in seconds."""

    name: str = "fake"
    """Salts ids and divergence, so that two servers are told apart."""
    models: tuple[str, ...] = ("fake-model",)
    """The served names of the base model; the first labels the metrics."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters, each a model name of its own."""
    max_lora: int = 2
    api_key: str = ""
    """Asked for on `/v1/*` when not empty."""

    personality: str = "default"
    """Which model it is: the same personality answers alike at temperature 0, another one does not."""
    divergence: float = 0.0
    """The share of prompts, in [0, 1], on which the answer departs from the personality's, from some word on."""
    answer: str | None = None
    """Says this and nothing else; `None` generates."""
    answer_tokens: int | None = None
    """Length of every generated answer; `None` lets the prompt decide (8 to 45)."""
    seed: int = 0
    """Of every draw that a request's own seed does not decide."""
    embedding_dimensions: int = 64

    ttft: float = 0.0
    """From the start of the request's run to its first token."""
    prefill: float = 0.0
    """In addition for each token of the prompt that the prefix cache does not hold."""
    itl: float = 0.0
    """Between two tokens."""

    max_num_seqs: int = 256
    """How many requests run; the rest wait, first in first out."""
    max_num_queued_reqs: int | None = None
    """How many may wait; more get vLLM's 503. `None` for no limit."""
    kv_cache_tokens: int = 16384
    """Tokens that fit into the KV cache; a request runs only when its prompt fits."""
    block_size: int = 16
    """Tokens of a block of the prefix cache."""
    max_model_len: int = 4096

    metrics_dialect: MetricsDialect = MetricsDialect.VLLM
    reported_running: int | None = None
    """Reported in place of the true number; so are the next two. `None` tells the truth."""
    reported_waiting: int | None = None
    reported_kv_cache_usage: float | None = None

    faults: tuple[Fault, ...] = ()
    defects: frozenset[Defect] = frozenset()
    canned: Mapping[str, Canned] = field(default_factory=dict)
    """Fixed answers by path, before all else but the faults."""
    quiet_paths: tuple[str, ...] = ("/health", "/metrics", "/control")
    """Paths that leave no line in the log and no record."""

    def changed(self, changes: Mapping[str, Any]) -> Behaviour:
        """Return a copy with fields changed from JSON values.

        Raises `BehaviourError` for a field or a value that it does not have.
        """
        known = {each.name for each in fields(self)}
        converted: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                raise BehaviourError(f"a behaviour has no {name!r} to change")
            try:
                converted[name] = _convert(name, value, getattr(self, name))
            except (FaultError, TypeError, ValueError) as error:
                raise BehaviourError(f"{name}: {error}") from error
        return replace(self, **converted)

    def has(self, defect: Defect) -> bool:
        """Tell whether the defect is on."""
        return defect in self.defects


_OPTIONAL = {
    "answer": str,
    "answer_tokens": int,
    "max_num_queued_reqs": int,
    "reported_running": int,
    "reported_waiting": int,
    "reported_kv_cache_usage": float,
}


def _convert(name: str, value: Any, present: Any) -> Any:
    if name == "canned":
        if not all(isinstance(each, Canned) for each in dict(value).values()):
            raise TypeError("only code can change it")
        return dict(value)
    if name == "faults":
        return tuple(Fault.parse(each) for each in _listed(value))
    if name == "defects":
        return frozenset(Defect(each) for each in _listed(value))
    if name in _OPTIONAL:
        return None if value is None else _OPTIONAL[name](value)
    if isinstance(present, tuple):
        return tuple(str(each) for each in _listed(value))
    return type(present)(value)


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str | Mapping):
        return [value]
    return list(value)
