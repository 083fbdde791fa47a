"""Captures of every format, made of a few exchanges."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow

from mirrorgate.replay.captured import Captured, Recorded

BODY = {"model": "fake-model", "messages": [{"role": "user", "content": "introduce yourself"}], "temperature": 0}
CHAT = "/v1/chat/completions"


class Captures:
    """Makes exchanges and writes captures of them."""

    body = BODY
    path = CHAT

    @staticmethod
    def answer_body(text: str = "hello there") -> bytes:
        """Return a whole chat completion."""
        message = {"role": "assistant", "content": text}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return json.dumps({"object": "chat.completion", "model": "fake-model", "choices": choices}).encode()

    @classmethod
    def entry(cls, id: str = "a", **changes: Any) -> Captured:
        """Return one exchange with a recorded answer."""
        answer = Recorded(200, [(b"content-type", b"application/json")], [cls.answer_body()], [0.5], finished=0.5)
        values: dict[str, Any] = {
            "id": id,
            "method": "POST",
            "path": CHAT,
            "host": "example.com",
            "headers": [(b"content-type", b"application/json"), (b"authorization", b"Bearer secret")],
            "body": json.dumps(BODY).encode(),
            "started": 1000.0,
            "answer": answer,
        }
        return Captured(**(values | changes))

    @classmethod
    def flow(cls, number: int = 0, *, text: str = "hello there", started: float = 1000.0, **body: Any) -> http.HTTPFlow:
        """Return a flow as mitmproxy saves it."""
        flow = tflow.tflow(resp=True)
        flow.id = f"flow-{number}"
        request = flow.request
        request.method, request.path = "POST", CHAT
        request.headers = http.Headers([(b"host", b"example.com"), (b"content-type", b"application/json")])
        request.content = json.dumps(BODY | body).encode()
        request.timestamp_start, request.timestamp_end = started, started + 0.01
        assert flow.response is not None
        flow.response.headers = http.Headers([(b"content-type", b"application/json")])
        flow.response.content = cls.answer_body(text)
        flow.response.timestamp_start, flow.response.timestamp_end = started + 0.2, started + 0.3
        return flow

    @classmethod
    def write(cls, path: Path, flows: list[http.HTTPFlow]) -> Path:
        """Save flows with mitmproxy's own writer."""
        with path.open("wb") as stream:
            writer = FlowWriter(stream)
            for flow in flows:
                writer.add(flow)
        return path


@pytest.fixture(scope="session")
def captures() -> type[Captures]:
    """Give tests the makers; a fixture, because test files import nothing from each other."""
    return Captures


Make = Callable[..., Captured]
