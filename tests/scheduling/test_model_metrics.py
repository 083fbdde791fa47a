"""The metrics texts of the engines, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.errors import Problem, Severity
from mirrorgate.scheduling.endpoints import Load
from mirrorgate.scheduling.model_metrics import MAX_SERIES, Engine, LoadSample, parse_metrics

FIXTURES = Path(__file__).parent / "fixtures"


def sample(text: str, engine: Engine | None = None) -> LoadSample:
    found = parse_metrics(text, 12.5, engine)
    assert isinstance(found, LoadSample), found
    return found


def load(text: str) -> Load:
    return sample(text).load


def test_reads_a_busy_vllm() -> None:
    """A recording of vLLM 0.32 gives every signal, the newest LoRA series among them, and no neighbour's."""
    found = sample((FIXTURES / "vllm-busy.txt").read_text())
    assert found.engine is Engine.VLLM
    assert found.missing == ()
    assert found.load == Load(
        waiting=5,
        running=4,
        kv_usage=0.4126984126984127,
        max_lora=2,
        active_adapters=frozenset({"tiny-lora-a", "tiny-lora-b"}),
        waiting_adapters=frozenset({"tiny-lora-a", "tiny-lora-b"}),
        models=frozenset({"tiny"}),
        block_size=32,
        num_blocks=64,
        at=12.5,
    )


def test_reads_llamacpp() -> None:
    """llama.cpp has neither labels nor a KV gauge, and is complete without."""
    found = sample((FIXTURES / "llamacpp.txt").read_text())
    assert found == LoadSample(Engine.LLAMACPP, Load(waiting=7, running=4, at=12.5))


def test_reads_sglang() -> None:
    """Data-parallel ranks are summed, their fullest cache counts, and the grammar queue is another family."""
    found = sample((FIXTURES / "sglang.txt").read_text())
    expected = Load(
        waiting=7, running=5, kv_usage=0.5, models=frozenset({"llama"}), block_size=1, num_blocks=4096, at=12.5
    )
    assert found == LoadSample(Engine.SGLANG, expected)


def test_reads_trtllm() -> None:
    """trtllm-serve has its block counts as gauges."""
    found = sample((FIXTURES / "trtllm.txt").read_text())
    expected = Load(
        waiting=2, running=8, kv_usage=0.75, models=frozenset({"llama"}), block_size=32, num_blocks=1000, at=12.5
    )
    assert found == LoadSample(Engine.TRTLLM, expected)


def test_reads_the_old_kv_name_and_prefers_the_new() -> None:
    """`gpu_cache_usage_perc` counts only where `kv_cache_usage_perc` is not."""
    old = "vllm:num_requests_waiting 0\nvllm:gpu_cache_usage_perc 0.9\n"
    assert load(old).kv_usage == 0.9
    assert load(f"{old}vllm:kv_cache_usage_perc 0.1\n").kv_usage == 0.1


def test_a_partial_text_names_what_is_missing() -> None:
    """A text with only the queue is usable."""
    found = sample("vllm:num_requests_waiting 3\n")
    assert found.load == Load(waiting=3, at=12.5)
    assert found.missing == ("vllm:num_requests_running", "vllm:kv_cache_usage_perc")


@pytest.mark.parametrize(
    ("lines", "adapters"),
    [
        ('{max_lora="4",running_lora_adapters=" a , b,,",waiting_lora_adapters=""} 2', {"a", "b"}),
        ('{max_lora="4",running_lora_adapters="",waiting_lora_adapters=""} 2', set()),
        ('{max_lora="4",running_lora_adapters="x\\"y}z",waiting_lora_adapters=""} 2', {'x"y}z'}),
        ('{max_lora="4",running_lora_adapters="new",waiting_lora_adapters=""} NaN', {"old"}),
    ],
)
def test_lora_labels(lines: str, adapters: set[str]) -> None:
    """Names are trimmed and unescaped, the largest finite value wins, whatever the order."""
    old = 'vllm:lora_requests_info{max_lora="4",running_lora_adapters="old",waiting_lora_adapters=""} 1\n'
    base = "vllm:num_requests_waiting 0\n"
    new = f"vllm:lora_requests_info{lines}\n"
    assert load(base + old + new).active_adapters == adapters
    assert load(base + new + old).active_adapters == adapters


@pytest.mark.parametrize(
    ("value", "waiting"),
    [("5", 5), ("5.0", 5), ("5e0 1700000000000", 5), ("-3", 0), ("1e300", 1_000_000_000), ("5\r", 5), ("7 # {} 1", 7)],
)
def test_values_are_brought_into_range(value: str, waiting: int) -> None:
    """A gauge may be a float, have a time stamp or an exemplar, or be nonsense."""
    assert load(f"vllm:num_requests_waiting {value}\n").waiting == waiting


@pytest.mark.parametrize(("value", "usage"), [("1.7", 1.0), ("-0.1", 0.0), ("NaN", None), ("+Inf", None)])
def test_kv_usage_is_a_share(value: str, usage: float | None) -> None:
    """KV usage is clamped, and unknown when it is not finite."""
    assert load(f"vllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc {value}\n").kv_usage == usage


@pytest.mark.parametrize("size", ["None", "0", "-1", "x", "²", "9" * 40])
def test_unusable_block_sizes_are_unknown(size: str) -> None:
    """A label that holds no count is not taken for one."""
    text = f'vllm:num_requests_waiting 0\nvllm:cache_config_info{{block_size="{size}",num_gpu_blocks="None"}} 1\n'
    assert load(text).block_size is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"path": "/metrics"}',
        "<html>vllm:num_requests_waiting 1</html>",
        "# vllm:num_requests_waiting 1\n",
        "vllm:num_requests_waiting\n",
        "vllm:num_requests_waiting x\n",
        "vllm:num_requests_waiting NaN\n",
        'vllm:num_requests_waiting{engine="0 1\n',
        "vllm:num_requests_waiting_created 1\n",
    ],
)
def test_texts_without_a_queue_are_problems(text: str) -> None:
    """What is no metrics text, or has no usable queue, is a warning and not a load."""
    found = parse_metrics(text)
    assert isinstance(found, Problem)
    assert found.severity is Severity.WARNING


def test_an_expected_engine_is_the_only_one_looked_for() -> None:
    """A named engine is not overruled by another's metrics."""
    assert isinstance(parse_metrics("llamacpp:requests_deferred 1\n", engine=Engine.VLLM), Problem)


def test_too_many_series_are_a_problem() -> None:
    """A text made to be slow is refused."""
    found = parse_metrics("vllm:num_requests_waiting 1\n" * (MAX_SERIES + 1))
    assert isinstance(found, Problem)
    assert str(MAX_SERIES) in found.message


@given(st.text(st.sampled_from('vllm:num_requests_waiting{}",=\\ 1e9.-\n#'), max_size=200))
def test_any_text_gives_a_load_or_a_problem(text: str) -> None:
    """No text raises, and every load is in range."""
    found = parse_metrics("vllm:num_requests_waiting " + text)
    if isinstance(found, LoadSample):
        assert found.load.waiting >= 0


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8))
def test_engines_are_summed(depths: list[int]) -> None:
    """The waiting queue is the sum over the engines, in whatever number."""
    lines = (f'vllm:num_requests_waiting{{engine="{i}"}} {depth}\n' for i, depth in enumerate(depths))
    assert load("".join(lines)).waiting == sum(depths)
