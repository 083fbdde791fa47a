from typing import Any

import pytest

from mirrorgate.inference.chat_shape import read_event, read_whole
from mirrorgate.inference.completions import ToolCall
from mirrorgate.inference.drafts import Draft
from mirrorgate.inference.sse import Event


def delta(draft: Draft, **fields: Any) -> tuple[int, ...]:
    return read_event(draft, Event(""), {"choices": [{"index": 0, "delta": fields}]})


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ({"role": "assistant", "content": ""}, False),
        ({"content": None}, False),
        ({}, False),
        ({"content": "a"}, True),
        ({"reasoning": "a"}, True),
        ({"reasoning_content": "a"}, True),
        ({"refusal": "a"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"tool_calls": []}, False),
        ({"function_call": {"name": "f"}}, True),
        ({"content": 7, "tool_calls": "x", "refusal": {}}, False),
    ],
)
def test_what_counts_as_content(fields: dict[str, Any], content: bool) -> None:
    """TTFT and ITL are measured by pieces that have something for the client."""
    assert bool(delta(Draft(), **fields)) is content


def test_reasoning_under_both_names_counts_once() -> None:
    """Servers in transition send the same text twice."""
    draft = Draft()
    delta(draft, reasoning="a", reasoning_content="a")
    delta(draft, reasoning_content="b")
    assert draft.finished()[0].reasoning == "ab"


def test_legacy_function_call() -> None:
    """The field before tools is a tool call too."""
    draft = Draft()
    delta(draft, function_call={"name": "f", "arguments": "{"})
    delta(draft, function_call={"arguments": "}"})
    assert draft.finished()[0].tool_calls == (ToolCall("", "f", "{}"),)


def test_choices_without_an_index_take_their_place() -> None:
    """Some servers leave the index out."""
    draft = Draft()
    read_whole(draft, {"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]})
    assert [choice.text for choice in draft.finished()] == ["a", "b"]


def test_arguments_as_an_object_become_text() -> None:
    """Some servers do not encode them."""
    draft = Draft()
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    read_whole(draft, {"choices": [{"message": {"tool_calls": [call]}}]})
    assert draft.finished()[0].tool_calls[0].arguments == '{"a":1}'
