"""What the clients of both versions of HTTP are judged by: servers without a gateway between."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mirrorgate.testing.chaos.asks import Ask
from mirrorgate.testing.chaos.crowd import Ended, Told
from mirrorgate.testing.chaos.unruly import UnrulyServer
from mirrorgate.testing.chaos.unruly_http2 import UnrulyHttp2Server


@pytest.fixture
async def server() -> AsyncIterator[UnrulyServer]:
    """An unruly server."""
    async with UnrulyServer() as started:
        yield started


@pytest.fixture
async def http2_server() -> AsyncIterator[UnrulyHttp2Server]:
    """An unruly server that speaks HTTP/2."""
    async with UnrulyHttp2Server() as started:
        yield started


@pytest.fixture
def question(fault: str, stream: bool) -> Ask:
    """Ask for a failure of the primary's, or for none."""
    return Ask("ask-1", "calm.test", stream=stream, faults={"primary": fault} if fault else {})


class Agreement:
    """Holds what a client tells against the server's own word."""

    def check(self, told: Told, server: UnrulyServer | UnrulyHttp2Server, ended: Ended) -> None:
        """It was asked once, and its client has a whole answer where it has given one, and only there."""
        assert told.ended is ended
        assert server.seen[told.ask.id, "primary"] == 1
        assert server.answered[told.ask.id, "primary"] == (ended is Ended.WHOLE)


@pytest.fixture
def agreement() -> Agreement:
    """Give tests the check; a fixture, because test files import nothing from each other."""
    return Agreement()
