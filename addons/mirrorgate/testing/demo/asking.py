"""The requests that the demo sends: the one of the tutorials, and others that a chat sees."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from .gateway import RunningGateway

__all__ = ["PROMPTS", "TUTORIAL", "Answered", "Asking"]

HOST = "example.com"
_PATH = "/v1/chat/completions"

TUTORIAL: dict[str, Any] = {
    "model": "/model/llama2",
    "max_completion_tokens": 100,
    "temperature": 0,
    "messages": [{"role": "user", "content": "introduce yourself"}],
}
"""The body of both tutorials' request."""

PROMPTS = (
    "What is a circuit breaker?",
    "Name three rivers of Europe.",
    "Why is the sky blue?",
    "Write a haiku about proxies.",
    "How do I boil an egg?",
    "Explain a queue to a child.",
    "What is the capital of Peru?",
    "Give me a name for a cat.",
    "When was the telescope invented?",
    "Summarise the plot of Hamlet.",
    "What rhymes with orange?",
    "How far away is the moon?",
)


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    headers: tuple[str, ...]
    """Names of the answer's header fields, in their order."""
    body: str
    seconds: float
    """From the first byte of the request to the last of the answer."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A client of the gateway."""

    gateway: RunningGateway

    @property
    def curl(self) -> str:
        """The tutorials' command, with the address in place of `${GATEWAY_ADDRESS}`."""
        return (
            f"curl -X POST {self.gateway.url.removeprefix('http://')}{_PATH} -H 'Content-Type: application/json' "
            f"-H \"host: {HOST}\" -d '{json.dumps(TUTORIAL)}'"
        )

    async def tutorial(self) -> Answered:
        """Send the tutorials' request."""
        return await self._send(TUTORIAL)

    async def prompt(self, text: str, *, stream: bool) -> Answered:
        """Ask something, as an answer in one piece or as a stream with its usage."""
        body = TUTORIAL | {"messages": [{"role": "user", "content": text}], "max_completion_tokens": 60}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return await self._send(body)

    async def prompts(self, count: int, *, at_once: int = 2) -> list[Answered]:
        """Ask so many things, every other one as a stream, a few at a time."""
        room = asyncio.Semaphore(at_once)

        async def one(number: int) -> Answered:
            async with room:
                return await self.prompt(PROMPTS[number % len(PROMPTS)], stream=number % 2 == 0)

        return list(await asyncio.gather(*map(one, range(count))))

    async def _send(self, body: dict[str, Any]) -> Answered:
        began = time.perf_counter()
        answer = await self.gateway.http.post(self.gateway.url + _PATH, json=body, headers={"host": HOST})
        names = tuple(name.decode("latin-1").lower() for name, _ in answer.headers.raw)
        return Answered(answer.status_code, names, answer.text, time.perf_counter() - began)
