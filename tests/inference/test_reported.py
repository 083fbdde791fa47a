from typing import Any

import pytest

from mirrorgate.inference.completions import ApiError, Usage
from mirrorgate.inference.reported import (
    merged_usage,
    read_chat_tokens,
    read_completion_tokens,
    read_error,
    read_usage,
)


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(1, 2)),
        ({"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3}, Usage(1, 2, 3)),
        ({"prompt_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 4}}, Usage(1, None, None, 4)),
        ({"prompt_tokens": "1", "completion_tokens": True}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_usage_of_every_api(value: Any, usage: Usage | None) -> None:
    """Names differ, the counts are the same; what is no count is unknown."""
    assert read_usage(value) == usage


def test_later_usage_wins_field_by_field() -> None:
    """Running totals replace, parts add up to the whole."""
    assert merged_usage(Usage(3, 1), Usage(None, 7)) == Usage(3, 7)
    assert merged_usage(None, Usage(1)) == Usage(1)
    assert merged_usage(Usage(1), None) == Usage(1)
    assert merged_usage(None, None) is None


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"error": {"message": "m", "type": "t", "code": None}}, ApiError("m", "t")),
        ({"error": {"code": 400}}, ApiError("", "", "400")),
        ({"error": "m"}, ApiError("m")),
        ({"error": None, "status": "completed"}, None),
        ({"type": "error", "message": "m"}, ApiError("m", "error")),
        ({"detail": "m"}, ApiError("m")),
        ({"detail": "m", "other": 1}, None),
        ({}, None),
        (7, None),
    ],
)
def test_errors_of_every_shape(value: Any, error: ApiError | None) -> None:
    """A null error is none."""
    assert read_error(value) == error


@pytest.mark.parametrize("value", [None, 7, {}, {"content": None}, {"content": [None, {"logprob": "x"}]}, [[]]])
def test_odd_log_probabilities_are_left_out(value: Any) -> None:
    """Neither shape is thrown by values of other types."""
    assert read_chat_tokens(value) == []
    assert read_completion_tokens(value) == []
    assert read_completion_tokens({"token_logprobs": [None, -1.0], "tokens": "x", "top_logprobs": [None]})[0].text == ""
