"""Model servers' `/metrics` texts, read for the few signals that a pick goes by.

Names are those of the model server protocol (Gateway API Inference Extension, proposal 003) and of recordings of
vLLM 0.32 and llama.cpp. A full parse of vLLM's 50 KB costs 14 ms; looking for the wanted names alone costs 0.2 ms.

Rules where the protocol is silent or upstream differs, each on purpose:

- several series of a gauge (data-parallel engines): waiting and running are summed, KV usage is the largest;
- a name matches as a whole: `..._by_reason` and the `..._created` gauges beside counters are other families;
- `vllm:lora_requests_info` is a gauge of Unix times whose old label sets never go away, so the series with the
  largest value counts; without the family (no adapter was loaded yet) nothing is known and nothing has failed;
- values that are not finite, or not numbers, are skipped.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import Problem, Severity
from .endpoints import Load

__all__ = ["Engine", "LoadSample", "parse_metrics"]


class Engine(enum.StrEnum):
    """A family of model servers, told by the prefix of its metrics."""

    VLLM = "vllm"
    SGLANG = "sglang"
    LLAMACPP = "llama.cpp"
    TRTLLM = "trtllm-serve"


@dataclass(frozen=True, slots=True)
class LoadSample:
    """One text, understood."""

    engine: Engine
    load: Load
    missing: tuple[str, ...] = ()
    """Families that this engine usually has and this text has not; their fields have the defaults of `Load`."""


@dataclass(frozen=True, slots=True)
class _Names:
    waiting: str
    running: str
    kv_usage: tuple[str, ...] = ()
    """In order of preference: the present name, then older ones."""
    kv_usage_expected: bool = True
    """Whether a text without it is incomplete."""
    cache_info: str = ""
    """An info gauge whose labels are the next two."""
    block_size: str = ""
    num_blocks: str = ""
    block_size_gauge: str = ""
    num_blocks_gauge: str = ""
    lora: str = ""


_NAMES: dict[Engine, _Names] = {
    Engine.VLLM: _Names(
        waiting="vllm:num_requests_waiting",
        running="vllm:num_requests_running",
        kv_usage=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        cache_info="vllm:cache_config_info",
        block_size="block_size",
        num_blocks="num_gpu_blocks",
        lora="vllm:lora_requests_info",
    ),
    Engine.SGLANG: _Names(
        waiting="sglang:num_queue_reqs",
        running="sglang:num_running_reqs",
        kv_usage=("sglang:token_usage",),
        cache_info="sglang:cache_config_info",
        block_size="page_size",
        num_blocks="num_pages",
    ),
    Engine.LLAMACPP: _Names(
        waiting="llamacpp:requests_deferred",
        running="llamacpp:requests_processing",
        # Older builds have the gauge, present ones do not.
        kv_usage=("llamacpp:kv_cache_usage_ratio",),
        kv_usage_expected=False,
    ),
    Engine.TRTLLM: _Names(
        waiting="trtllm_num_requests_waiting",
        running="trtllm_num_requests_running",
        kv_usage=("trtllm_kv_cache_utilization",),
        block_size_gauge="trtllm_kv_cache_tokens_per_block",
        num_blocks_gauge="trtllm_kv_cache_max_blocks",
    ),
}

MAX_SERIES = 16_384
"""Series of one family; a text with more is refused, so that no text costs more than some milliseconds."""

_MAX_COUNT = 1_000_000_000

# Possessive quantifiers: a hostile label block cannot make the match backtrack.
_SERIES = re.compile(r'(?:\{((?:[^"}\n]|"(?:[^"\\\n]|\\.)*+")*+)\})?[ \t]*+([^ \t\r\n{}"]++)')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\]|\\.)*+)"')
_ESCAPE = re.compile(r"\\(.)")
_UNESCAPED = {"n": "\n", "\\": "\\", '"': '"'}


def parse_metrics(text: str, at: float = 0.0, engine: Engine | None = None) -> LoadSample | Problem:
    """Read a Prometheus or OpenMetrics text exposition.

    *at* becomes `Load.at`. *engine* is detected when `None`: the first of `Engine` whose waiting queue is in the text.
    A text without a usable waiting queue is a `Problem` (a warning: the endpoint can still be picked, unscored).
    """
    text = f"\n{text}"
    for candidate in (engine,) if engine is not None else Engine:
        found = _read(text, at, candidate)
        if found is not None:
            return found
    expected = ", ".join(_NAMES[e].waiting for e in ((engine,) if engine is not None else Engine))
    return Problem(f"the metrics hold none of {expected}", severity=Severity.WARNING)


class _TooManySeries(Exception):
    """More series of one family than `MAX_SERIES`."""


def _read(text: str, at: float, engine: Engine) -> LoadSample | Problem | None:
    """Read one engine's families; `None` when its waiting queue is not there."""
    names = _NAMES[engine]
    missing: list[str] = []
    try:
        waiting = [(value, labels) for labels, value in _samples(text, names.waiting)]
        if not waiting:
            return None
        running = [value for _, value in _samples(text, names.running)]
        if not running:
            missing.append(names.running)
        kv_usage = _kv_usage(text, names)
        if kv_usage is None and names.kv_usage_expected:
            missing.extend(names.kv_usage[:1])
        block_size, num_blocks = _cache(text, names)
        max_lora, active, queued = _lora(text, names.lora) if names.lora else (0, frozenset(), frozenset())
    except _TooManySeries as error:
        return Problem(f"the metrics hold more than {MAX_SERIES} series of {error}", severity=Severity.WARNING)
    models = frozenset(name for _, labels in waiting if (name := _labels(labels).get("model_name")))
    load = Load(
        waiting=_count(sum(value for value, _ in waiting)),
        running=_count(sum(running)),
        kv_usage=kv_usage,
        max_lora=max_lora,
        active_adapters=active,
        waiting_adapters=queued,
        models=models,
        block_size=block_size,
        num_blocks=num_blocks,
        at=at,
    )
    return LoadSample(engine, load, tuple(missing))


def _samples(text: str, name: str) -> Iterator[tuple[str, float]]:
    """Find the series of one family: the text of the labels and the value."""
    needle = f"\n{name}"
    size = len(needle)
    position = text.find(needle)
    seen = 0
    while position >= 0:
        end = position + size
        # A letter here is a longer name; a `{` or a blank ends this one.
        if text[end : end + 1] in ("{", " ", "\t") and (match := _SERIES.match(text, end)) is not None:
            seen += 1
            if seen > MAX_SERIES:
                raise _TooManySeries(name)
            try:
                value = float(match[2])
            except ValueError:
                value = math.nan
            if math.isfinite(value):
                yield match[1] or "", value
        position = text.find(needle, end)


def _labels(text: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for match in _LABEL.finditer(text):
        name, value = match[1], match[2]
        labels[name] = _ESCAPE.sub(_unescape, value) if "\\" in value else value
    return labels


def _unescape(match: re.Match[str]) -> str:
    return _UNESCAPED.get(match[1], match[0])


def _count(value: float) -> int:
    """Make a count of a gauge: not negative, and bounded so that no sum of garbage overflows a float."""
    return int(min(max(value, 0.0), _MAX_COUNT))


def _positive(text: str | None) -> int | None:
    """Read a label that holds a count; `None` for "None", 0 and anything that is no number."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 12:
        return None
    return int(text) or None


def _kv_usage(text: str, names: _Names) -> float | None:
    for name in names.kv_usage:
        values = [value for _, value in _samples(text, name)]
        if values:
            return min(max(max(values), 0.0), 1.0)
    return None


def _cache(text: str, names: _Names) -> tuple[int | None, int | None]:
    """Find the largest block size and the sum of blocks, from an info gauge's labels or from two gauges."""
    sizes: list[int] = []
    blocks: list[int] = []
    if names.cache_info:
        for found, _ in _samples(text, names.cache_info):
            labels = _labels(found)
            if size := _positive(labels.get(names.block_size)):
                sizes.append(size)
            if number := _positive(labels.get(names.num_blocks)):
                blocks.append(number)
    if names.block_size_gauge:
        sizes += [_count(value) for _, value in _samples(text, names.block_size_gauge)]
    if names.num_blocks_gauge:
        blocks += [_count(value) for _, value in _samples(text, names.num_blocks_gauge)]
    return max(sizes, default=0) or None, sum(blocks) or None


def _lora(text: str, name: str) -> tuple[int, frozenset[str], frozenset[str]]:
    """Read the newest label set: how many adapters fit, which are active, which are waited for."""
    newest, latest = "", -math.inf
    for labels, value in _samples(text, name):
        if value >= latest:
            newest, latest = labels, value
    if latest == -math.inf:
        return 0, frozenset(), frozenset()
    found = _labels(newest)
    return (
        _positive(found.get("max_lora")) or 0,
        _adapters(found.get("running_lora_adapters", "")),
        _adapters(found.get("waiting_lora_adapters", "")),
    )


def _adapters(names: str) -> frozenset[str]:
    return frozenset(name for part in names.split(",") if (name := part.strip()))
