"""The Messages API of Anthropic, whole and streamed. All of its content is one choice, the first."""

from __future__ import annotations

from typing import Any

from .drafts import ChoiceDraft, Draft
from .lenient_json import integer, items, mapping, string, written
from .reported import merged_usage, read_error, read_usage
from .sse import Event

__all__ = ["read_event", "read_whole"]

_REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


def read_event(draft: Draft, event: Event, value: Any) -> tuple[int, ...]:
    """Add one event and return `(0,)` when it carries content."""
    body = mapping(value)
    kind = string(body.get("type")) or event.event
    if kind == "message_start":
        message = mapping(body.get("message"))
        draft.model = string(message.get("model")) or draft.model
        draft.usage = merged_usage(draft.usage, read_usage(message.get("usage")))
        draft.choice(0)
    elif kind == "content_block_start":
        return _read_block(draft.choice(0), integer(body.get("index")) or 0, mapping(body.get("content_block")))
    elif kind == "content_block_delta":
        return _read_delta(draft.choice(0), integer(body.get("index")) or 0, mapping(body.get("delta")))
    elif kind == "message_delta":
        reason = string(mapping(body.get("delta")).get("stop_reason"))
        if reason:
            draft.choice(0).finish_reason = _REASONS.get(reason, reason)
        draft.usage = merged_usage(draft.usage, read_usage(body.get("usage")))
    elif kind == "message_stop":
        draft.done = True
    else:
        error = read_error(body)
        if error is not None:
            draft.errors.append(error)
    return ()


def _read_block(choice: ChoiceDraft, index: int, block: dict[str, Any]) -> tuple[int, ...]:
    """Open a content block; a tool's input starts as an empty object and comes in deltas."""
    kind = block.get("type")
    if kind == "tool_use":
        held = block.get("input")
        arguments = written(held) if isinstance(held, dict) and held else ""
        choice.call(index).add(string(block.get("id")), string(block.get("name")), arguments)
        return (0,)
    target, text = (choice.reasoning, block.get("thinking")) if kind == "thinking" else (choice.text, block.get("text"))
    if string(text):
        target.append(string(text))
        return (0,)
    return ()


def _read_delta(choice: ChoiceDraft, index: int, delta: dict[str, Any]) -> tuple[int, ...]:
    for target, name in ((choice.text, "text"), (choice.reasoning, "thinking")):
        piece = string(delta.get(name))
        if piece:
            target.append(piece)
            return (0,)
    fragment = string(delta.get("partial_json"))
    if fragment:
        choice.call(index).add("", "", fragment)
        return (0,)
    return ()


def read_whole(draft: Draft, value: Any) -> None:
    """Read a message that was not streamed."""
    body = mapping(value)
    draft.model = string(body.get("model")) or draft.model
    draft.usage = merged_usage(draft.usage, read_usage(body.get("usage")))
    reason = string(body.get("stop_reason"))
    if not reason and "content" not in body:
        return
    choice = draft.choice(0)
    choice.finish_reason = _REASONS.get(reason, reason or None)
    for index, raw in enumerate(items(body.get("content"))):
        block = mapping(raw)
        if block.get("type") == "tool_use":
            choice.call(index).add(string(block.get("id")), string(block.get("name")), written(block.get("input")))
        else:
            _read_block(choice, index, block)
