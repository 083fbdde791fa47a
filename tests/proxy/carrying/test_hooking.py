"""The hooks of one exchange: kills, persons who intercept, one hook after another, and stream functions of addons."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.carrying.hooking import through
from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

OK = answering(response_bytes(body=b"ok"))


def test_a_piece_may_become_several_or_none() -> None:
    """As mitmproxy documents: bytes, or an iterable of them."""
    assert through(lambda piece: piece.upper(), b"ab") == [b"AB"]
    assert through(lambda piece: [piece, b"!"], b"ab") == [b"ab", b"!"]
    assert through(lambda piece: (part for part in (b"a", b"b")), b"ab") == [b"a", b"b"]
    assert through(lambda piece: [], b"ab") == []


@pytest.mark.parametrize("stream", [True, False, None])
def test_what_is_no_function_passes_pieces_on(stream: object) -> None:
    """And adds nothing at the end."""
    assert through(stream, b"ab") == [b"ab"]
    assert through(stream, b"", last=True) == []


def test_a_function_that_raises_is_passed_by() -> None:
    """Also one that returns what is no piece."""
    assert through(lambda piece: 1 / 0, b"ab") == [b"ab"]
    assert through(lambda piece: None, b"ab") == [b"ab"]


async def test_one_hook_is_called_after_another(run: Any) -> None:
    """As in mitmproxy: also where the answer comes while `request`, at the end of an upload, still waits."""
    seen: list[str] = []
    go = asyncio.Event()

    class Slow:
        def requestheaders(self, flow: http.HTTPFlow) -> None:
            flow.request.stream = True

        async def request(self, flow: http.HTTPFlow) -> None:
            seen.append("request begins")
            await go.wait()
            seen.append("request ends")

        def responseheaders(self, flow: http.HTTPFlow) -> None:
            seen.append("responseheaders")

        def response(self, flow: http.HTTPFlow) -> None:
            seen.append("response")

    async def script(talk: Conversation) -> None:
        await talk.head()
        await talk.answer(200, b"early")
        await talk.gone()

    running = await run(script, Slow())
    client = await running.client()
    await client.send(request_bytes("POST", "/", body=b"ping"))
    [found] = await _connections(running)
    await until(lambda: found.carrier is not None and found.carrier.flow.response is not None)
    assert seen == ["request begins"]
    go.set()
    assert (await client.answer()).body == b"early"
    assert seen == ["request begins", "request ends", "responseheaders", "response"]


async def _connections(running: Any) -> list[Any]:
    await until(lambda: running.gateway.plane.connections)
    return list(running.gateway.plane.connections)


@pytest.mark.parametrize("hook", ["requestheaders", "request", "responseheaders"])
async def test_an_addon_kills(run: Any, hook: str) -> None:
    """No answer, one `error`, and nothing is held."""
    seen: list[str] = []

    class Kill:
        def error(self, flow: http.HTTPFlow) -> None:
            assert flow.error is not None
            seen.append(flow.error.msg)

    kill = Kill()
    setattr(kill, hook, _killing)
    running = await run(OK, kill)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    assert await client.read() == b""
    done = await running.done()
    assert (done.status, done.flag) == (0, "LR")
    assert seen == ["Connection killed."]


async def _killing(flow: http.HTTPFlow) -> None:
    await asyncio.sleep(0)
    flow.kill()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_addon_kills_in_response(run: Any, stream: bool) -> None:
    """No `error` follows; a buffered answer is not sent, a streamed one has no end."""

    class Kill:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def responseheaders(self, flow: http.HTTPFlow) -> None:
            assert flow.response is not None
            flow.response.stream = stream

        def response(self, flow: http.HTTPFlow) -> None:
            flow.kill()
            self.seen.append("response")

        def error(self, flow: http.HTTPFlow) -> None:
            self.seen.append("error")

    kill = Kill()
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    running = await run(answering(reply), kill)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    got = b""
    while data := await client.read():
        got += data
    assert got.endswith(b"2\r\nok\r\n") if stream else got == b""
    await running.done()
    assert kill.seen == ["response"]


async def test_a_kill_outside_a_hook_counts_at_the_next(run: Any) -> None:
    """As in mitmproxy: what streams goes on until its end, which is not sent."""
    flows: list[http.HTTPFlow] = []
    go = asyncio.Event()

    class Look:
        def responseheaders(self, flow: http.HTTPFlow) -> None:
            flows.append(flow)

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        await go.wait()
        await talk.say(b"2\r\nok\r\n0\r\n\r\n")

    running = await run(script, Look())
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await client.head()
    flows[0].kill()
    go.set()
    assert await client.reader.readexactly(7) == b"2\r\nok\r\n"
    assert await client.read() == b""
    assert (await running.done()).flag == "LR"


class Intercepts:
    """Intercepts in one hook, as a person at mitmweb does."""

    def __init__(self, hook: str) -> None:
        self.flow: http.HTTPFlow | None = None
        self.updates = 0
        self.errors = 0
        setattr(self, hook, self.hold)

    def hold(self, flow: http.HTTPFlow) -> None:
        flow.intercept()
        self.flow = flow

    def update(self, flows: list[http.HTTPFlow]) -> None:
        self.updates += 1

    def error(self, flow: http.HTTPFlow) -> None:
        self.errors += 1


HOOKS = ["requestheaders", "request", "responseheaders", "response"]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("how", ["resume", "kill", "leave", "drain"])
async def test_a_person_intercepts(run: Any, hook: str, how: str) -> None:
    """And the wait ends by resuming, by killing, when the client leaves, and when the gateway stops."""
    person = Intercepts(hook)
    running = await run(OK, person, policy="timeout: {http: {requestTimeout: 700ms}}")
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: person.flow is not None)
    flow = person.flow
    assert flow is not None
    assert flow.intercepted
    assert running.gateway.done == []
    if how == "resume":
        flow.resume()
        assert (await client.answer()).body == b"ok"
    elif how == "kill":
        flow.kill()
        assert await client.read() == b""
    elif how == "leave":
        client.abort()
    else:
        assert await running.gateway.plane.drain(5)
        assert (await client.answer()).head.header("connection") == "close"
    done = await running.done()
    assert done.flag == {"resume": "-", "kill": "LR", "leave": "DC", "drain": "-"}[how]
    assert not flow.intercepted
    assert person.updates >= HOOKS.index(hook) + 1


async def test_time_that_a_person_takes_is_not_the_upstreams(run: Any) -> None:
    """Timeouts do not run out while a flow is held; an answer that comes meanwhile waits, too."""
    person = Intercepts("responseheaders")
    running = await run(OK, person, policy="timeout: {http: {requestTimeout: 500ms, streamIdleTimeout: 500ms}}")
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: person.flow is not None)
    await asyncio.sleep(0.8)  # longer than the timeouts: this is what is tested
    assert running.gateway.done == []
    assert person.flow is not None
    person.flow.resume()
    assert (await client.answer()).body == b"ok"
