"""The report of a leg is read from its last bytes."""

from typing import Any

from mirrorgate.shadow.answering import Answer, LegOutcome
from mirrorgate.shadow.legs import measured


def test_a_streamed_leg_reports_its_first_piece_and_its_tokens(new: Any) -> None:
    """TTFT counts from the request, usage comes from the last event."""
    answer = Answer(
        LegOutcome.COMPLETE,
        200,
        [(b"Content-Type", b"text/event-stream; charset=utf-8")],
        [b'data: {"choices": []}\n\n', b'data: {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}\n\n'],
        [1.5, 2.0],
        size=80,
        kept=80,
        sent=0.5,
        head_at=1.0,
        finished=2.0,
    )
    report = measured("a", new.target(1), answer, "m")
    assert (report.ttft, report.prompt_tokens, report.completion_tokens) == (1.0, 3, 4)
    assert (report.bytes, report.seconds, report.model, report.path) == (80, 2.0, "m", "/v1/chat/completions")


def test_a_leg_without_an_answer_reports_none(new: Any) -> None:
    """What did not happen has no number; encoded bodies are not searched."""
    report = measured("a", new.target(1), Answer(LegOutcome.REFUSED, finished=0.1), "")
    assert (report.outcome, report.status, report.ttft, report.prompt_tokens) == ("refused", 0, None, None)
    packed = Answer(LegOutcome.COMPLETE, 200, [(b"content-encoding", b"gzip")], [b'"usage": {"prompt_tokens": 3}'])
    assert measured("a", new.target(1), packed, "").prompt_tokens is None
