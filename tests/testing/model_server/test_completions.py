"""Completion bodies and events."""

from __future__ import annotations

import json

from mirrorgate.testing.model_server import completions
from mirrorgate.testing.model_server.asks import Ask, Shape
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.generation import generate

ASK = Ask(Shape.COMPLETIONS, "m", "", "user: hi", "hi", temperature=0.0, logprobs=1, include_usage=True)


def test_a_stream_says_what_the_whole_says() -> None:
    """Text, reason, offsets of tokens and usage are the same."""
    answer = generate(ASK, Behaviour(), 1)
    whole = completions.whole(ASK, [answer], "1", 0)
    events = [json.loads(event.data[6:]) for event in list(completions.events(ASK, [answer], "1", 0))[:-1]]
    choices = [event["choices"][0] for event in events[:-1]]
    assert "".join(choice["text"] for choice in choices) == whole["choices"][0]["text"] == answer.text
    assert choices[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]
    offsets = [choice["logprobs"]["text_offset"][0] for choice in choices]
    assert offsets == whole["choices"][0]["logprobs"]["text_offset"]
    assert events[-1]["usage"].items() <= whole["usage"].items()
    assert whole["id"] == "cmpl-1"
