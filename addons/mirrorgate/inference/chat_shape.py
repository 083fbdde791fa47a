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
    if "choices" not in body or "error" in body:
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
    """Add a message or a delta of one; return whether there is content in it."""
    content = False
    for name, value in message.items():
        # A delta has one field with something in it, as a rule, and many of them are null.
        if not value or name == "role":
            continue
        if name == "content":
            content = _added(choice.text, _flat(value)) or content
        elif name in ("reasoning", "reasoning_content"):
            # Servers in transition send both, with the same text.
            twice = name == "reasoning_content" and isinstance(message.get("reasoning"), str) and message["reasoning"]
            content = (not twice and _added(choice.reasoning, string(value))) or content
        elif name == "refusal":
            content = _added(choice.refusal, string(value)) or content
        elif name == "tool_calls":
            content = _read_calls(choice, items(value)) or content
        elif name == "function_call" and isinstance(value, dict):
            choice.call(name).add("", string(value.get("name")), _arguments(value.get("arguments")))
            content = True
    return content


def _added(target: list[str], text: str) -> bool:
    if text:
        target.append(text)
    return bool(text)


def _read_calls(choice: ChoiceDraft, fragments: list[Any]) -> bool:
    for position, raw in enumerate(fragments):
        fragment = mapping(raw)
        function = mapping(fragment.get("function"))
        key = integer(fragment.get("index"))
        choice.call(position if key is None else key).add(
            string(fragment.get("id")), string(function.get("name")), _arguments(function.get("arguments"))
        )
    return bool(fragments)


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
