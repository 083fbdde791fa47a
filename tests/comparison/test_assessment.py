import json
import random
from typing import Any

import pytest

from mirrorgate.comparison.assessment import assess, is_empty, is_refusal, is_repetitive
from mirrorgate.inference.apis import Api
from mirrorgate.inference.completions import Broken, Choice, Completion, Shape, ToolCall, Usage
from mirrorgate.inference.requests import InferenceRequest, parse_request


def answer(text: str = "Fine.", **extra: Any) -> Completion:
    choice = Choice(0, text, finish_reason=extra.pop("finish", "stop"))
    return Completion(200, Shape.COMPLETION, Api.CHAT, choices=(choice,), usage=Usage(1, 2), done=True, **extra)


def asking(**fields: Any) -> InferenceRequest:
    parsed = parse_request("POST", "/v1/chat/completions", None, json.dumps({"model": "m", **fields}).encode())
    assert isinstance(parsed, InferenceRequest)
    return parsed


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot assist with this request.",
        "I can\u2019t do that.",
        "Sorry, I am unable to answer.",
        "As an AI language model, I cannot feel pain.",
        "I won't provide that.",
        "Unfortunately, I can't share this.",
        "I'm not able to discuss it.",
    ],
)
def test_usual_refusals_are_recognised(text: str) -> None:
    """Refusals begin in a handful of ways."""
    assert is_refusal(Choice(0, text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I can help with that.",
        "You cannot divide by zero.",
        "Sorry for the wait! Here is the list.",
        "I will notify the team.",
        "The function can't be inlined.",
        "I canoe on weekends.",
    ],
)
def test_ordinary_answers_are_no_refusals(text: str) -> None:
    """The words alone are not enough."""
    assert not is_refusal(Choice(0, text))


def test_refusal_by_field_or_filter() -> None:
    """The API's own signs count first; a tool call is no refusal."""
    assert is_refusal(Choice(0, refusal="no"))
    assert is_refusal(Choice(0, "ok", finish_reason="content_filter"))
    assert not is_refusal(Choice(0, "I can't say; let me look.", tool_calls=(ToolCall("", "f", "{}"),)))


def test_emptiness() -> None:
    """White space is nothing; a tool call or a refusal is something."""
    assert is_empty(Choice(0, " \n"))
    assert not is_empty(Choice(0, "", refusal="no"))
    assert not is_empty(Choice(0, tool_calls=(ToolCall("", "f", "{}"),)))


def test_loops_are_repetitive_and_prose_is_not() -> None:
    """A short loop, a long loop and a stutter count; a table, a list and random words do not."""
    rng = random.Random(7)
    words = [f"{rng.choice('bcdfg')}{rng.choice('aeiou')}{rng.choice('lmnrst')}" for _ in range(400)]
    assert is_repetitive("and then " * 60)
    assert is_repetitive("the end of the day is the best time. " * 30)
    assert is_repetitive(" ".join(words[:60]) + " no I do not" * 30)
    assert not is_repetitive(" ".join(words))
    assert not is_repetitive("ha " * 20)
    assert not is_repetitive("\n".join(f"| {word} | {index} | {index * 7} |" for index, word in enumerate(words[:60])))


def test_failures_are_told_from_broken_answers() -> None:
    """No usable head is a failure, a good head with a bad rest is broken, our own bounds are neither."""
    failed = assess(Completion(503, Shape.ERROR), None, None)
    assert (failed.failed, failed.ok, failed.error) == (True, False, "status 503")
    none = assess(Completion(0, Shape.EMPTY, broken=Broken.CUT, outcome="timeout"), None, None)
    assert (none.failed, none.broken, none.error) == (True, Broken.NO, "timeout")
    broken = assess(answer(broken=Broken.NO_DONE_MARKER), None, None)
    assert (broken.failed, broken.ok, broken.readable) == (False, False, False)
    kept = assess(answer(broken=Broken.TRUNCATED), None, None)
    assert (kept.ok, kept.readable) == (True, False)
    left = assess(answer(broken=Broken.CUT, outcome="client_left"), None, None)
    assert not left.scored


def test_content_of_an_answer() -> None:
    """Truncation and counts come from the answer itself."""
    found = assess(answer(finish="length"), None, None)
    assert (found.truncated, found.finish_reason, found.characters) == (True, "length", 5)
    assert (found.prompt_tokens, found.completion_tokens) == (1, 2)


@pytest.mark.parametrize(
    ("text", "valid"),
    [('{"a": 1}', True), (' {"a": 1}\n', True), ('{"a": "x"}', False), ("```json\n{}\n```", False), ("", False)],
)
def test_json_that_was_asked_for(text: str, valid: bool) -> None:
    """The whole text has to be JSON and fit the schema; without a request for it nothing is judged."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    request = asking(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert assess(answer(text), request, {}).schema_valid is valid
    assert assess(answer(text), asking(), {}).schema_valid is None
    assert assess(answer("[1]"), asking(response_format={"type": "json_object"}), {}).schema_valid is True
