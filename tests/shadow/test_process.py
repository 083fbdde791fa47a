"""The shadow process serves its socket until the other side closes it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mirrorgate.records import Compared, Configure, FromShadow, Leg, LegContent, ShadowCounts, ShadowReady
from mirrorgate.shadow.comparing import Comparer
from mirrorgate.shadow.frames import PREAMBLE, encode, proxy_decoder
from mirrorgate.shadow.process import ShadowProcess


class Proxy:
    """The other side, by hand."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.ours, theirs = socket.socketpair()
        self._theirs = theirs
        for end in (self.ours, theirs):
            end.setblocking(False)
        self._decoder = proxy_decoder()
        self.messages: list[FromShadow] = []
        self.process = ShadowProcess(self._loop, theirs, Comparer(lambda: 1.0))
        self.task = self._loop.create_task(self.process.run())

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.ours, data)

    async def receive(self) -> bool:
        data = await self._loop.sock_recv(self.ours, 65536)
        self.messages += self._decoder.feed(data)
        return bool(data)

    async def until(self, kind: type) -> Any:
        async with asyncio.timeout(20):
            while not any(isinstance(message, kind) for message in self.messages):
                assert await self.receive()
        return next(message for message in self.messages if isinstance(message, kind))

    async def close(self) -> None:
        self.ours.close()
        async with asyncio.timeout(20):
            await self.task
        self._theirs.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    yield proxy
    await proxy.close()


async def test_it_says_that_it_is_ready_and_ends_with_its_socket(proxy: Proxy) -> None:
    """The first frame names the process."""
    assert (await proxy.until(ShadowReady)).pid > 0


async def test_frames_in_tiny_pieces_are_served(serve: Any, new: Any, proxy: Proxy) -> None:
    """An exchange that arrives byte by byte is sent, compared and counted."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await new.read_request(reader)
        writer.write(new.chat("hi"))
        await reader.read()

    frames = [
        Configure("", 1, 0, 10),
        new.started("a", [new.target(await serve(handler))]),
        new.finished("a", new.chat("hi")),
    ]
    wire = PREAMBLE + b"".join(piece for frame in frames for piece in encode(frame))
    for byte in wire:
        await proxy.send(bytes([byte]))
    assert (await proxy.until(Compared)).outcome == "same"
    proxy.messages.clear()
    async with asyncio.timeout(20):
        while not any(isinstance(m, ShadowCounts) and m.judged == 1 and m.held_bytes == 0 for m in proxy.messages):
            await proxy.receive()


async def test_contents_give_way_when_the_proxy_does_not_read(proxy: Proxy) -> None:
    """They are held up to a few MiB, then dropped and counted; results still go out."""
    content = LegContent(
        "x", Leg.CANDIDATE, "c", "r", "e", "POST", "/", None, [], "complete", "", 200, [], bytes(256 * 1024), False,
        0.0, 0.0, 0.0,
    )  # fmt: skip
    for _ in range(100):
        proxy.process.session.send(content)
    assert 2 * 1024 * 1024 < proxy.process.session.outbox.size < 5 * 1024 * 1024
    proxy.process.session.send(Compared("last", "c", "same", 1.0, "", b""))
    counts = await proxy.until(ShadowCounts)
    assert 70 < counts.contents_dropped < 100
    assert (await proxy.until(Compared)).id == "last"


@pytest.mark.parametrize("wrong", [b"GET / HTTP/1.1\r\n", PREAMBLE + b"\xff\xff\xff\xff", PREAMBLE + b"\0\0\0\1\xc1"])
async def test_a_foreign_peer_ends_it(proxy: Proxy, wrong: bytes) -> None:
    """What is not the protocol ends the process instead of being guessed at."""
    await proxy.send(wrong)
    async with asyncio.timeout(20):
        await proxy.task
