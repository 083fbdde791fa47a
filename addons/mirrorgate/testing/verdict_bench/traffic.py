"""Requests as a mixed service sees them, drawn from a seed.

Of a hundred requests 52 are plain chats, 14 may call a tool, 12 ask for JSON by a schema, 12 go to a LoRA adapter, and
10 have stop strings. Six in ten have a system prompt, seven in ten stream, half are at temperature 0.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from ...inference.requests import InferenceRequest, parse_request

__all__ = ["ADAPTERS", "MODEL", "PATH", "Call", "calls"]

MODEL = "assistant"
ADAPTERS = ("support-lora", "sql-lora")
PATH = "/v1/chat/completions"

_SUBJECTS = (
    "rivers bridges tides engines gardens libraries winters orchards harbours lanterns forests markets planets letters "
    "mountains signals windows stations islands machines"
).split()
_QUESTIONS = (
    "Tell me of {0} and {1}",
    "Why do {0} need {1}?",
    "Compare {0} with {1} in a few words",
    "What did travellers write of {0} near {1}?",
    "Name three {0} that outlast {1}",
)
_SYSTEMS = ("Be brief.", "You are a patient librarian.", "Answer as the harbour master would.")
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
_SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "year": {"type": "integer", "minimum": 1900, "maximum": 2030},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 4},
    },
    "required": ["title", "year", "tags"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a client's."""

    body: bytes
    request: InferenceRequest
    """The body, as the comparison reads it."""


def calls(count: int, seed: int) -> list[Call]:
    """Draw requests."""
    rng = random.Random(f"traffic {seed}")
    return [_call(_body(rng, number)) for number in range(count)]


def _call(body: dict[str, Any]) -> Call:
    data = json.dumps(body).encode()
    request = parse_request("POST", PATH, "application/json", data)
    assert isinstance(request, InferenceRequest)
    return Call(data, request)


def _body(rng: random.Random, number: int) -> dict[str, Any]:
    first, second = rng.sample(_SUBJECTS, 2)
    question = f"{rng.choice(_QUESTIONS).format(first, second)} ({number})"
    body: dict[str, Any] = {"model": MODEL, "max_tokens": rng.choice((64, 128, 256))}
    body["temperature"] = 0 if rng.random() < 0.5 else rng.choice((0.3, 0.7, 1.0))
    if body["temperature"] and rng.random() < 0.3:
        body["seed"] = rng.randrange(1 << 16)
    if rng.random() < 0.7:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    kind = rng.random()
    if kind < 0.14:
        city = rng.choice(("Kyoto", "Lisbon", "Tromsø"))
        question = f"What will the weather in {city} be? ({number})"
        body["tools"] = [_TOOL]
    elif kind < 0.26:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "book", "schema": _SCHEMA}}
    elif kind < 0.38:
        body["model"] = rng.choice(ADAPTERS)
    elif kind < 0.48:
        body["stop"] = [rng.choice(("!", "…", " every"))]
    messages = [{"role": "user", "content": question}]
    if rng.random() < 0.6:
        messages.insert(0, {"role": "system", "content": rng.choice(_SYSTEMS)})
    return body | {"messages": messages}
