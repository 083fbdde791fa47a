"""Chunks of streamed chat completions and completions that are plain, read without building what nobody looks at.

Nearly every event of a stream carries one piece of text and nothing else. Decoding it into a typed value costs a
third of decoding it into dictionaries and looking through them. What is said twice, in `chat_shape` and here, is said
the same: a chunk in which anything is out of the ordinary is declined, and `chat_shape` reads it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from .drafts import Draft
from .reported import merged_usage, read_usage

__all__ = ["read_chunk"]


class _Delta(msgspec.Struct, gc=False):
    """A piece of a message. What may only be absent or null here makes a chunk that is not plain."""

    content: str | None = None
    reasoning: None = None
    reasoning_content: str | None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    text: str | None = None
    index: Any = None
    finish_reason: str | None = None
    logprobs: None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice]
    model: str | None = None
    usage: dict[str, Any] | None = None
    error: UnsetType | None = UNSET


_decode = msgspec.json.Decoder(_Chunk).decode
_NOBODY: tuple[int, ...] = ()


def read_chunk(draft: Draft, data: str) -> tuple[int, ...] | None:
    """Add a plain chunk and return the indexes of the choices that it carries content for.

    `None` when the chunk is not plain, or is no chunk at all: then nothing was added.
    """
    try:
        chunk = _decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    choices = chunk.choices
    if chunk.error is not UNSET:
        return None
    for choice in choices:
        if type(choice.index) is not int:
            return None
    if chunk.model:
        draft.model = chunk.model
    if chunk.usage is not None:
        draft.usage = merged_usage(draft.usage, read_usage(chunk.usage))
    indexes = _NOBODY
    for choice in choices:
        held = draft.choice(choice.index)
        content = False
        delta = choice.delta
        if delta is not None:
            if delta.content:
                held.text.append(delta.content)
                content = True
            if delta.reasoning_content:
                held.reasoning.append(delta.reasoning_content)
                content = True
        if choice.text:
            held.text.append(choice.text)
            content = True
        if choice.finish_reason:
            held.finish_reason = choice.finish_reason
        if content:
            indexes = (*indexes, choice.index)
    return indexes
