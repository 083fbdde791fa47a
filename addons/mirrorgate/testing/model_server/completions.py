"""The bodies and events of `/v1/completions`, key by key as vLLM 0.32 sends them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .asks import Ask
from .chat import FINGERPRINT, usage
from .events import Event, data_event, done_event
from .generation import Answer

__all__ = ["events", "whole"]


def whole(ask: Ask, answers: list[Answer], identifier: str, created: int) -> dict[str, Any]:
    """Return the body of an answer that is not streamed."""
    spent = sum(answer.completion_tokens for answer in answers)
    return {
        "id": f"cmpl-{identifier}",
        "object": "text_completion",
        "created": created,
        "model": ask.model,
        "choices": [
            {
                "index": index,
                "text": answer.text,
                "logprobs": _logprobs(answer, 0, len(answer.tokens)) if ask.logprobs is not None else None,
                "finish_reason": answer.finish_reason,
                "stop_reason": answer.stop_reason,
                "token_ids": None,
                "prompt_logprobs": None,
                "prompt_token_ids": None,
                "routed_experts": None,
            }
            for index, answer in enumerate(answers)
        ],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": usage(ask, spent) | {"prompt_tokens_details": None, "completion_tokens_details": None},
        "kv_transfer_params": None,
    }


def _logprobs(answer: Answer, start: int, end: int) -> dict[str, Any]:
    tokens, logprobs = answer.tokens[start:end], answer.logprobs[start:end]
    offset = sum(len(token) for token in answer.tokens[:start])
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    pairs = list(zip(tokens, logprobs, strict=True))
    return {
        "text_offset": offsets,
        "token_logprobs": list(logprobs),
        "tokens": list(tokens),
        "top_logprobs": [{token: logprob} for token, logprob in pairs],
    }


def events(ask: Ask, answers: list[Answer], identifier: str, created: int) -> Iterator[Event]:
    """Yield the events of a stream: an event a token, usage when asked for, `[DONE]`."""
    head = {"id": f"cmpl-{identifier}", "object": "text_completion", "created": created, "model": ask.model}
    spent = 0
    for index, answer in enumerate(answers):
        tokens = answer.tokens or ("",)
        for position, token in enumerate(tokens):
            spent += 1
            last = position == len(tokens) - 1
            logprobs = _logprobs(answer, position, position + 1) if answer.logprobs else None
            choice = {
                "index": index,
                "text": token,
                "logprobs": logprobs,
                "finish_reason": answer.finish_reason if last else None,
                "stop_reason": answer.stop_reason if last else None,
                "prompt_token_ids": None,
                "token_ids": None,
            }
            running = {"usage": usage(ask, spent)} if ask.continuous_usage else {}
            yield data_event(head | {"choices": [choice]} | running, token=True, finish=last)
    if ask.include_usage:
        yield data_event(head | {"choices": [], "usage": usage(ask, spent), "system_fingerprint": FINGERPRINT})
    yield done_event()
