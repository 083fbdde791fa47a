"""gRPC calls: against a real gRPC server, and against servers that are none."""

from __future__ import annotations

import asyncio

import pytest

from mirrorgate.sources.endpoint_picker.grpc_calls import Broken, connect
from mirrorgate.sources.endpoint_picker.messages import PATH, read_reply, request_body, request_head
from mirrorgate.testing.backends import Backend, Conversation
from mirrorgate.testing.endpoint_picker import FakeEndpointPicker


@pytest.mark.parametrize("clear", [True, False])
async def test_a_call_carries_more_than_a_window(clear: bool) -> None:
    """Five megabytes there and back, in clear and over TLS with a certificate that names nobody."""
    body = bytes(range(256)) * 20_000
    async with FakeEndpointPicker("1.2.3.4:5", clear=clear) as picker:
        connection = await connect("127.0.0.1", picker.port, encrypted=not clear)
        call = connection.call(PATH)
        call.write(request_head([(b":method", b"POST")], ended=False, subset=None))
        for message in request_body(body):
            call.write(message)
        call.end()
        received = b""
        while (data := await call.receive()) is not None:
            piece = getattr(read_reply(data).content, "piece", None)
            received += piece or b""
        assert received == body
        assert call.over
        assert not call.unsent
        connection.close()


async def test_a_cancelled_call_leaves_the_connection() -> None:
    """The server hears of it, and the next call goes over the same connection."""
    async with FakeEndpointPicker("1.2.3.4:5", clear=True) as picker:
        connection = await connect("127.0.0.1", picker.port, encrypted=False)
        call = connection.call(PATH)
        call.write(request_head([(b"x-picker", b"silent")], ended=True, subset=None))
        await picker.until(lambda: picker.told and picker.told[0].headers)
        call.cancel()
        call.cancel()
        await picker.until(lambda: picker.told[0].over)
        again = connection.call(PATH)
        again.write(request_head([(b":method", b"GET")], ended=True, subset=None))
        data = await again.receive()
        assert data is not None
        assert read_reply(data).destination == "1.2.3.4:5"
        assert picker.told[0].peer == picker.told[1].peer
        connection.close()
        with pytest.raises(Broken):
            await again.receive()


async def test_an_error_status_is_told() -> None:
    """With the server's words; it is not a server that was never reached."""
    async with FakeEndpointPicker(clear=True) as picker:
        connection = await connect("127.0.0.1", picker.port, encrypted=False)
        call = connection.call("/no.such/Method")
        call.end()
        with pytest.raises(Broken, match="gRPC status 12") as broken:
            await call.receive()
        assert not broken.value.unreached
        connection.close()


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 64, b""])
async def test_a_server_that_speaks_no_http2_breaks_the_call(said: bytes) -> None:
    """Whatever it says, the call ends with an error."""

    async def script(talk: Conversation) -> None:
        await talk.read()
        if said:
            await talk.say(said)

    async with Backend(script) as backend:
        connection = await connect("127.0.0.1", backend.port, encrypted=False)
        call = connection.call(PATH)
        call.end()
        with pytest.raises(Broken):
            await asyncio.wait_for(call.receive(), 10)
        assert not connection.usable
        connection.close()
