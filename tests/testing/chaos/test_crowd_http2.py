"""HTTP/2 clients' verdicts: an unruly server without a gateway between, so that what is sent is what is seen."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mirrorgate.testing.chaos.asks import Ask
from mirrorgate.testing.chaos.crowd import Ended
from mirrorgate.testing.chaos.crowd_http2 import Leaving, ask_http2, leave
from mirrorgate.testing.chaos.unruly_http2 import UnrulyHttp2Server
from mirrorgate.testing.http2_client import Http2Client


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "ended"),
    [
        ("", Ended.WHOLE),
        ("goaway", Ended.WHOLE),
        ("reset=0", Ended.CUT),
        ("reset=200", Ended.CUT),
        ("close=200", Ended.CUT),
        ("die=0", Ended.CUT),
        ("refused", Ended.CUT),
        ("garbage", Ended.CUT),
    ],
)
async def test_what_a_client_tells(
    http2_server: UnrulyHttp2Server, question: Ask, ended: Ended, agreement: Any
) -> None:
    """Whole only where the server said so too."""
    async with await Http2Client.connect(http2_server.port) as client:
        agreement.check(await ask_http2(client, question), http2_server, ended)


class Expecting(Ask):
    """Expects a byte more than is right."""

    __slots__ = ()

    def answer(self) -> bytes:
        return Ask.answer(self) + b" "


async def test_another_answer_is_wrong(http2_server: UnrulyHttp2Server) -> None:
    """By a byte."""
    async with await Http2Client.connect(http2_server.port) as client:
        assert (await ask_http2(client, Expecting("ask-1", "calm.test"))).ended is Ended.WRONG


@pytest.mark.parametrize("when", Leaving)
async def test_who_leaves_leaves_others_alone(http2_server: UnrulyHttp2Server, when: Leaving) -> None:
    """A stream is reset, and its connection goes on."""
    async with await Http2Client.connect(http2_server.port) as client:
        gone = await leave(client, Ask("ask-1", "calm.test", stream=True), when, random.Random(1))
        told = await ask_http2(client, Ask("ask-2", "calm.test"))
    assert (gone.ended, told.ended) == (Ended.LEFT, Ended.WHOLE)
