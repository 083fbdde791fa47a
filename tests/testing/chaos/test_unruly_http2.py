"""The unruly server's own word over HTTP/2: what takes one stream down, and what takes all."""

from __future__ import annotations

import asyncio

import pytest

from mirrorgate.testing.certificates import Authority
from mirrorgate.testing.chaos.asks import LEG_HEADER, Ask
from mirrorgate.testing.chaos.crowd import Ended
from mirrorgate.testing.chaos.crowd_http2 import ask_http2
from mirrorgate.testing.chaos.unruly_http2 import UnrulyHttp2Server
from mirrorgate.testing.http2_client import Http2Client


async def test_a_leg_meets_its_own_failure_only() -> None:
    """The candidate's failure is nothing to the primary."""
    question = Ask("ask-1", "calm.test", faults={"candidate": "refused"})
    async with UnrulyHttp2Server() as server, await Http2Client.connect(server.port) as client:
        assert (await ask_http2(client, question)).ended is Ended.WHOLE
        stream = client.begin("POST", "/", headers=[*question.fields(), (LEG_HEADER, "candidate")], ended=False)
        await client.until_over(stream)
        assert stream.reset == 7


@pytest.mark.parametrize(("fault", "siblings"), [("reset=50", Ended.WHOLE), ("die=50", Ended.CUT)])
async def test_what_ends_with_a_stream(fault: str, siblings: Ended) -> None:
    """Its own reset is nothing to the others; a connection takes them with it."""
    slow = Ask("ask-1", "calm.test", stream=True, words=4000)  # longer than the window, so that it waits for the client
    async with UnrulyHttp2Server() as server, await Http2Client.connect(server.port) as client:
        client.granting = False
        client.session.increment_flow_control_window(1 << 24)  # the connection's, not the stream's
        sibling = asyncio.create_task(ask_http2(client, slow))
        await client.until(lambda: server.seen["ask-1", "primary"])
        assert (await ask_http2(client, Ask("ask-2", "calm.test", faults={"primary": fault}))).ended is Ended.CUT
        if siblings is Ended.WHOLE:
            client.granting = True
            client.session.increment_flow_control_window(1 << 24, 1)
            client.flush()
        assert (await sibling).ended is siblings


async def test_a_goaway_keeps_what_was_asked() -> None:
    """The requests before it are answered, then the connection ends."""
    async with UnrulyHttp2Server() as server, await Http2Client.connect(server.port) as client:
        told = await ask_http2(client, Ask("ask-1", "calm.test", faults={"primary": "goaway"}))
        await client.until_closed()
        assert (told.ended, client.goaway, client.last_stream) == (Ended.WHOLE, 0, 1)


async def test_a_goaway_leaves_a_request_out() -> None:
    """It says so by the last stream that it names."""
    async with UnrulyHttp2Server() as server, await Http2Client.connect(server.port) as client:
        assert (await ask_http2(client, Ask("ask-1", "calm.test", faults={"primary": "unbegun"}))).ended is Ended.CUT
        assert (client.goaway, client.last_stream) == (0, 0)


async def test_it_speaks_tls() -> None:
    """By ALPN."""
    authority = Authority()
    tls = authority.server("model.test", protocols=("h2",))
    async with UnrulyHttp2Server(tls) as server:
        client = await Http2Client.connect(server.port, tls=authority.client("h2"), server_name="model.test")
        async with client:
            assert (await ask_http2(client, Ask("ask-1", "calm.test"))).ended is Ended.WHOLE


async def test_what_is_given_up_in_the_same_read_takes_nothing_with_it() -> None:
    """A whole request and its reset: it was seen, the connection goes on, and so do its windows."""
    async with UnrulyHttp2Server() as server, await Http2Client.connect(server.port) as client:
        body = b"x" * 10_000
        fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("user-agent", "gone")]
        for _ in range(20):
            number = client.session.get_next_available_stream_id()
            client.session.send_headers(number, fields)
            await client.until(lambda: client.session.outbound_flow_control_window > len(body))
            client.session.send_data(number, body, end_stream=True)
            client.session.reset_stream(number)
            client.flush()
        assert (await ask_http2(client, Ask("ask-1", "calm.test"))).ended is Ended.WHOLE
        assert (server.seen["gone", "primary"], server.answered["gone", "primary"]) == (20, 0)
