"""What the pipeline is handed."""

from typing import Any

import msgspec

from mirrorgate.replay.frames import fresh_finish, recorded_finish, round_id, started_frame
from mirrorgate.replay.selecting import request_of
from mirrorgate.shadow.answering import Answer, LegOutcome


def test_a_recorded_exchange_keeps_its_time_and_its_answer(captures: Any) -> None:
    """The capture's clock holds; credentials stay out of the frames."""
    entry = captures.entry()
    started = started_frame("x", entry, request_of(entry), [], "recorded", None, 1)
    assert (started.started, started.model, started.reserved) == (1000.0, "fake-model", entry.answer.size)
    assert all(name != b"authorization" for name, _ in started.headers)
    finished = recorded_finish("x", entry)
    assert (finished.outcome, finished.times, finished.chunks) == ("complete", [0.5], entry.answer.chunks)


def test_repeats_are_one_conversation(captures: Any) -> None:
    """Also where the request has nothing that ties its turns together."""
    entry = captures.entry(path="/v1/models", method="GET", body=b"")
    once, again = (started_frame("x", entry, None, [], "p", None, repeat) for repeat in (1, 2))
    assert once.conversation is None
    assert again.conversation
    assert [round_id(entry, number) for number in (1, 2)] == ["a", "a#2"]


def test_a_fresh_primary_s_failure_is_no_complete_answer() -> None:
    """What is larger than what is kept is truncated and whole; all else is cut."""
    large = Answer(LegOutcome.TOO_LARGE, status=200, size=9, kept=4)
    found = [fresh_finish("x", answer) for answer in (Answer(LegOutcome.REFUSED), large)]
    assert [(each.outcome, each.truncated) for each in found] == [("cut", False), ("complete", True)]
    assert msgspec.json.encode(found[0].times) == b"[]"
