from statistics import fmean

import pytest

from mirrorgate.testing.model_server.behaviour import Defect
from mirrorgate.testing.verdict_bench.arms import DEFECTIVE, HEALTHY, SLO_E2E, SLO_ITL
from mirrorgate.testing.verdict_bench.pool import Sample, measured
from mirrorgate.testing.verdict_bench.traffic import calls

EVIDENT = {
    Defect.WRONG_CHAT_TEMPLATE: "divergence",
    Defect.DROPPED_SYSTEM_PROMPT: "divergence",
    Defect.CLAMPED_MAX_TOKENS: "truncation",
    Defect.LOST_STOP_TOKEN: "truncation",
    Defect.TEMPERATURE_IGNORED: "divergence",
    Defect.TOOL_PARSER_OFF: "tool_calls",
    Defect.JSON_MODE_OFF: "json_schema",
    Defect.WRONG_LORA: "divergence",
    Defect.SLOW: "itl_slo",
    Defect.FLAKY_5XX: "errors",
    Defect.TRUNCATED_STREAMS: "broken_streams",
}
"""Where each defect shows; a coarser quantisation is near the margin and takes more pairs than a test has."""


@pytest.fixture(scope="module")
def pool() -> dict[str, list[Sample]]:
    return measured(calls(100, 3), (HEALTHY[0], *DEFECTIVE), 3)


def mean(samples: list[Sample], guardrail: str) -> float:
    return fmean(sample.losses.get(guardrail, 0.0) for sample in samples)


@pytest.mark.parametrize("defect", EVIDENT, ids=str)
def test_a_defect_shows_where_it_should(pool: dict[str, list[Sample]], defect: Defect) -> None:
    """Its guardrail's difference is well above what a sound candidate has."""
    sound, guardrail = pool[HEALTHY[0].name], EVIDENT[defect]
    assert mean(pool[defect.value], guardrail) > abs(mean(sound, guardrail)) + 0.015


def test_a_sound_candidate_is_like_production(pool: dict[str, list[Sample]]) -> None:
    """No guardrail's difference is large, and the answers are in time."""
    samples = pool[HEALTHY[0].name]
    assert all(abs(mean(samples, name)) < 0.08 for name in samples[0].losses)
    assert fmean(sample.seconds for sample in samples) < SLO_E2E
    assert SLO_ITL > 0.012


def test_a_seed_is_a_pool() -> None:
    """All randomness comes from the seed."""
    assert measured(calls(5, 1), HEALTHY[:1], 1) == measured(calls(5, 1), HEALTHY[:1], 1)
