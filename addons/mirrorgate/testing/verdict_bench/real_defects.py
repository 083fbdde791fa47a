"""The defects as they are induced on a real model: in what the server is asked, or in what comes back from it.

Where a deployment breaks is between the client and the weights: a flag of the server, a template, a proxy. So a
request is changed on its way to a sound server, or the server is started wrongly, or a sound answer is damaged.
"""

from __future__ import annotations

import dataclasses
import enum
import random
from collections.abc import Mapping
from typing import Any

from ...shadow.answering import Answer
from ..model_server.behaviour import Defect

__all__ = ["INDUCED", "Seat", "asked", "damaged"]


class Seat(enum.StrEnum):
    """Which server answers."""

    PRIMARY = "primary"
    CANDIDATE = "candidate"
    """The same model in a process of its own."""
    TEMPLATE = "wrong template"
    """The same model behind the chat template of another one."""
    COARSE = "coarse cache"
    """The same model with a KV cache of four bits."""


INDUCED: Mapping[Defect, Seat] = {
    Defect.WRONG_CHAT_TEMPLATE: Seat.TEMPLATE,
    Defect.DROPPED_SYSTEM_PROMPT: Seat.CANDIDATE,
    Defect.CLAMPED_MAX_TOKENS: Seat.CANDIDATE,
    Defect.LOST_STOP_TOKEN: Seat.CANDIDATE,
    Defect.TEMPERATURE_IGNORED: Seat.CANDIDATE,
    Defect.JSON_MODE_OFF: Seat.CANDIDATE,
    Defect.QUANTISATION_NOISE: Seat.COARSE,
    Defect.SLOW: Seat.CANDIDATE,
    Defect.FLAKY_5XX: Seat.CANDIDATE,
    Defect.TRUNCATED_STREAMS: Seat.CANDIDATE,
}
"""SmolLM2 makes no tool calls and has no adapters: `tool_parser_off` and `wrong_lora` cannot be induced on it."""

_CLAMP = 16
_SLOWER = 3.0


def asked(defect: Defect | None, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request as it reaches the server."""
    found = dict(body)
    if defect is Defect.DROPPED_SYSTEM_PROMPT:
        found["messages"] = [message for message in body["messages"] if message["role"] != "system"]
    elif defect is Defect.CLAMPED_MAX_TOKENS:
        found["max_tokens"] = min(_CLAMP, body["max_tokens"])
    elif defect is Defect.LOST_STOP_TOKEN:
        found["ignore_eos"] = True
        found.pop("stop", None)
    elif defect is Defect.TEMPERATURE_IGNORED:
        found["temperature"] = 1.0
        found.pop("seed", None)
    elif defect is Defect.JSON_MODE_OFF:
        found.pop("response_format", None)
    return found


def damaged(defect: Defect | None, answer: Answer, rng: random.Random) -> Answer:
    """Return the answer as it reaches the client."""
    if defect is Defect.SLOW:
        return dataclasses.replace(
            answer,
            times=[at * _SLOWER for at in answer.times],
            head_at=answer.head_at * _SLOWER,
            finished=answer.finished * _SLOWER,
        )
    if defect is Defect.FLAKY_5XX and rng.random() < 0.05:
        return dataclasses.replace(
            answer,
            status=500,
            headers=[(b"content-type", b"application/json")],
            chunks=[b'{"error":{"message":"Internal Server Error","type":"InternalServerError","code":500}}'],
            times=answer.times[:1],
        )
    streamed = answer.header(b"content-type").startswith("text/event-stream")
    if defect is Defect.TRUNCATED_STREAMS and streamed and rng.random() < 0.1:
        half = max(1, len(answer.chunks) // 2)
        return dataclasses.replace(answer, chunks=answer.chunks[:half], times=answer.times[:half])
    return answer
