"""The bodies and events of `/v1/messages`, Anthropic's shape, which vLLM serves too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .asks import Ask
from .events import Event, named_event
from .generation import Answer

__all__ = ["events", "whole"]

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "abort": "abort"}


def whole(ask: Ask, answers: list[Answer], identifier: str, created: int) -> dict[str, Any]:
    """Return the body of an answer that is not streamed."""
    answer = answers[0]
    return {
        "id": f"chatcmpl-{identifier}",
        "type": "message",
        "role": "assistant",
        "content": _content(answer),
        "model": ask.model,
        "stop_reason": _stop_reason(answer),
        "stop_sequence": answer.stop_reason,
        "usage": {"input_tokens": ask.prompt_tokens, "output_tokens": answer.completion_tokens},
    }


def _stop_reason(answer: Answer) -> str:
    return "stop_sequence" if answer.stop_reason else _REASONS[answer.finish_reason]


def _content(answer: Answer) -> list[dict[str, Any]]:
    if answer.tool_calls:
        return [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
            for call in answer.tool_calls
        ]
    return [{"type": "text", "text": answer.text}]


def events(ask: Ask, answers: list[Answer], identifier: str, created: int) -> Iterator[Event]:
    """Yield the events of a stream, each with a name; there is no `[DONE]`."""
    answer = answers[0]

    def event(name: str, value: dict[str, Any], **flags: bool) -> Event:
        return named_event(name, {"type": name} | value, **flags)

    body = whole(ask, answers, identifier, created)
    empty = body | {"content": [], "stop_reason": None, "stop_sequence": None}
    empty |= {"usage": {"input_tokens": ask.prompt_tokens, "output_tokens": 0}}
    yield event("message_start", {"message": empty})
    for index, block in enumerate(body["content"]):
        start = dict(block)
        start["input" if answer.tool_calls else "text"] = {} if answer.tool_calls else ""
        yield event("content_block_start", {"index": index, "content_block": start})
        if answer.tool_calls:
            delta = {"type": "input_json_delta", "partial_json": answer.tool_calls[index].arguments}
            yield event("content_block_delta", {"index": index, "delta": delta}, token=True)
        else:
            for token in answer.tokens:
                delta = {"type": "text_delta", "text": token}
                yield event("content_block_delta", {"index": index, "delta": delta}, token=True)
        yield event("content_block_stop", {"index": index})
    ending = {"stop_reason": body["stop_reason"], "stop_sequence": body["stop_sequence"]}
    yield event("message_delta", {"delta": ending, "usage": body["usage"]}, finish=True)
    yield event("message_stop", {}, done=True)
