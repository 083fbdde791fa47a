"""Requests that can be told apart, each with the one answer that is right for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..backends import response_bytes
from ..clients import request_bytes
from ..gateways import CHAT, chat_body

__all__ = ["ENDLESS", "LEGS", "LEG_HEADER", "Ask", "fault_header", "wire"]

ENDLESS = b": nothing\n\n"
"""What an answer without end repeats."""
LEGS = ("primary", "candidate", "control")
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
    """By leg, what the server is to do instead of answering (`unruly.UnrulyServer`)."""

    def request(self) -> bytes:
        """Return the request as bytes."""
        headers = [("host", self.host), ("user-agent", self.id), ("x-words", str(self.words))]
        headers += [(fault_header(leg), fault) for leg, fault in self.faults.items()]
        prompt = f"{self.id} " + "x" * self.padding
        body = chat_body(messages=[{"role": "user", "content": prompt}], stream=self.stream, user=self.id)
        return request_bytes("POST", CHAT, headers, body)

    def answer(self) -> bytes:
        """Return the body of the right answer, without framing."""
        return b"".join(_pieces(self.id, self.words, self.stream))

    def begins(self, got: bytes) -> bool:
        """Tell whether what came of an answer that was cut is right."""
        if self.faults.get("primary") == "endless":
            return (ENDLESS * (len(got) // len(ENDLESS) + 1)).startswith(got)
        return self.answer().startswith(got)


def wire(id: str, words: int, stream: bool) -> bytes:
    """Return the right answer as a server sends it: a stream in a chunk for each event, else with its length."""
    pieces = _pieces(id, words, stream)
    if not stream:
        return response_bytes(200, pieces[0], ("content-type", "application/json"))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _pieces(id: str, words: int, stream: bool) -> list[bytes]:
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
