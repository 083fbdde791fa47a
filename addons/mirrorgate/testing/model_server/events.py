"""Server-sent events, with what a fault needs to know of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

__all__ = ["Event", "data_event", "done_event", "dumps", "named_event"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream, as bytes."""

    data: bytes
    token: bool = False
    """Whether it carries a token, and so waits for its time."""
    finish: bool = False
    """Whether it carries the finish reason."""
    done: bool = False
    """Whether it is the stream's last."""


def dumps(value: Any) -> bytes:
    """Encode JSON as vLLM does: compact, text not escaped."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def data_event(value: Any, *, token: bool = False, finish: bool = False) -> Event:
    """Make an event without a name, as the OpenAI API sends them."""
    return Event(b"data: " + dumps(value) + b"\n\n", token, finish)


def named_event(name: str, value: Any, *, token: bool = False, finish: bool = False, done: bool = False) -> Event:
    """Make an event with a name, as the responses and messages APIs send them."""
    return Event(b"event: " + name.encode() + b"\ndata: " + dumps(value) + b"\n\n", token, finish, done)


def done_event() -> Event:
    """Make the end of an OpenAI stream."""
    return Event(b"data: [DONE]\n\n", done=True)
