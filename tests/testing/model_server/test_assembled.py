"""The fake's answers, read by Mirrorgate's own assembler: two readings of the recordings that must agree."""

from __future__ import annotations

from typing import Any

import pytest

from mirrorgate.inference.apis import Api
from mirrorgate.inference.assembling import assemble
from mirrorgate.inference.completions import Broken, Completion
from mirrorgate.testing.clients import Client
from mirrorgate.testing.model_server.server import FakeModelServer

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
MESSAGES = [{"role": "user", "content": "The weather in Paris?"}]
CASES: list[tuple[Api, str, dict[str, Any]]] = [
    (Api.CHAT, "/v1/chat/completions", {"messages": MESSAGES, "stream_options": {"include_usage": True}}),
    (Api.CHAT, "/v1/chat/completions", {"messages": MESSAGES, "tools": TOOLS, "tool_choice": "required"}),
    (Api.CHAT, "/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 3, "logprobs": True, "n": 2}),
    (Api.COMPLETIONS, "/v1/completions", {"prompt": "hi"}),
    (Api.RESPONSES, "/v1/responses", {"input": "hi"}),
    (Api.MESSAGES, "/v1/messages", {"messages": MESSAGES, "max_tokens": 9}),
]


async def read(server: FakeModelServer, api: Api, path: str, body: dict[str, Any]) -> Completion:
    """Ask the server and assemble what it says."""
    async with await Client.connect(server.port) as client:
        answer = await client.request("POST", path, (), body | {"temperature": 0})
    chunks = [chunk.data for chunk in answer.chunks]
    times = [chunk.at for chunk in answer.chunks]
    media = answer.head.header("content-type")
    return assemble(api, answer.status, media, None, chunks, times, min(times, default=0.0))


@pytest.mark.parametrize(("api", "path", "body"), CASES)
async def test_streamed_and_whole_assemble_to_the_same(
    server: FakeModelServer, api: Api, path: str, body: dict[str, Any]
) -> None:
    """Text, reasons and tool calls of the two are equal, and nothing is broken."""
    whole = await read(server, api, path, body)
    streamed = await read(server, api, path, body | {"stream": True})
    assert whole.broken is Broken.NO
    assert streamed.broken is Broken.NO
    assert len(whole.choices) == body.get("n", 1)
    for one, other in zip(whole.choices, streamed.choices, strict=True):
        assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
        assert [(call.name, call.arguments) for call in one.tool_calls] == [
            (call.name, call.arguments) for call in other.tool_calls
        ]
