"""Two hundred thousand requests, troubled ones among them: memory is flat, and the books balance."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from mirrorgate.testing.backends import response_bytes
from mirrorgate.testing.chaos.books import Held
from mirrorgate.testing.chaos.crowd import Ended, Manner
from mirrorgate.testing.chaos.crowd_http2 import Leaving, leave
from mirrorgate.testing.chaos.rig import ChaosRig, chaos_rig
from mirrorgate.testing.manifests import backend, http_route, reference

pytestmark = [pytest.mark.soak, pytest.mark.e2e, pytest.mark.timeout(3600)]

REQUESTS = 200_000
STRETCH = 20_000
AT_ONCE = 8
BATCH = 25
FAULTS = ("reset=0", "reset=200", "close=300", "garbage", "malformed=bad_chunk_size", "stale=0", "early=500", "")
REPLY = response_bytes(200, b'{"ok": true}', ("content-type", "application/json"))
REQUEST = b"GET /bulk HTTP/1.1\r\nhost: bulk.test\r\n\r\n"


class Answering(asyncio.Protocol):
    """A server that looks for the ends of heads only, so that the gateway is what the time goes to."""

    def __init__(self, transports: set[asyncio.Transport]) -> None:
        self.transports = transports
        """Of every connection that is open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.transports.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transports.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(REPLY * data.count(b"\r\n\r\n"))


async def bulk(rig: ChaosRig, count: int) -> int:
    """Send requests in pipelines over one connection; return how many were answered 200."""
    good = 0
    async with await rig.gateway.connect(timeout=120.0) as client:
        while count > 0:
            size = min(BATCH, count)
            count -= size
            await client.send(REQUEST * size)
            for _ in range(size):
                head = await client.reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                assert length is not None
                good += head.startswith(b"HTTP/1.1 200 ")
                await client.reader.readexactly(int(length[1]))
    return good


async def trouble(rig: ChaosRig) -> None:
    """Break each leg and each client a few times."""
    legs = ("primary", "candidate", "control")
    await rig.tell(*(rig.ask(faults={leg: fault} if fault else {}) for leg in legs for fault in FAULTS), at_once=4)
    await rig.tell(*(rig.ask(stream=True) for _ in range(40)), at_once=4)
    await rig.tell_http2(*(rig.ask(stream=number % 2 == 0) for number in range(40)))
    async with await rig.connect_http2() as client:
        asks = [rig.ask(stream=True) for _ in Leaving]
        rig.books.note(
            *await asyncio.gather(
                *(leave(client, question, when, rig.rng) for question, when in zip(asks, Leaving, strict=True))
            )
        )
    await rig.misbehave(rig.ask(padding=3 * 1024 * 1024), Manner.LEAVE_IN_BODY)
    for manner in Manner:
        await rig.misbehave(rig.ask(stream=True), manner)


async def test_memory_is_flat(tmp_path: Path, seed: int) -> None:
    """After the first stretches, which fill caches and the allocator's pools, nothing grows."""
    transports: set[asyncio.Transport] = set()
    server = await asyncio.get_running_loop().create_server(lambda: Answering(transports), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    more = [backend("bulk", port), http_route("bulk", reference("bulk"))]
    figures: list[dict[str, int]] = []
    async with server, chaos_rig(tmp_path, seed, more=more) as rig:
        pids = {"gateway": rig.gateway.process.pid, "shadow": rig.gateway.shadow_pid()}
        for done in range(STRETCH, REQUESTS + 1, STRETCH):
            answered = await asyncio.gather(*(bulk(rig, STRETCH // AT_ONCE) for _ in range(AT_ONCE)), trouble(rig))
            assert sum(filter(None, answered)) == STRETCH
            held = Held.now(pids)
            figures.append(dict(held.resident))
            print(f"{done} requests: {held.resident} MiB, {held.descriptors} descriptors", flush=True)
        assert [told for told in rig.books.told if told.ended is Ended.WRONG] == []
        for transport in list(transports):
            transport.close()
        await rig.books.balance(memory=64)
    for name in pids:
        assert figures[-1][name] <= figures[1][name] + 8, (name, figures)
