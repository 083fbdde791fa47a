"""One shadow process for several workers: results go to whose exchange it was, verdicts to all."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.records import (
    Configure,
    ExchangeFinished,
    ExchangeStarted,
    FromShadow,
    Leg,
    LegFinished,
    RestoreVerdicts,
    ShadowCounts,
    ShadowDropped,
    ShadowReady,
    Target,
    ToShadow,
    VerdictChanged,
)
from mirrorgate.shadow.comparing import Comparer
from mirrorgate.shadow.frames import PREAMBLE, encode, proxy_decoder
from mirrorgate.shadow.judging import Drops
from mirrorgate.shadow.shared_process import SharedShadowProcess

VERDICT = VerdictChanged("c", b"{}", b"")


class Teller(Comparer):
    """A judge that has a verdict as soon as it is asked to restore one."""

    def __init__(self) -> None:
        super().__init__(lambda: 1.0)
        self._news: list[FromShadow] = []

    def restore(self, frame: RestoreVerdicts) -> None:
        self._news.append(VERDICT)

    def tick(self, drops: Drops, busy: Collection[str]) -> Sequence[FromShadow]:
        news, self._news = self._news, []
        return news


class Worker:
    """A worker's end, by hand."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._decoder = proxy_decoder()
        self.messages: list[FromShadow] = []

    async def send(self, *frames: ToShadow) -> None:
        for frame in frames:
            await asyncio.get_running_loop().sock_sendall(self.sock, b"".join(encode(frame)))

    async def read(self) -> bool:
        """Read what is there; false at the end."""
        data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        self.messages += self._decoder.feed(data)
        return bool(data)

    async def until[M](self, kind: type[M]) -> M:
        """Read until a message of a kind is there, and return the first."""
        async with asyncio.timeout(30):
            while True:
                for message in self.messages:
                    if isinstance(message, kind):
                        return message
                assert await self.read(), self.messages


class Listening(socket.socket):
    """A listening socket of a process that may be out of descriptors."""

    exhausted = 0
    """How many more times accepting fails."""

    def accept(self) -> tuple[socket.socket, Any]:
        if self.exhausted:
            self.exhausted -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


class Rig:
    """The process, and workers that connect to it."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self.listening = Listening(socket.AF_UNIX)
        self.listening.bind(self._path)
        self.listening.listen()
        self.listening.setblocking(False)
        loop = asyncio.get_running_loop()
        self.process = SharedShadowProcess(loop, self.listening, Teller())
        self.task = loop.create_task(self.process.run())
        self._open = contextlib.ExitStack()

    async def worker(self) -> Worker:
        """Connect one more."""
        sock = self._open.enter_context(socket.socket(socket.AF_UNIX))
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, self._path)
        await loop.sock_sendall(sock, PREAMBLE)
        worker = Worker(sock)
        await worker.send(Configure("", 1, 0, 100))
        await worker.until(ShadowReady)
        return worker

    async def close(self) -> None:
        self.process.stop()
        async with asyncio.timeout(30):
            await self.task
        self._open.close()
        self.listening.close()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """End the process whatever happens."""
    rig = Rig(tmp_path / "shadow")
    yield rig
    await rig.close()


def exchange(id: str) -> ExchangeStarted:
    """Return an exchange whose candidate refuses every connection (port 1 of a loopback address)."""
    target = Target(
        leg=Leg.CANDIDATE,
        cluster="c",
        ref="r",
        host="127.0.0.1",
        port=1,
        path="/",
        head=[],
        model=None,
        connect_timeout=5.0,
        timeout=5.0,
        idle_timeout=5.0,
        max_parallel=8,
        policy=b"",
    )
    return ExchangeStarted(
        id=id,
        started=1.0,
        method="POST",
        path="/",
        host="h",
        route="r",
        rule=0,
        cluster="p",
        endpoint="e",
        model=None,
        target_model=None,
        conversation=None,
        headers=[],
        body=b"{}",
        targets=[target],
        reserved=100,
    )


def finished(id: str) -> ExchangeFinished:
    """Return the primary's answer."""
    return ExchangeFinished(
        id=id,
        outcome="complete",
        flag="-",
        status=200,
        headers=[],
        chunks=[],
        times=[],
        trailers=[],
        truncated=False,
        upstream_started=0.0,
        head_at=0.1,
        finished=0.2,
    )


async def test_results_go_to_whose_exchange_it_was(rig: Rig) -> None:
    """The other worker hears of no exchange that is not its own."""
    one, two = await rig.worker(), await rig.worker()
    await one.send(exchange("1"), finished("1"))
    await two.send(exchange("2"), finished("2"))
    await one.until(LegFinished)
    await two.until(LegFinished)
    for worker, own in ((one, "1"), (two, "2")):
        assert {getattr(message, "id", own) for message in worker.messages} == {own}


async def test_a_verdict_goes_to_all_and_to_those_that_come_later(rig: Rig) -> None:
    """A worker that was started again knows what the others know."""
    one, two = await rig.worker(), await rig.worker()
    await one.send(RestoreVerdicts([b"state"]))
    assert await one.until(VerdictChanged) == VERDICT
    assert await two.until(VerdictChanged) == VERDICT
    assert await (await rig.worker()).until(VerdictChanged) == VERDICT


async def test_what_a_dead_worker_had_not_finished_is_given_up(rig: Rig) -> None:
    """Its exchanges hold nothing, and the others go on."""
    one, two = await rig.worker(), await rig.worker()
    await one.send(exchange("1"))
    await one.until(LegFinished)
    one.sock.close()
    await two.send(exchange("2"), finished("2"))
    assert (await two.until(LegFinished)).id == "2"
    async with asyncio.timeout(30):
        while (await two.until(ShadowCounts)).exchanges:
            two.messages.clear()


async def test_a_worker_that_leaves_gets_what_is_its_own_first(rig: Rig) -> None:
    """The socket is closed when nothing more is to come of its exchanges."""
    one = await rig.worker()
    await one.send(exchange("1"), finished("1"))
    one.sock.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(30):
        while await one.read():
            pass
    assert [message.id for message in one.messages if isinstance(message, LegFinished)] == ["1"]
    assert not any(isinstance(message, ShadowDropped) for message in one.messages)


async def test_a_worker_is_taken_once_there_are_descriptors_again(rig: Rig) -> None:
    """A flood of legs may use them all up; a worker that comes then waits, and those that come later are taken too."""
    rig.listening.exhausted = 2
    await rig.worker()
    assert not rig.listening.exhausted
    await rig.worker()
