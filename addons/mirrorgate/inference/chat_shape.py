"""Chat completions and completions of the OpenAI API, whole and streamed, with vLLM's and llama.cpp's additions."""

from __future__ import annotations

from typing import Any

from .drafts import ChoiceDraft, Draft
from .lenient_json import integer, items, mapping, string, written
from .reported import merged_usage, read_chat_tokens, read_completion_tokens, read_error, read_usage
from .sse import Event

__all__ = ["read_event", "read_whole"]


def read_event(draft: Draft, event: Event, value: Any) -> tuple[int, ...]:
    """Add one chunk and return the indexes of the choices that it carries content for."""
    body = mapping(value)
    error = read_error(body)
    if error is not None:
        draft.errors.append(error)
        return ()
    _read_head(draft, body)
    return tuple(
        index
        for position, entry in enumerate(items(body.get("choices")))
        if (index := _read_choice(draft, entry, "delta", position)) is not None
    )


def read_whole(draft: Draft, value: Any) -> None:
    """Read an answer that was not streamed."""
    body = mapping(value)
    _read_head(draft, body)
    for position, entry in enumerate(items(body.get("choices"))):
        _read_choice(draft, entry, "message", position)


def _read_head(draft: Draft, body: dict[str, Any]) -> None:
    draft.model = string(body.get("model")) or draft.model
    draft.usage = merged_usage(draft.usage, read_usage(body.get("usage")))


def _read_choice(draft: Draft, entry: Any, holder: str, position: int) -> int | None:
    """Add a choice or a piece of one; return its index when there is content in it."""
    held = mapping(entry)
    index = integer(held.get("index"))
    if index is None:
        index = position
    choice = draft.choice(index)
    message = held.get(holder)
    content = False
    if isinstance(message, dict):
        content = _read_message(choice, message)
    text = _flat(held.get("text"))
    if text:
        choice.text.append(text)
        content = True
    choice.finish_reason = string(held.get("finish_reason")) or choice.finish_reason
    logprobs = held.get("logprobs")
    if isinstance(logprobs, dict):
        read = read_completion_tokens if "token_logprobs" in logprobs else read_chat_tokens
        choice.tokens.extend(read(logprobs))
    return index if content else None


def _read_message(choice: ChoiceDraft, message: dict[str, Any]) -> bool:
    content = False
    for target, found in (
        (choice.text, _flat(message.get("content"))),
        (choice.reasoning, string(message.get("reasoning")) or string(message.get("reasoning_content"))),
        (choice.refusal, string(message.get("refusal"))),
    ):
        if found:
            target.append(found)
            content = True
    for position, raw in enumerate(items(message.get("tool_calls"))):
        fragment = mapping(raw)
        function = mapping(fragment.get("function"))
        key = integer(fragment.get("index"))
        choice.call(position if key is None else key).add(
            string(fragment.get("id")), string(function.get("name")), _arguments(function.get("arguments"))
        )
        content = True
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        choice.call("function_call").add("", string(legacy.get("name")), _arguments(legacy.get("arguments")))
        content = True
    return content


def _flat(value: Any) -> str:
    """Flatten content that is a string, or an array of parts of which those with text count."""
    if isinstance(value, list):
        return "".join(string(mapping(part).get("text")) for part in value)
    return string(value)


def _arguments(value: Any) -> str:
    """Return arguments as JSON text; some servers send them as an object instead."""
    if isinstance(value, dict):
        return written(value)
    return string(value)
