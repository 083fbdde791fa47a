import json
from typing import Any

import pytest

from mirrorgate.comparison.structure import Change, Difference, IgnoredPaths
from mirrorgate.comparison.tool_calls import check_calls, compare_calls, declared_schemas, looks_unparsed
from mirrorgate.inference.completions import Choice, ToolCall
from mirrorgate.inference.requests import InferenceRequest, parse_request

NONE = IgnoredPaths(())


def request() -> InferenceRequest:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": schema}}]
    tools.append({"type": "function", "function": {"name": "time"}})
    body = json.dumps({"model": "m", "messages": [], "tools": tools}).encode()
    parsed = parse_request("POST", "/v1/chat/completions", None, body)
    assert isinstance(parsed, InferenceRequest)
    return parsed


def calling(*calls: tuple[str, Any]) -> Choice:
    texts = [(name, given if isinstance(given, str) else json.dumps(given)) for name, given in calls]
    return Choice(0, tool_calls=tuple(ToolCall(f"id-{name}", name, text) for name, text in texts))


@pytest.mark.parametrize(
    ("name", "arguments", "valid"),
    [
        ("weather", {"city": "Oslo"}, True),
        ("weather", {"city": 7}, False),
        ("weather", {}, False),
        ("weather", '{"city": "Os', False),
        ("weather", "[1]", False),
        ("time", {"any": 1}, True),
        ("time", "", True),
        ("unknown", {}, False),
    ],
)
def test_a_call_is_checked_against_the_request(name: str, arguments: Any, valid: bool) -> None:
    """The function is declared, the arguments are an object and fit the function's own schema."""
    (check,) = check_calls(calling((name, arguments)), declared_schemas(request()))
    assert check.valid is valid


def test_without_a_request_only_the_form_is_checked() -> None:
    """A journal without content still tells broken JSON."""
    assert check_calls(calling(("x", {})), None)[0].valid
    assert not check_calls(calling(("x", "{")), None)[0].valid


def test_the_same_calls_are_the_same_whatever_their_form() -> None:
    """Ids, spaces and the order of arguments do not count."""
    left = calling(("weather", '{"city": "Oslo", "unit": "C"}'))
    right = calling(("weather", '{"unit":"C","city":"Oslo"}'))
    found = compare_calls(left, right, declared_schemas(request()), NONE)
    assert found is not None
    assert (found.same_names, found.same_arguments, found.similarity) == (True, True, 1.0)


def test_differences_name_the_call_and_the_argument() -> None:
    """Arguments are compared by path; another function or a missing call counts as nothing in common."""
    left = calling(("weather", {"city": "Oslo", "unit": "C"}), ("time", {}))
    right = calling(("weather", {"city": "Bergen", "unit": "C"}))
    found = compare_calls(left, right, None, NONE)
    assert found is not None
    assert found.differences == (Difference("$[0].city", Change.CHANGED, "Oslo", "Bergen"),)
    assert (found.same_names, found.similarity) == (False, 0.25)
    assert compare_calls(Choice(0), Choice(0), None, NONE) is None


@pytest.mark.parametrize(
    ("text", "unparsed"),
    [('<tool_call>{"name": "f"}</tool_call>', True), ("[TOOL_CALLS] [{}]", True), ("Use the tool.", False)],
)
def test_raw_markup_in_the_text_is_a_call_that_was_not_parsed(text: str, unparsed: bool) -> None:
    """A server whose tool parser is off answers with the model's own markup."""
    assert looks_unparsed(Choice(0, text)) is unparsed
