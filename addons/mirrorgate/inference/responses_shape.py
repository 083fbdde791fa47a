"""The Responses API of OpenAI, whole and streamed. All of its output is one choice, the first."""

from __future__ import annotations

from typing import Any

from .completions import ApiError
from .drafts import ChoiceDraft, Draft
from .lenient_json import integer, items, mapping, string
from .reported import merged_usage, read_chat_tokens, read_error, read_usage
from .sse import Event

__all__ = ["read_event", "read_whole"]

_TEXT = "response.output_text.delta"
_REFUSAL = "response.refusal.delta"
_ARGUMENTS = "response.function_call_arguments.delta"
_REASONING = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta", "response.reasoning.delta")
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.done")
_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


def read_event(draft: Draft, event: Event, value: Any) -> tuple[int, ...]:
    """Add one event and return `(0,)` when it carries content."""
    body = mapping(value)
    kind = string(body.get("type")) or event.event
    if kind == "error" or (not kind and read_error(body) is not None):
        nested = read_error(body)
        draft.errors.append(nested or ApiError(string(body.get("message")), "error", string(body.get("code"))))
        return ()
    if kind in _ENDS:
        _read_end(draft, mapping(body.get("response")))
        return ()
    if kind == "response.created":
        draft.model = string(mapping(body.get("response")).get("model")) or draft.model
        return ()
    if kind == "response.output_item.added":
        return _read_added(draft, body)
    return _read_delta(draft, body, kind)


def _read_added(draft: Draft, body: dict[str, Any]) -> tuple[int, ...]:
    item = mapping(body.get("item"))
    if item.get("type") != "function_call":
        return ()
    call = draft.choice(0).call(_key(body, item))
    call.add(string(item.get("call_id")) or string(item.get("id")), string(item.get("name")), "")
    return (0,)


def _read_delta(draft: Draft, body: dict[str, Any], kind: str) -> tuple[int, ...]:
    delta = string(body.get("delta"))
    if not delta:
        return ()
    if kind == _TEXT:
        choice = draft.choice(0)
        choice.text.append(delta)
        choice.tokens.extend(read_chat_tokens(items(body.get("logprobs"))))
    elif kind == _REFUSAL:
        draft.choice(0).refusal.append(delta)
    elif kind == _ARGUMENTS:
        draft.choice(0).call(_key(body, {})).add("", "", delta)
    elif kind in _REASONING:
        draft.choice(0).reasoning.append(delta)
    else:
        return ()
    return (0,)


def _key(body: dict[str, Any], item: dict[str, Any]) -> int | str:
    index = integer(body.get("output_index"))
    if index is not None:
        return index
    return string(body.get("item_id")) or string(item.get("id"))


def _read_end(draft: Draft, response: dict[str, Any]) -> None:
    """Take the response object of the last event; its output counts only where no deltas came."""
    draft.done = True
    had = draft.choices.get(0)
    whole = Draft()
    read_whole(whole, response)
    draft.model = whole.model or draft.model
    draft.usage = merged_usage(draft.usage, whole.usage)
    draft.errors.extend(whole.errors)
    final = whole.choice(0)
    if had is None:
        draft.choices[0] = final
        return
    had.finish_reason = final.finish_reason
    if had.finish_reason == "stop" and had.calls:
        had.finish_reason = "tool_calls"


def read_whole(draft: Draft, value: Any) -> None:
    """Read a response object."""
    body = mapping(value)
    draft.model = string(body.get("model")) or draft.model
    draft.usage = merged_usage(draft.usage, read_usage(body.get("usage")))
    status = string(body.get("status"))
    if not status and "output" not in body:
        return
    choice = draft.choice(0)
    for position, raw in enumerate(items(body.get("output"))):
        _read_item(choice, position, mapping(raw))
    if status == "failed":
        error = read_error(body)
        draft.errors.append(error or ApiError("the response failed"))
    elif status == "incomplete":
        reason = string(mapping(body.get("incomplete_details")).get("reason"))
        choice.finish_reason = _REASONS.get(reason, reason or "incomplete")
    elif status in ("completed", ""):
        choice.finish_reason = "tool_calls" if choice.calls else "stop"
    else:
        choice.finish_reason = status


def _read_item(choice: ChoiceDraft, position: int, item: dict[str, Any]) -> None:
    kind = item.get("type")
    if kind == "function_call":
        name, arguments = string(item.get("name")), string(item.get("arguments"))
        choice.call(position).add(string(item.get("call_id")) or string(item.get("id")), name, arguments)
    elif kind == "reasoning":
        for part in items(item.get("content")) or items(item.get("summary")):
            choice.reasoning.append(string(mapping(part).get("text")))
    elif kind == "message":
        for raw in items(item.get("content")):
            part = mapping(raw)
            if part.get("type") == "refusal":
                choice.refusal.append(string(part.get("refusal")))
            else:
                choice.text.append(string(part.get("text")))
                choice.tokens.extend(read_chat_tokens(items(part.get("logprobs"))))
