"""The same races on a real model: SmolLM2-135M-Instruct on llama.cpp, asked over sockets.

Four processes serve it. The legs of a request are asked one after another in an order of their own, so that whatever
else the machine does meets all of them alike; prompts are not cached, for the first leg would pay for the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ...comparison.guardrails import Slo
from ...comparison.pairs import compare
from ...comparison.policy import ComparisonPolicy
from ...inference.apis import Api
from ...inference.completions import Completion
from ...inference.requests import InferenceRequest, parse_request
from ...shadow.answering import Answer
from ...shadow.comparing import candidate_completion
from ..demo.smollm2 import SERVER, installed
from ..model_server.behaviour import Defect
from ..processes import Process
from .diffy import differing_fields
from .pool import Sample, sample_of
from .real_defects import INDUCED, Seat, asked, damaged
from .traffic import PATH
from .wire import ask_over_tcp, request_bytes

__all__ = ["HEALTHY_NAME", "RealPool", "measured_for_real"]

HEALTHY_NAME = "the same model"
_ALIAS = "smollm2"
_WARM_UP = 8
_SLO_FACTOR = 2.0
_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'assistant' %} {{ message.content }} </s>"
    "{% else %}[INST] {{ message.content }} [/INST]{% endif %}{% endfor %}"
)
"""In the manner of Llama 2, which SmolLM2 was not trained on."""
_SUBJECTS = "a rainbow|the moon|a bridge|a violin|an orchard|the tide|a lighthouse|a compass|snow|a library".split("|")
_QUESTIONS = (
    "What is {0}? Answer in one sentence.",
    "Tell a child about {0}.",
    "Write two lines of verse on {0}.",
    "Give three words that describe {0}.",
)
_SYSTEMS = ("You are a pirate and talk like one.", "Answer in French.", "You are a terse encyclopedia.")
_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "uses": {"type": "array", "items": {"type": "string"}, "maxItems": 3}},
    "required": ["name", "uses"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class RealPool:
    """What was measured."""

    samples: dict[str, list[Sample]]
    """By the defect's name, and those of the healthy candidate."""
    slo: Slo
    slowest: float
    """Seconds: the bound that the fixed thresholds get, as much over the primary as in the fake's case."""


def measured_for_real(count: int, seed: int, told: Callable[[str], None]) -> RealPool:
    """Ask so many requests of every leg; `told` hears of the progress."""
    return asyncio.run(_measure(count, random.Random(f"real {seed}"), told))


async def _measure(count: int, rng: random.Random, told: Callable[[str], None]) -> RealPool:
    await installed()
    async with _servers() as ports:
        warm = [await _leg(ports[Seat.PRIMARY], _body(rng), None, rng) for _ in range(_WARM_UP)]
        slo = _usual(warm)
        samples: dict[str, list[Sample]] = {HEALTHY_NAME: [], **{defect.value: [] for defect in INDUCED}}
        for number in range(1, count + 1):
            for name, sample in (await _asked(ports, _body(rng), rng, slo)).items():
                samples[name].append(sample)
            if number % 10 == 0:
                told(f"{number} of {count} requests")
    return RealPool(samples, slo, 2.0 * (slo.e2e or 0.0))


def _usual(answers: list[Completion]) -> Slo:
    """Declare as acceptable what is twice as long as production usually takes."""

    def limit(values: list[float | None]) -> float:
        return round(_SLO_FACTOR * median(value for value in values if value is not None), 3)

    timings = [answer.timing for answer in answers]
    return Slo(
        limit([timing.ttft for timing in timings]),
        limit([timing.itl_mean for timing in timings]),
        limit([timing.e2e for timing in timings]),
    )


async def _asked(ports: Mapping[Seat, int], body: dict[str, Any], rng: random.Random, slo: Slo) -> dict[str, Sample]:
    """Ask every leg, in a drawn order, and compare; the first two legs are production and its control."""
    legs: list[tuple[str, Seat, Defect | None]] = [
        ("", Seat.PRIMARY, None),
        ("control", Seat.PRIMARY, None),
        (HEALTHY_NAME, Seat.CANDIDATE, None),
        *((defect.value, seat, defect) for defect, seat in INDUCED.items()),
    ]
    answers: dict[str, Completion] = {}
    for name, seat, defect in rng.sample(legs, len(legs)):
        answers[name] = await _leg(ports[seat], body, defect, rng)
    request = parse_request("POST", PATH, "application/json", json.dumps(body).encode())
    assert isinstance(request, InferenceRequest)
    primary, control = answers.pop(""), answers.pop("control")
    again = compare(primary, control, request, ComparisonPolicy()), differing_fields(primary, control)
    return {name: sample_of(request, primary, again, answer, slo) for name, answer in answers.items()}


async def _leg(port: int, body: dict[str, Any], defect: Defect | None, rng: random.Random) -> Completion:
    data = json.dumps(asked(defect, body)).encode()
    answer: Answer = await ask_over_tcp("127.0.0.1", port, request_bytes(PATH, data))
    return candidate_completion(Api.CHAT, damaged(defect, answer, rng))


def _body(rng: random.Random) -> dict[str, Any]:
    """Draw a request: half at temperature 0, six in ten with a system prompt, one in seven for JSON."""
    question = rng.choice(_QUESTIONS).format(rng.choice(_SUBJECTS))
    body: dict[str, Any] = {
        "model": _ALIAS,
        "max_tokens": rng.choice((32, 48, 64)),
        "temperature": 0 if rng.random() < 0.5 else 0.7,
        "cache_prompt": False,
    }
    if rng.random() < 0.7:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if rng.random() < 0.15:
        question = f"Describe {rng.choice(_SUBJECTS)} as JSON."
        body["max_tokens"] = 96
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "thing", "schema": _SCHEMA}}
    messages = [{"role": "user", "content": question}]
    if rng.random() < 0.6:
        messages.insert(0, {"role": "system", "content": rng.choice(_SYSTEMS)})
    return body | {"messages": messages}


@contextlib.asynccontextmanager
async def _servers() -> AsyncIterator[dict[Seat, int]]:
    """Run a server for each seat, and give the ports."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mirrorgate-bench-")))
        template = folder / "template.jinja"
        template.write_text(_TEMPLATE, encoding="utf-8")
        extra = {Seat.TEMPLATE: ["--chat-template", str(template)], Seat.COARSE: ["--coarse-cache"]}
        ports: dict[Seat, int] = {}
        for seat in Seat:
            command = [sys.executable, "-m", SERVER, "--alias", _ALIAS, *extra.get(seat, [])]
            process = await stack.enter_async_context(Process(command))
            line = await process.printed("listening on ", timeout=120.0)
            ports[seat] = int(line.rpartition(":")[2])
        yield ports
