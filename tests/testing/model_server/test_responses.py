"""Bodies and events of the responses API."""

from __future__ import annotations

import json

from mirrorgate.testing.model_server import responses
from mirrorgate.testing.model_server.asks import Ask, Shape, Tool
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.generation import generate

ASK = Ask(Shape.RESPONSES, "m", "", "user: hi", "hi", temperature=0.0)


def stream(ask: Ask) -> list[tuple[str, dict[str, object]]]:
    """Return (name, data) of each event."""
    blocks = [
        event.data.decode().split("\n") for event in responses.events(ask, [generate(ask, Behaviour(), 1)], "1", 0)
    ]
    return [(lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))) for lines in blocks]


def test_a_stream_counts_its_events_and_ends_with_the_whole() -> None:
    """Names are types, numbers have no gap, deltas join to the text."""
    events = stream(ASK)
    assert all(name == data["type"] for name, data in events)
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
    text = "".join(str(data["delta"]) for name, data in events if name == "response.output_text.delta")
    whole = responses.whole(ASK, [generate(ASK, Behaviour(), 1)], "1", 0)
    assert whole["output"][0]["content"][0]["text"] == text
    assert events[-1] == ("response.completed", events[-1][1])
    assert events[-1][1]["response"] == whole


def test_a_cut_answer_is_incomplete() -> None:
    """The status, the details and the last event say so."""
    cut = Ask(Shape.RESPONSES, "m", "", "user: hi", "hi", temperature=0.0, max_tokens=2)
    assert stream(cut)[-1][0] == "response.incomplete"
    assert responses.whole(cut, [generate(cut, Behaviour(), 1)], "1", 0)["incomplete_details"]


def test_a_function_call_is_an_item() -> None:
    """With its name and its arguments as JSON text."""
    ask = Ask(Shape.RESPONSES, "m", "", "user: hi", "hi", tools=(Tool("f", {"type": "object"}),), tool_choice="f")
    names = [name for name, _ in stream(ask)]
    assert "response.function_call_arguments.done" in names
    assert responses.whole(ask, [generate(ask, Behaviour(), 1)], "1", 0)["output"][0]["name"] == "f"
