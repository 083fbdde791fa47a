import dataclasses

import pytest

from mirrorgate.inference.completions import Choice, Completion, Shape, ToolCall, Usage
from mirrorgate.testing.verdict_bench.diffy import Diffy, differing_fields


def answer(text: str = "a", *, status: int = 200, finish: str = "stop", calls: tuple[ToolCall, ...] = ()) -> Completion:
    choice = Choice(0, text, tool_calls=calls, finish_reason=finish)
    return Completion(status, Shape.COMPLETION, model="m", choices=(choice,), usage=Usage(1, len(text)))


def call(arguments: str) -> tuple[ToolCall, ...]:
    return (ToolCall("id", "f", arguments),)


@pytest.mark.parametrize(
    ("right", "fields"),
    [
        (answer(), set()),
        (answer("b"), {"200.content.choices.message.content.PrimitiveDifference"}),
        (answer(finish="length"), {"200.content.choices.finish_reason.PrimitiveDifference"}),
        (answer(status=500), {"200.MissingField", "500.ExtraField"}),
        (answer(calls=call("{}")), {"200.content.choices.message.tool_calls.SeqSizeDifference"}),
        (dataclasses.replace(answer(), usage=None), {"200.content.usage.TypeDifference"}),
    ],
)
def test_fields_are_named_by_path_and_kind(right: Completion, fields: set[str]) -> None:
    """As `Difference.flattened` names them; the elements of an array share their field."""
    assert differing_fields(answer(), right) == fields


def test_json_in_strings_is_looked_into() -> None:
    """Diffy's lifter of strings decodes what is JSON, such as a call's arguments."""
    found = differing_fields(answer(calls=call('{"a":1,"b":2}')), answer(calls=call('{"b":2, "a":3}')))
    assert found == {"200.content.choices.message.tool_calls.function.arguments.a.PrimitiveDifference"}


def test_the_rule_compares_counts_with_the_noise() -> None:
    """Flagged is what differs a fifth more often in the candidate than by noise, and in 0.03 % of the requests."""
    diffy = Diffy()
    for number in range(1000):
        diffy.observe({"text"} | ({"reason"} if number < 10 else set()), {"text"} if number % 10 else set())
    assert diffy.flagged() == ["reason"]


def test_one_difference_in_ten_requests_is_enough() -> None:
    """The rule knows no size of sample: this is a flag, whatever it was."""
    diffy = Diffy()
    for number in range(10):
        diffy.observe({"status"} if number == 4 else set(), set())
    assert diffy.flagged() == ["status"]
