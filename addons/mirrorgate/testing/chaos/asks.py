"""Requests that can be told apart, each with the one answer that is right for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..backends import response_bytes
from ..clients import request_bytes
from ..gateways import CHAT, chat_body

__all__ = ["ENDLESS", "LEGS", "LEG_HEADER", "Ask", "fault_header", "pieces", "wire"]

ENDLESS = b": nothing\n\n"
"""What an answer without end repeats."""
LEGS = ("primary", "candidate", "control")
_CHUNK = 10_000
LEG_HEADER = "x-mirrorgate-leg"
"""By which a server tells whose copy it got; without it, it is the primary's."""


def fault_header(leg: str) -> str:
    """Name the header that tells the server how to fail one leg."""
    return f"x-chaos-{leg}"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. Its id travels as the user agent, so that the access log and every server can tell it."""

    id: str
    host: str
    words: int = 12
    """Length of the answer."""
    stream: bool = False
    padding: int = 0
    """Bytes of prompt beside the id."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """By leg, what the server is to do instead of answering (`unruly.UnrulyServer`); `|` parts what it does when it
    is asked again."""
    tries: int = 1
    """How often the gateway may send it."""
    chunked: bool = False
    """Whether the body comes in chunks, without its length."""

    def fields(self) -> list[tuple[str, str]]:
        """Return the header fields that tell it apart."""
        faults = [(fault_header(leg), fault) for leg, fault in self.faults.items()]
        return [("user-agent", self.id), ("x-words", str(self.words)), *faults]

    def body(self) -> bytes:
        """Return the body, without framing."""
        prompt = f"{self.id} " + "x" * self.padding
        messages = [{"role": "user", "content": prompt}]
        return json.dumps(chat_body(messages=messages, stream=self.stream, user=self.id)).encode()

    def request(self) -> bytes:
        """Return the request as bytes."""
        fields, body = [("host", self.host), *self.fields(), ("content-type", "application/json")], self.body()
        if not self.chunked:
            return request_bytes("POST", CHAT, fields, body)
        parts = [body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK)]
        return request_bytes("POST", CHAT, fields, chunks=parts)

    def answer(self) -> bytes:
        """Return the body of the right answer, without framing."""
        return b"".join(pieces(self.id, self.words, self.stream))

    def begins(self, got: bytes) -> bool:
        """Tell whether what came of an answer that was cut is right."""
        if self.faults.get("primary") == "endless":
            return (ENDLESS * (len(got) // len(ENDLESS) + 1)).startswith(got)
        return self.answer().startswith(got)


def wire(id: str, words: int, stream: bool) -> bytes:
    """Return the right answer as a server sends it: a stream in a chunk for each event, else with its length."""
    parts = pieces(id, words, stream)
    if not stream:
        return response_bytes(200, parts[0], ("content-type", "application/json"))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def pieces(id: str, words: int, stream: bool) -> list[bytes]:
    """Return the body of the right answer, in a piece for each event of a stream."""
    said = [f"{id}/{number} " for number in range(words)]
    usage = {"prompt_tokens": 3, "completion_tokens": words, "total_tokens": words + 3}
    if not stream:
        message = {"role": "assistant", "content": "".join(said)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {"id": id, "object": "chat.completion", "model": "fake-model", "choices": [choice], "usage": usage}
        return [json.dumps(whole).encode()]
    events: list[dict[str, Any]] = [{"index": 0, "delta": {"content": word}, "finish_reason": None} for word in said]
    events.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks = [{"id": id, "object": "chat.completion.chunk", "model": "fake-model", "choices": [e]} for e in events]
    return [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]
