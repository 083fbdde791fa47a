"""Answers that break, early ones, and clients that leave inside one: who is told what, and what is cut."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy import http

from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.clients import WireError, request_bytes

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_a_body_until_a_reset_is_no_answer(run: Any) -> None:
    """A reset tells the truth: the body was cut."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(OK + b"\r\nab")
        await asked.wait()
        talk.reset()

    asked = asyncio.Event()
    seen = asyncio.Event()

    class Look:
        def responseheaders(self, flow: http.HTTPFlow) -> None:
            seen.set()

    running = await run(script, Look())
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await seen.wait()
    asked.set()
    answer = await client.answer()
    assert answer.status == 502
    assert (await running.done()).flag == "UPE"


BROKEN = {
    "nothing": b"",
    "half a head": OK[:9],
    "a sized body": OK + b"content-length: 9\r\n\r\nab",
    "a chunked body": CHUNKED + b"5\r\nab",
    "a bad chunk": CHUNKED + b"zz\r\n",
    "no HTTP": b"220 smtp.example.com\r\n",
    "both framings": OK + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("reset", [False, True])
async def test_broken_answers_that_were_buffered_are_errors(run: Any, reply: bytes, reset: bool) -> None:
    """Before a byte went to the client: 503 where there was no head, 502 else; the client's connection goes on."""
    hooks: list[str] = []

    class Look:
        def responseheaders(self, flow: http.HTTPFlow) -> None:
            hooks.append("responseheaders")

        def error(self, flow: http.HTTPFlow) -> None:
            hooks.append("error")
            assert flow.error is not None

        def response(self, flow: http.HTTPFlow) -> None:
            hooks.append("response")

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(reply)
        if reset:
            talk.reset()

    running = await run(script, Look())
    client = await running.client()
    answer = await client.request("GET", "/")
    no_head = reply in (b"", OK[:9])
    assert answer.status == (503 if no_head else 502)
    assert hooks[-1] == "error"
    assert hooks.count("error") == 1
    assert "response" not in hooks
    done = await running.done()
    assert (done.status, done.flag) == ((503, "UC") if no_head else (502, "UPE"))
    assert (await client.request("GET", "/")).status == answer.status


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("framing", [b"content-length: 9\r\n", b"transfer-encoding: chunked\r\n"])
async def test_broken_answers_that_stream_are_cut(run: Any, framing: bytes, reset: bool) -> None:
    """The client has the status already: its connection ends without the body's end."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        piece = chunk(b"data: 1\n\n")[:-2] if b"chunked" in framing else b"data: 1"
        await talk.say(OK + b"content-type: text/event-stream\r\n" + framing + b"\r\n" + piece)
        await seen.wait()
        if reset:
            talk.reset()

    seen = asyncio.Event()
    running = await run(script)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    assert (await client.head()).status == 200
    seen.set()
    rest = b""
    while piece := await client.read():
        rest += piece
    assert rest.startswith(b"9\r\ndata: 1" if b"chunked" in framing else b"data: 1")
    assert not rest.endswith(b"0\r\n\r\n")
    done = await running.done()
    assert (done.status, done.flag) == (200, "UPE")
    assert done.details == "upstream_reset_after_response_started{protocol_error}"


async def test_bytes_behind_an_answer_end_the_connection(run: Any) -> None:
    """They are nobody's answer: the next request gets a connection of its own."""
    running = await run(answering(response_bytes(body=b"one") + response_bytes(body=b"smuggled")))
    client = await running.client()
    assert [(await client.request("GET", "/")).body for _ in range(2)] == [b"one", b"one"]
    assert len(running.backend.conversations) == 2


async def test_an_answer_before_the_upload_ends_is_sent_at_once(run: Any) -> None:
    """With `connection: close`; the rest of the upload is dropped, and the upstream's connection is not used again."""

    async def script(talk: Conversation) -> None:
        await talk.head()
        await talk.answer(429, b"later")
        await talk.gone()

    running = await run(script, settings=Settings(stream_over=0))
    client = await running.client()
    await client.send(request_bytes("POST", "/", [("content-length", "1000000")], body=b"x" * 1000))
    answer = await client.answer()
    assert (answer.status, answer.body, answer.head.header("connection")) == (429, b"later", "close")
    await client.send(b"x" * 1000)
    assert await client.closed() is not None
    assert (await running.done()).status == 429
    assert running.cluster.connections == 0


async def test_a_client_that_leaves_inside_an_answer_frees_the_place(run: Any) -> None:
    """At once, and the upstream sees its connection end."""
    gone = asyncio.Event()

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(OK + b"content-type: text/event-stream\r\n\r\ndata: 1\n\n")
        await talk.gone()
        gone.set()

    running = await run(script)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    assert (await client.head()).status == 200
    assert running.cluster.active == 1
    client.abort()
    await gone.wait()
    done = await running.done()
    assert (done.status, done.flag, done.refusal) == (200, "DC", "client_left")
    assert running.cluster.active == 0


async def test_an_answer_that_never_comes_to_its_end_is_seen(run: Any) -> None:
    """By the raw client, too: what it gets is no whole answer."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.say(
            OK + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"data: 1\n\n")
        )

    running = await run(script)
    client = await running.client()
    with pytest.raises(WireError):
        await client.request("GET", "/")
