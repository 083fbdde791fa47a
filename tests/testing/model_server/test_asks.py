"""Reading requests as vLLM does, errors included."""

from __future__ import annotations

from typing import Any

import pytest

from mirrorgate.testing.model_server.api_errors import ApiError
from mirrorgate.testing.model_server.asks import Ask, Shape, parse_ask, parse_json
from mirrorgate.testing.model_server.behaviour import Behaviour

BEHAVIOUR = Behaviour(models=("tiny",), adapters=("tiny-lora-a",), max_model_len=64)
MESSAGES = [{"role": "user", "content": "hello"}]


def read(shape: Shape, **body: Any) -> Ask:
    """Read a body that is right."""
    ask = parse_ask(shape, body, BEHAVIOUR)
    assert isinstance(ask, Ask)
    return ask


def refuse(shape: Shape = Shape.CHAT, **body: Any) -> tuple[int, dict[str, Any]]:
    """Read a body that is wrong."""
    error = parse_ask(shape, body, BEHAVIOUR)
    assert isinstance(error, ApiError)
    return error.status, error.body["error"]


def test_every_shape_gives_the_same_system_and_question() -> None:
    """The four APIs are four spellings of one question."""
    parts = [{"type": "text", "text": "hello"}]
    asks = [
        read(Shape.CHAT, messages=[{"role": "system", "content": "kind"}, {"role": "user", "content": parts}]),
        read(Shape.MESSAGES, messages=MESSAGES, system="kind", max_tokens=9),
        read(Shape.RESPONSES, input="hello", instructions="kind"),
    ]
    assert {(ask.system, ask.question, ask.prompt) for ask in asks} == {("kind", "hello", "user: hello")}
    assert read(Shape.COMPLETIONS, prompt="hello").question == "hello"


def test_sampling_parameters_are_read() -> None:
    """Each by its name, with the API's defaults."""
    ask = read(
        Shape.CHAT,
        messages=MESSAGES,
        max_completion_tokens=7,
        temperature=0,
        seed=3,
        stop="x",
        n=2,
        logprobs=True,
        top_logprobs=2,
        stream=True,
        stream_options={"include_usage": True},
        tool_choice={"type": "function", "function": {"name": "f"}},
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    )
    assert (ask.max_tokens, ask.temperature, ask.seed, ask.stop, ask.n) == (7, 0.0, 3, ("x",), 2)
    assert (ask.logprobs, ask.stream, ask.include_usage, ask.tool_choice) == (2, True, True, "f")
    assert read(Shape.CHAT, messages=MESSAGES).temperature == 1.0
    assert read(Shape.COMPLETIONS, prompt="x").max_tokens == 16


@pytest.mark.parametrize(
    ("body", "status", "kind", "param"),
    [
        ({"model": "nope", "messages": MESSAGES}, 404, "NotFoundError", "model"),
        ({"model": "tiny"}, 400, "Bad Request", "body.messages"),
        ({"messages": "hello"}, 400, "Bad Request", "body.messages"),
        ({"messages": [1]}, 400, "Bad Request", "body.messages"),
        ({"messages": MESSAGES, "max_tokens": 100000}, 400, "BadRequestError", "max_tokens"),
        ({"messages": MESSAGES, "temperature": -3}, 400, "BadRequestError", "temperature"),
        ({"messages": [{"role": "user", "content": "a " * 99}]}, 400, "BadRequestError", "input_tokens"),
    ],
)
def test_errors_are_the_recorded_ones(body: dict[str, Any], status: int, kind: str, param: str) -> None:
    """Status, type and parameter are as vLLM gives them; the code repeats the status."""
    found, error = refuse(**body)
    assert (found, error["type"], error["param"], error["code"]) == (status, kind, param, status)


@pytest.mark.parametrize("field", ["max_tokens", "tools", "stream_options", "response_format", "tool_choice", "seed"])
@pytest.mark.parametrize("value", ["x", [1], {"a": 1}, 3.5])
def test_a_field_of_a_wrong_type_never_raises(field: str, value: Any) -> None:
    """Whatever a client sends, the answer is a value."""
    assert isinstance(parse_ask(Shape.CHAT, {"messages": MESSAGES, field: value}, BEHAVIOUR), Ask | ApiError)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"null"])
def test_a_body_that_is_no_object_is_an_error(body: bytes) -> None:
    """Broken JSON, broken UTF-8 and deep nesting are a 400."""
    error = parse_json("application/json", body)
    assert isinstance(error, ApiError)
    assert error.status == 400


def test_the_content_type_is_looked_at_first() -> None:
    """Parameters of the type do not matter, another type does."""
    assert parse_json("Application/JSON; charset=utf-8", b"{}") == {}
    assert isinstance(parse_json("text/plain", b"{}"), ApiError)
