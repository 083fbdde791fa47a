"""What every API shape reports in nearly the same way: usage, errors, log probabilities."""

from __future__ import annotations

from typing import Any

from .completions import ApiError, Token, Usage
from .lenient_json import integer, items, mapping, number, string

__all__ = ["merged_usage", "read_chat_tokens", "read_completion_tokens", "read_error", "read_usage"]


def read_usage(value: Any) -> Usage | None:
    """Read a `usage` object of the OpenAI APIs or of Anthropic's, `None` when it says nothing."""
    if not isinstance(value, dict):
        return None
    prompt = integer(value.get("prompt_tokens", value.get("input_tokens")))
    completion = integer(value.get("completion_tokens", value.get("output_tokens")))
    inputs = mapping(value.get("prompt_tokens_details", value.get("input_tokens_details")))
    outputs = mapping(value.get("completion_tokens_details", value.get("output_tokens_details")))
    cached = integer(inputs.get("cached_tokens", value.get("cache_read_input_tokens")))
    usage = Usage(prompt, completion, cached, integer(outputs.get("reasoning_tokens")))
    return None if usage == Usage() else usage


def merged_usage(old: Usage | None, new: Usage | None) -> Usage | None:
    """Let what a later event says win, field by field; a stream may report usage in pieces or running totals."""
    if old is None or new is None:
        return new or old
    return Usage(
        _later(old.prompt_tokens, new.prompt_tokens),
        _later(old.completion_tokens, new.completion_tokens),
        _later(old.cached_tokens, new.cached_tokens),
        _later(old.reasoning_tokens, new.reasoning_tokens),
    )


def _later(old: int | None, new: int | None) -> int | None:
    return old if new is None else new


def read_error(value: Any) -> ApiError | None:
    """Read an error body in one of the shapes that servers use, `None` when the value is no error.

    `{"error": {"message", "type", "code"}}` (OpenAI, vLLM, llama.cpp, Anthropic), `{"error": "text"}` (vLLM's 401),
    `{"detail": ...}` (FastAPI), `{"object": "error", "message"}` (older vLLM).
    """
    body = mapping(value)
    error = body.get("error")
    if isinstance(error, dict):
        code = error.get("code")
        said = "" if code is None or isinstance(code, dict | list) else str(code)
        return ApiError(string(error.get("message")), string(error.get("type")), said)
    if isinstance(error, str):
        return ApiError(error)
    if body.get("object") == "error" or (body.get("type") == "error" and "message" in body):
        return ApiError(string(body.get("message")), string(body.get("type")), str(body.get("code") or ""))
    detail = body.get("detail")
    if detail is not None and len(body) == 1:
        return ApiError(detail if isinstance(detail, str) else "invalid request")
    return None


def read_chat_tokens(value: Any) -> list[Token]:
    """Read `logprobs` of chat completions (`{"content": [...]}`), or a bare array as responses have it."""
    entries = value if isinstance(value, list) else items(mapping(value).get("content"))
    tokens: list[Token] = []
    for entry in entries:
        held = mapping(entry)
        logprob = number(held.get("logprob"))
        if logprob is None:
            continue
        top: list[tuple[str, float]] = []
        for other in items(held.get("top_logprobs")):
            one = mapping(other)
            value_of = number(one.get("logprob"))
            if value_of is not None:
                top.append((string(one.get("token")), value_of))
        tokens.append(Token(string(held.get("token")), logprob, tuple(top)))
    return tokens


def read_completion_tokens(value: Any) -> list[Token]:
    """Read `logprobs` of completions: parallel arrays `tokens`, `token_logprobs`, `top_logprobs`."""
    held = mapping(value)
    texts = items(held.get("tokens"))
    tops = items(held.get("top_logprobs"))
    tokens: list[Token] = []
    for index, raw in enumerate(items(held.get("token_logprobs"))):
        logprob = number(raw)
        if logprob is None:
            continue
        text = string(texts[index]) if index < len(texts) else ""
        best = mapping(tops[index]) if index < len(tops) else {}
        top = [(name, found) for name, each in best.items() if (found := number(each)) is not None]
        tokens.append(Token(text, logprob, tuple(top)))
    return tokens
