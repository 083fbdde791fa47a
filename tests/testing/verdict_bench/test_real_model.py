import json
import random

from mirrorgate.comparison.guardrails import Slo
from mirrorgate.inference.completions import Completion, Shape, Timing
from mirrorgate.inference.requests import InferenceRequest, parse_request
from mirrorgate.testing.verdict_bench.real_model import _body, _usual


def test_requests_are_whole_and_never_cached() -> None:
    """Every drawn body is a chat request, whose prompt no leg finds in a cache that another one filled."""
    rng = random.Random(1)
    bodies = [_body(rng) for _ in range(200)]
    for body in bodies:
        request = parse_request("POST", "/v1/chat/completions", "application/json", json.dumps(body).encode())
        assert isinstance(request, InferenceRequest)
        assert body["cache_prompt"] is False
    assert 0.6 < sum("stream" in body for body in bodies) / 200 < 0.8
    assert 0.08 < sum("response_format" in body for body in bodies) / 200 < 0.22


def test_acceptable_is_twice_the_usual() -> None:
    """SLOs come from what production did in the warm-up, answers that do not stream have a say in E2E only."""
    answers = [
        Completion(200, Shape.COMPLETION, timing=Timing(ttft, (), itl, None, e2e))
        for ttft, itl, e2e in ((0.1, 0.01, 1.0), (0.3, 0.03, 2.0), (None, None, 3.0), (0.2, 0.02, 2.0))
    ]
    assert _usual(answers) == Slo(0.4, 0.04, 4.0)
