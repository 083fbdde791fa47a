"""The histograms' bounds, against their origins."""

from __future__ import annotations

from mirrorgate.telemetry import buckets


def test_bounds_of_opentelemetry() -> None:
    """Durations double from 10 ms to 81.92 s, tokens go in powers of four to 67,108,864."""
    assert len(buckets.GEN_AI_DURATION) == 14
    assert buckets.GEN_AI_DURATION[-1] == 81.92
    assert buckets.GEN_AI_TOKENS[-1] == 67_108_864
    assert buckets.GEN_AI_TTFT[:6] == (0.001, 0.005, 0.01, 0.02, 0.04, 0.06)
    assert buckets.GEN_AI_TTFT[10:16] == (0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


def test_bounds_of_the_inference_extension() -> None:
    """Tokens go in powers of two to 1,048,576 in and 8,192 out; durations to an hour."""
    assert buckets.INFERENCE_INPUT_TOKENS[-1] == 1_048_576
    assert buckets.INFERENCE_OUTPUT_TOKENS[-1] == 8192
    assert buckets.INFERENCE_DURATION[-1] == 3600
    assert len(buckets.INFERENCE_DURATION) == 35


def test_all_bounds_ascend() -> None:
    """Every tuple that is offered is one of ascending bounds."""
    for name in buckets.__all__:
        bounds = getattr(buckets, name)
        assert list(bounds) == sorted(set(bounds))
