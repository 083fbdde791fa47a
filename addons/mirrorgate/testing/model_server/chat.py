"""The bodies and events of `/v1/chat/completions`, key by key as vLLM 0.32 sends them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .asks import Ask
from .events import Event, data_event, done_event
from .generation import Answer

__all__ = ["events", "usage", "whole"]

FINGERPRINT = "vllm-0.32.0-cbc61a6e"


def usage(ask: Ask, completion_tokens: int) -> dict[str, Any]:
    """Return the token counts of a completion."""
    return {
        "prompt_tokens": ask.prompt_tokens,
        "total_tokens": ask.prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
    }


def whole(ask: Ask, answers: list[Answer], identifier: str, created: int) -> dict[str, Any]:
    """Return the body of an answer that is not streamed."""
    spent = sum(answer.completion_tokens for answer in answers)
    return {
        "id": f"chatcmpl-{identifier}",
        "object": "chat.completion",
        "created": created,
        "model": ask.model,
        "choices": [_choice(ask, index, answer) for index, answer in enumerate(answers)],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": usage(ask, spent) | {"prompt_tokens_details": None, "completion_tokens_details": None},
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "prompt_text": None,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def _choice(ask: Ask, index: int, answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if answer.tool_calls else answer.text,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
    }
    if answer.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.tool_calls
        ]
    message["reasoning"] = None
    every = range(len(answer.tokens))
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(ask, answer, every) if ask.logprobs is not None else None,
        "finish_reason": answer.finish_reason,
        "stop_reason": answer.stop_reason,
        "token_ids": None,
        "routed_experts": None,
    }


def _logprobs(ask: Ask, answer: Answer, positions: range) -> dict[str, Any]:
    content = []
    for position in positions:
        entry = _token(answer.tokens[position], answer.logprobs[position])
        alternatives = [
            _token(f" other{rank}", answer.logprobs[position] - rank) for rank in range(1, ask.logprobs or 0)
        ]
        content.append(entry | {"top_logprobs": [entry, *alternatives] if ask.logprobs else []})
    return {"content": content}


def _token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def events(ask: Ask, answers: list[Answer], identifier: str, created: int) -> Iterator[Event]:
    """Yield the events of a stream: role, an event a token, finish reason, usage when asked for, `[DONE]`."""
    head = {
        "id": f"chatcmpl-{identifier}",
        "object": "chat.completion.chunk",
        "created": created,
        "model": ask.model,
    }
    spent = 0

    def chunk(index: int, delta: dict[str, Any], extra: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None} | (extra or {})
        running = {"usage": usage(ask, spent)} if ask.continuous_usage else {}
        return head | {"choices": [choice]} | more | running

    for index in range(len(answers)):
        role = {"role": "assistant", "content": ""}
        yield data_event(chunk(index, role, prompt_token_ids=None, prompt_text=None))
    for index, answer in enumerate(answers):
        for delta, position, last in _deltas(answer):
            spent += 1
            ending = {"finish_reason": answer.finish_reason, "stop_reason": answer.stop_reason} if last else {}
            logged = ask.logprobs is not None and position is not None
            logprobs = (
                {"logprobs": _logprobs(ask, answer, range(position, position + 1))}
                if logged and position is not None
                else {}
            )
            yield data_event(chunk(index, delta, logprobs | ending | {"token_ids": None}), token=True, finish=last)
    if ask.include_usage:
        yield data_event(head | {"choices": [], "usage": usage(ask, spent), "system_fingerprint": FINGERPRINT})
    yield done_event()


def _deltas(answer: Answer) -> Iterator[tuple[dict[str, Any], int | None, bool]]:
    """Yield (delta, position of its token, whether it is the last)."""
    for position, token in enumerate(answer.tokens):
        yield {"content": token}, position, position == len(answer.tokens) - 1
    for number, call in enumerate(answer.tool_calls):
        start = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"id": call.id, "type": "function", "index": number, "function": start}]}, None, False
        pieces = re.findall(r"\s*\w+|\s*\W", call.arguments)
        for position, piece in enumerate(pieces):
            last = number == len(answer.tool_calls) - 1 and position == len(pieces) - 1
            yield {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}, None, last
    if not answer.tokens and not answer.tool_calls:
        yield {"content": ""}, None, True
