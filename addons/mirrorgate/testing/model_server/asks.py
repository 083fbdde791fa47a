"""What is asked of the model: one value for every API shape, or the error that vLLM would answer."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import api_errors
from .api_errors import ApiError
from .behaviour import Behaviour

__all__ = ["Ask", "Shape", "Tool", "count_tokens", "parse_ask", "parse_json"]


class Shape(enum.StrEnum):
    """The APIs that make text."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is its JSON schema."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for text."""

    shape: Shape
    model: str
    system: str
    """The system prompt, apart so that it can be dropped."""
    prompt: str
    """Every other message, one a line, with its role."""
    question: str
    """The last message of the user."""
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    """Whether every event of a stream carries usage."""
    max_tokens: int | None = None
    temperature: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    n: int = 1
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    """`auto`, `none`, `required`, or the name of a tool."""
    json_mode: bool = False
    schema: Mapping[str, Any] | None = None
    """Of the answer, when `response_format` gives one."""
    logprobs: int | None = None
    """How many alternatives beside each token's own; `None` for no log-probabilities."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, with those that a chat template adds."""
        template = 0 if self.shape is Shape.COMPLETIONS else 8
        return count_tokens(self.system) + count_tokens(self.prompt) + template


_TOKEN = re.compile(r"\w+|[^\w\s]")


def count_tokens(text: str) -> int:
    """Count words and signs: near enough to a tokeniser, and the same everywhere."""
    return len(_TOKEN.findall(text))


def parse_json(content_type: str, body: bytes) -> dict[str, Any] | ApiError:
    """Read a JSON object as vLLM does: the content type first, then the text."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return api_errors.wrong_content_type()
    try:
        value = json.loads(body)
    except json.JSONDecodeError as error:
        return api_errors.invalid_json(error.pos, error.msg)
    except (UnicodeDecodeError, RecursionError) as error:
        return api_errors.invalid_json(0, str(error))
    return value if isinstance(value, dict) else api_errors.missing_field("model")


def parse_ask(shape: Shape, body: Mapping[str, Any], behaviour: Behaviour) -> Ask | ApiError:
    """Read a request for text, in vLLM's order of checks: fields, model, sampling, length."""
    messages = _messages(shape, body)
    if isinstance(messages, ApiError):
        return messages
    served = behaviour.models + behaviour.adapters
    model = body.get("model") or served[0]
    if model not in served:
        return api_errors.unknown_model(str(model), served)
    try:
        ask = _read(shape, body, model, messages)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return api_errors.missing_field(str(error).strip("'"))
    if ask.temperature < 0:
        return api_errors.negative_temperature(ask.temperature)
    if ask.max_tokens is not None and ask.max_tokens > behaviour.max_model_len:
        return api_errors.max_tokens_exceeded(behaviour.max_model_len, ask.max_tokens)
    if ask.prompt_tokens > behaviour.max_model_len:
        return api_errors.context_exceeded(behaviour.max_model_len, ask.prompt_tokens)
    return ask


def _messages(shape: Shape, body: Mapping[str, Any]) -> list[tuple[str, str]] | ApiError:
    """Return (role, text) pairs, the system prompt first where the shape keeps it elsewhere."""
    field = {Shape.COMPLETIONS: "prompt", Shape.RESPONSES: "input"}.get(shape, "messages")
    value = body.get(field)
    if shape is Shape.MESSAGES and "max_tokens" not in body:
        return api_errors.missing_field("max_tokens")
    if isinstance(value, str) and shape in (Shape.COMPLETIONS, Shape.RESPONSES):
        found = [("user", value)]
    elif isinstance(value, list) and shape is Shape.COMPLETIONS:
        found = [("user", " ".join(str(part) for part in value))]
    elif isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
        found = [(str(each.get("role", "user")), _text(each.get("content"))) for each in value]
    else:
        return api_errors.missing_field(field)
    elsewhere = {Shape.RESPONSES: "instructions", Shape.MESSAGES: "system"}.get(shape)
    if elsewhere is not None and body.get(elsewhere):
        found.insert(0, ("system", _text(body[elsewhere])))
    return found


def _text(content: Any) -> str:
    """Return the text of a message, whose content is a string or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_text(part.get("text")) if isinstance(part, Mapping) else str(part) for part in content)
    return ""


def _read(shape: Shape, body: Mapping[str, Any], model: str, messages: list[tuple[str, str]]) -> Ask:
    system = "\n".join(text for role, text in messages if role in ("system", "developer"))
    others = [(role, text) for role, text in messages if role not in ("system", "developer")]
    options = body.get("stream_options") or {}
    stop = body.get("stop") or body.get("stop_sequences") or ()
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, Mapping):
        choice = (choice.get("function") or choice).get("name") or {"any": "required"}.get(
            choice.get("type", ""), choice.get("type", "auto")
        )
    form = body.get("response_format") or (body.get("text") or {}).get("format") or {}
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or body.get("max_output_tokens")
    if limit is None and shape is Shape.COMPLETIONS:
        limit = 16
    return Ask(
        shape=shape,
        model=model,
        system=system,
        prompt="\n".join(f"{role}: {text}" for role, text in others),
        question=next((text for role, text in reversed(others) if role == "user"), ""),
        stream=bool(body.get("stream")),
        include_usage=bool(options.get("include_usage")),
        continuous_usage=bool(options.get("continuous_usage_stats")),
        max_tokens=None if limit is None else int(limit),
        temperature=float(1.0 if body.get("temperature") is None else body["temperature"]),
        seed=None if body.get("seed") is None else int(body["seed"]),
        stop=(stop,) if isinstance(stop, str) else tuple(str(each) for each in stop),
        ignore_eos=bool(body.get("ignore_eos")),
        n=int(body.get("n") or 1),
        tools=tuple(_tool(each) for each in body.get("tools") or ()),
        tool_choice=str(choice),
        json_mode=form.get("type") in ("json_object", "json_schema"),
        schema=(form.get("json_schema") or form).get("schema"),
        logprobs=_logprobs(shape, body),
    )


def _tool(value: Mapping[str, Any]) -> Tool:
    function = value.get("function") or value
    return Tool(str(function["name"]), function.get("parameters") or function.get("input_schema") or {})


def _logprobs(shape: Shape, body: Mapping[str, Any]) -> int | None:
    wanted = body.get("logprobs")
    if wanted is None or wanted is False:
        return None
    return int(wanted) if shape is Shape.COMPLETIONS else int(body.get("top_logprobs") or 0)
