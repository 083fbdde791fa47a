"""Ends that are not good ones."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy import connection, http

from mirrorgate.testing.backends import answering
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n"


class Heard:
    """Keeps the order of what an addon hears at the end."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def response(self, flow: http.HTTPFlow) -> None:
        self.seen.append("response")

    def error(self, flow: http.HTTPFlow) -> None:
        self.seen.append("error")

    def client_disconnected(self, client: connection.Client) -> None:
        self.seen.append("client_disconnected")


@pytest.mark.parametrize("where", ["route", "plan", "started", "usage"])
async def test_a_bug_fails_closed(run: Any, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 (or a cut, once the answer has begun), counted, one `error` or `response`, and nothing is held."""
    heard = Heard()
    running = await run(answering(STREAM.replace(b"\r\n\r\n", b"\r\ncontent-length: 9\r\n\r\n")), heard)

    def broken(*arguments: object, **more: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(running.gateway.plane.director, where, broken)
        client = await running.client()
        await client.send(request_bytes("GET", "/"))
        if where == "usage":
            head = await client.head()
            assert head.status == 200
        else:
            answer = await client.answer()
            assert (answer.status, answer.body) == (500, b"internal error")
        await client.closed()
        done = await running.done()
        assert (done.flag, done.refusal) == ("-", "internal")
        await until(lambda: "client_disconnected" in heard.seen)
        assert heard.seen.count("error") + heard.seen.count("response") == 1
    running.gateway.bugs_expected = running.gateway.plane.bugs
    assert running.gateway.bugs_expected >= 1
    assert (await (await running.client()).request("GET", "/")).status == 200
