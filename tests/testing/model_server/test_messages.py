"""Bodies and events of the messages API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mirrorgate.testing.model_server import messages
from mirrorgate.testing.model_server.asks import Ask, Shape, Tool
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.generation import generate


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "end_turn"),
        ({"max_tokens": 2}, "max_tokens"),
        ({"stop": (" ",)}, "stop_sequence"),
        ({"tools": (Tool("f", {"type": "object"}),), "tool_choice": "f"}, "tool_use"),
    ],
)
def test_a_stream_says_what_the_whole_says(more: dict[str, Any], reason: str) -> None:
    """Blocks, reason and usage are the same; the reason is in this API's words."""
    ask = Ask(Shape.MESSAGES, "m", "", "user: hi", "hi", temperature=0.0, **more)
    answer = generate(ask, Behaviour(), 1)
    whole = messages.whole(ask, [answer], "1", 0)
    blocks = [event.data.decode().split("\n") for event in messages.events(ask, [answer], "1", 0)]
    events = [json.loads(lines[1].removeprefix("data: ")) for lines in blocks]
    assert [f"event: {event['type']}" for event in events] == [lines[0] for lines in blocks]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    if reason == "tool_use":
        assert json.loads("".join(delta["partial_json"] for delta in deltas)) == whole["content"][0]["input"]
    else:
        assert "".join(delta["text"] for delta in deltas) == whole["content"][0]["text"]
    assert events[-2]["delta"]["stop_reason"] == whole["stop_reason"] == reason
    assert events[-2]["usage"] == whole["usage"]
