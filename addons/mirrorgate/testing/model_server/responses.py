"""The bodies and events of `/v1/responses`: the part that a text or a function call needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .asks import Ask
from .events import Event, named_event
from .generation import Answer

__all__ = ["events", "whole"]


def whole(ask: Ask, answers: list[Answer], identifier: str, created: int) -> dict[str, Any]:
    """Return the body of an answer that is not streamed."""
    answer = answers[0]
    cut = answer.finish_reason == "length"
    return _response(ask, identifier, created, "incomplete" if cut else "completed") | {
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": [_item(answer, identifier, "completed")],
        "usage": {
            "input_tokens": ask.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": answer.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": ask.prompt_tokens + answer.completion_tokens,
        },
    }


def _response(ask: Ask, identifier: str, created: int, status: str) -> dict[str, Any]:
    return {
        "id": f"resp_{identifier}",
        "object": "response",
        "created_at": created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": ask.model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": ask.temperature,
        "tool_choice": ask.tool_choice,
        "usage": None,
    }


def _item(answer: Answer, identifier: str, status: str) -> dict[str, Any]:
    if answer.tool_calls:
        call = answer.tool_calls[0]
        return {
            "id": f"fc_{identifier}",
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
            "status": status,
        }
    text: dict[str, Any] = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": None}
    return {"id": f"msg_{identifier}", "type": "message", "role": "assistant", "status": status, "content": [text]}


def events(ask: Ask, answers: list[Answer], identifier: str, created: int) -> Iterator[Event]:
    """Yield the events of a stream, each with a name and a sequence number; there is no `[DONE]`."""
    answer = answers[0]
    item = _item(answer, identifier, "completed")
    place = {"item_id": item["id"], "output_index": 0}
    number = 0

    def event(name: str, value: dict[str, Any], **flags: bool) -> Event:
        nonlocal number
        number += 1
        return named_event(name, {"type": name, "sequence_number": number - 1} | value, **flags)

    started = _response(ask, identifier, created, "in_progress")
    yield event("response.created", {"response": started})
    yield event("response.in_progress", {"response": started})
    empty: dict[str, Any] = {"arguments": ""} if answer.tool_calls else {"content": []}
    yield event("response.output_item.added", {"output_index": 0, "item": item | empty | {"status": "in_progress"}})
    if answer.tool_calls:
        arguments = answer.tool_calls[0].arguments
        yield event("response.function_call_arguments.delta", place | {"delta": arguments}, token=True)
        yield event("response.function_call_arguments.done", place | {"arguments": arguments})
    else:
        place |= {"content_index": 0}
        part: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": None}
        yield event("response.content_part.added", place | {"part": part | {"text": ""}})
        for token in answer.tokens:
            yield event("response.output_text.delta", place | {"delta": token, "logprobs": []}, token=True)
        yield event("response.output_text.done", place | {"text": answer.text, "logprobs": []})
        yield event("response.content_part.done", place | {"part": part | {"text": answer.text}})
    yield event("response.output_item.done", {"output_index": 0, "item": item})
    body = whole(ask, answers, identifier, created)
    yield event(f"response.{body['status']}", {"response": body}, finish=True, done=True)
