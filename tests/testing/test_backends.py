"""The scripted backend, asked by the raw client."""

from __future__ import annotations

import asyncio

import pytest

from mirrorgate.testing.backends import Backend, Conversation, answering, response_bytes
from mirrorgate.testing.clients import Client, WireError, request_bytes


def test_answers_are_framed() -> None:
    """By length, or in one chunk."""
    assert response_bytes(201, b"ab", ("x", "1")) == b"HTTP/1.1 201 OK\r\nx: 1\r\ncontent-length: 2\r\n\r\nab"
    assert response_bytes(body=b"ab", chunked=True).endswith(b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
    assert response_bytes(body=b"", chunked=True).endswith(b"\r\n\r\n0\r\n\r\n")


async def test_requests_are_kept_as_they_came() -> None:
    """Sized or chunked, with trailers, by connection and over all of them."""
    async with Backend(answering(lambda request: response_bytes(body=request.body))) as backend:
        for _ in range(2):
            async with await Client.connect(backend.port) as client:
                assert (await client.request("POST", "/a", [("X", "1"), ("x", "2")], b"ab")).body == b"ab"
                sent = await client.request("PUT", "/b", chunks=[b"c", b"d"], trailers=[("sum", "3")])
                assert sent.body == b"cd"
    assert [len(talk.requests) for talk in backend.conversations] == [2, 2]
    first, second = backend.requests[:2]
    assert (first.method, first.target, first.version, first.body) == ("POST", "/a", "HTTP/1.1", b"ab")
    assert (first.header("x"), first.header("nothing")) == ("1, 2", None)
    assert (second.body, second.trailers) == (b"cd", (("sum", "3"),))


async def test_a_script_says_what_it_likes() -> None:
    """Piece by piece, and ends its connection by returning or with a reset."""

    async def script(talk: Conversation) -> None:
        if (await talk.request()).target == "/reset":
            talk.reset()
        else:
            await talk.say(b"HTTP/1.1 200 OK\r\n", b"\r\nuntil the end")

    async with Backend(script) as backend:
        async with await Client.connect(backend.port) as client:
            assert (await client.request("GET", "/")).body == b"until the end"
        async with await Client.connect(backend.port) as client:
            with pytest.raises((ConnectionError, WireError)):
                await client.request("GET", "/reset")


async def test_a_script_that_fails_fails_the_test() -> None:
    """Unless the test fails already; the end of a connection is no failure."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        raise LookupError("wrong")

    async def fail() -> None:
        async with Backend(script) as backend, await Client.connect(backend.port) as client:
            await client.send(request_bytes("GET", "/"))
            assert await client.read() == b""

    with pytest.raises(LookupError, match="wrong"):
        await fail()


async def test_a_peer_that_leaves_is_noticed() -> None:
    """However it does."""
    gone = asyncio.Event()

    async def script(talk: Conversation) -> None:
        await talk.head()
        await talk.gone()
        gone.set()

    async with Backend(script) as backend:
        client = await Client.connect(backend.port)
        await client.send(request_bytes("GET", "/"), b"more")
        client.abort()
        async with asyncio.timeout(5):
            await gone.wait()
