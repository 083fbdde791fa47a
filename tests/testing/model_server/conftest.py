"""Fixtures of the fake server's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mirrorgate.testing.model_server.asks import Ask, Shape, parse_ask
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer

CHAT = "/v1/chat/completions"


@pytest.fixture
async def server() -> AsyncIterator[FakeModelServer]:
    """A server with the default behaviour."""
    async with FakeModelServer() as running:
        yield running


@pytest.fixture
def chat() -> Callable[..., dict[str, Any]]:
    """Make the body of a chat request at temperature 0."""

    def make(content: str = "Tell me of rivers", **more: Any) -> dict[str, Any]:
        messages = [{"role": "system", "content": "Be kind"}, {"role": "user", "content": content}]
        return {"model": "fake-model", "messages": messages, "temperature": 0} | more

    return make


@pytest.fixture
def ask(chat: Callable[..., dict[str, Any]]) -> Callable[..., Ask]:
    """Make a chat request that has been read."""

    def make(content: str = "Tell me of rivers", **more: Any) -> Ask:
        behaviour = Behaviour(adapters=("lora-a", "lora-b"))
        parsed = parse_ask(Shape.CHAT, chat(content, **more), behaviour)
        assert isinstance(parsed, Ask)
        return parsed

    return make
