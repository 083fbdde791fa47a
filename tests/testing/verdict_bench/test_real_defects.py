import random
from typing import Any

import pytest

from mirrorgate.shadow.answering import Answer, LegOutcome
from mirrorgate.testing.model_server.behaviour import Defect
from mirrorgate.testing.verdict_bench.real_defects import INDUCED, asked, damaged

BODY: dict[str, Any] = {
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
    "max_tokens": 64,
    "temperature": 0,
    "seed": 3,
    "response_format": {"type": "json_object"},
}


def test_requests_are_changed_on_their_way() -> None:
    """Each defect changes its own field, on a copy."""
    changes = {
        Defect.DROPPED_SYSTEM_PROMPT: {"messages": BODY["messages"][1:]},
        Defect.CLAMPED_MAX_TOKENS: {"max_tokens": 16},
        Defect.LOST_STOP_TOKEN: {"ignore_eos": True},
        Defect.TEMPERATURE_IGNORED: {"temperature": 1.0},
    }
    before = dict(BODY)
    for defect, change in changes.items():
        found = asked(defect, BODY)
        assert {name: found[name] for name in change} == change
    assert "response_format" not in asked(Defect.JSON_MODE_OFF, BODY)
    assert "seed" not in asked(Defect.TEMPERATURE_IGNORED, BODY)
    assert asked(None, BODY) == BODY == before
    assert asked(Defect.SLOW, BODY) == BODY


def stream() -> Answer:
    headers = [(b"content-type", b"text/event-stream")]
    return Answer(LegOutcome.COMPLETE, 200, headers, [b"a", b"b", b"c", b"d"], [1.0, 2.0, 3.0, 4.0], head_at=1.0)


def test_answers_are_damaged_on_their_way() -> None:
    """Times are tripled, some answers fail, some streams stop; a sound one is left alone."""
    assert damaged(Defect.SLOW, stream(), random.Random(1)).times == [3.0, 6.0, 9.0, 12.0]
    assert damaged(None, stream(), random.Random(1)) == stream()
    rng = random.Random(1)
    failed = [damaged(Defect.FLAKY_5XX, stream(), rng).status for _ in range(2000)].count(500)
    cut = [len(damaged(Defect.TRUNCATED_STREAMS, stream(), rng).chunks) for _ in range(2000)].count(2)
    assert failed / 2000 == pytest.approx(0.05, abs=0.02)
    assert cut / 2000 == pytest.approx(0.1, abs=0.03)


def test_what_is_left_out_is_known() -> None:
    """Two defects of the catalogue need what the model has not."""
    assert set(Defect) - set(INDUCED) == {Defect.TOOL_PARSER_OFF, Defect.WRONG_LORA}
