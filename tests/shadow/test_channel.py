"""The channel with a real shadow process behind it: it never waits, counts exactly, and survives its child."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.events import MirrorDropReason
from mirrorgate.records import Compared, Configure, FromShadow, LegFinished, ShadowDropped, VerdictChanged
from mirrorgate.shadow.channel import ChannelOptions, ShadowChannel
from mirrorgate.shadow.child import ChildCommand
from mirrorgate.shadow.frames import encode
from mirrorgate.shadow.handle import FINISH_ROOM, Handle

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter

CONFIGURE = Configure("", 1 << 30, 0, 1000)


class Bench:
    """A channel, what its child said, and what it told of its state."""

    def __init__(self, options: ChannelOptions) -> None:
        self.messages: list[FromShadow] = []
        self.states: list[tuple[bool, int | None, int]] = []
        self._news = asyncio.Event()
        self.channel = ShadowChannel(options, self._take, self._state, random.Random(1))
        self.channel.start()

    def _take(self, message: FromShadow) -> None:
        self.messages.append(message)
        self._news.set()

    def _state(self, up: bool, pid: int | None, restarts: int) -> None:
        self.states.append((up, pid, restarts))
        self._news.set()

    def of[T](self, kind: type[T]) -> list[T]:
        return [message for message in self.messages if isinstance(message, kind)]

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not ready():
                self._news.clear()
                await self._news.wait()

    async def up(self) -> int:
        await self.until(lambda: self.channel.stats().up)
        pid = self.channel.stats().pid
        assert pid is not None
        return pid

    def open(self, started: Any) -> Handle:
        handle = self.channel.open(started)
        assert isinstance(handle, Handle), handle
        return handle


@pytest.fixture
async def bench() -> AsyncIterator[Any]:
    """Make channels that are stopped with the test, their children gone."""
    benches: list[Bench] = []

    def make(configure: Configure = CONFIGURE, queue_bytes: int = 64 << 20, **changes: Any) -> Bench:
        benches.append(Bench(replace(ChannelOptions(configure, queue_bytes), **changes)))
        return benches[-1]

    yield make
    for bench in benches:
        await bench.channel.stop(0.1)
        for up, pid, _ in bench.states:
            if up and pid is not None:
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)


async def test_a_pair_goes_through_a_real_process(serve: Any, new: Any, bench: Any, tmp_path: Path) -> None:
    """The candidate gets the request, the proxy gets leg and comparison, the journal its record."""
    seen: list[bytes] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        seen.append((await new.read_request(reader))[1])
        writer.write(new.chat("the quick brown fox jumps over a lazy dog"))
        await reader.read()

    journal = tmp_path / "journal"
    mirror: Bench = bench(Configure(str(journal), 1 << 30, 0, 100))
    pid = await mirror.up()
    assert mirror.states == [(True, pid, 0)]
    policy = b'{"journal": {"content": "full"}}'
    started = new.started("a", [new.target(await serve(handler), model="candidate", policy=policy)])
    handle = mirror.open(started)
    assert mirror.channel.stats().reserved == started.reserved + FINISH_ROOM
    handle.finish(new.finished("a", new.chat("the quick brown fox jumps over the lazy dog")))
    handle.finish(new.finished("a"))
    handle.abort("late")
    assert mirror.channel.stats().reserved == 0
    await mirror.until(lambda: bool(mirror.of(Compared)))
    assert json.loads(seen[0])["model"] == "candidate"
    (leg,) = mirror.of(LegFinished)
    assert (leg.outcome, leg.status, leg.model, leg.completion_tokens) == ("complete", 200, "candidate", 9)
    (compared,) = mirror.of(Compared)
    assert (compared.id, compared.cluster, compared.outcome) == ("a", "mirror-0", "similar")
    assert compared.similarity is not None
    assert 0.9 < compared.similarity < 1
    await mirror.channel.stop(10)
    line, *steps = (journal / "exchanges.jsonl").read_bytes().splitlines()
    assert line == compared.record
    assert [json.loads(step)["step"] for step in steps] == ["opened", "observed"]
    (verdict,) = mirror.of(VerdictChanged)
    assert (verdict.cluster, json.loads(verdict.document)["outcomes"]) == ("mirror-0", {"similar": 1})
    record = json.loads(line)
    assert record["candidate"]["choices"][0]["text"] == "the quick brown fox jumps over a lazy dog"
    assert mirror.states[-1] == (False, pid, 0)
    assert mirror.channel.stats().sent == 1


async def test_what_comes_before_the_first_child_reads_is_compared(serve: Any, new: Any, bench: Any) -> None:
    """From the moment of the start, an upload that streams meanwhile and the answer to it included."""

    async def handler(reader: Reader, writer: Writer) -> None:
        for _ in range(2):
            await new.read_request(reader)
            writer.write(new.chat("hi"))

    port = await serve(handler)
    mirror: Bench = bench()
    whole = mirror.open(new.started("whole", [new.target(port)]))
    streaming = mirror.open(new.started("streaming", [new.target(port)], body=None))
    assert streaming.chunk(b'{"model": "m", "messages": ')
    whole.finish(new.finished("whole", new.chat("hi")))
    stats = mirror.channel.stats()
    assert (stats.up, stats.sent, stats.open, stats.reserved > 0) == (False, 2, 1, True)
    await mirror.up()
    assert streaming.chunk(b"[]}")
    streaming.end()
    streaming.finish(new.finished("streaming", new.chat("hi")))
    await mirror.until(lambda: len(mirror.of(Compared)) == 2)
    assert {compared.id for compared in mirror.of(Compared)} == {"whole", "streaming"}
    stats = mirror.channel.stats()
    assert (stats.queued, stats.reserved, stats.dropped) == (0, 0, {})


async def test_what_waits_for_the_first_child_is_bounded(new: Any, bench: Any) -> None:
    """By the same bytes as what it does not keep up with."""
    mirror: Bench = bench(queue_bytes=1 << 20)
    body = json.dumps({"model": "m", "messages": "x" * 300_000}).encode()
    opened = [mirror.channel.open(new.started(str(number), [new.target(1)], body=body)) for number in range(8)]
    held = [each for each in opened if isinstance(each, Handle)]
    assert 0 < len(held) < len(opened)
    stats = mirror.channel.stats()
    assert stats.queued + stats.reserved <= 1 << 20
    assert stats.dropped == {MirrorDropReason.QUEUE_FULL: len(opened) - len(held)}
    for handle in held:
        handle.abort("enough")


async def test_few_wait_for_the_first_child(new: Any, bench: Any) -> None:
    """Their copies are sent at once: a candidate would be judged by a load that production did not have."""
    mirror: Bench = bench()
    opened = [mirror.channel.open(new.started(str(number), [new.target(1)])) for number in range(10)]
    held = [each for each in opened if isinstance(each, Handle)]
    assert len(held) == 8
    assert mirror.channel.stats().dropped == {MirrorDropReason.PROCESS_DOWN: 2}
    for handle in held:
        handle.abort("enough")


async def test_a_child_that_takes_long_is_not_waited_for(new: Any, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that is too old says nothing of how fast a candidate is."""
    monkeypatch.setattr("mirrorgate.shadow.channel._HOLD_SECONDS", 0.0)
    mirror: Bench = bench()
    assert mirror.channel.open(new.started("a", [new.target(1)])) is MirrorDropReason.PROCESS_DOWN
    await mirror.up()
    mirror.open(new.started("b", [new.target(1)])).abort("enough")


async def test_what_waits_for_a_child_that_cannot_be_started_is_given_up(new: Any, bench: Any) -> None:
    """It is told of as what ends with a child, nothing is kept for it, and what comes later is `process_down`."""
    mirror: Bench = bench(command=ChildCommand(("/nonexistent/python",)))
    waiting = mirror.open(new.started("a", [new.target(1)]))
    await mirror.until(lambda: (False, None, 0) in mirror.states)
    stats = mirror.channel.stats()
    assert (stats.reserved, stats.queued, stats.open) == (0, 0, 0)
    waiting.finish(new.finished("a"))
    assert mirror.channel.open(new.started("b", [new.target(1)])) is MirrorDropReason.PROCESS_DOWN
    assert mirror.channel.stats().dropped == {MirrorDropReason.PROCESS_DOWN: 1}


async def test_a_killed_child_is_started_again_with_clean_counts(serve: Any, new: Any, bench: Any) -> None:
    """What was under way is forgotten, its handles do nothing, and the next exchange goes through."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await new.read_request(reader)
        writer.write(new.chat("hi"))
        await reader.read()

    mirror: Bench = bench()
    port = await serve(handler)
    first = await mirror.up()
    old = mirror.open(new.started("old", [new.target(port)]))
    streaming = mirror.open(new.started("streaming", [new.target(port)], body=None))
    os.kill(first, signal.SIGKILL)
    await mirror.until(lambda: (False, first, 0) in mirror.states)
    stats = mirror.channel.stats()
    assert (stats.up, stats.reserved, stats.queued, stats.open) == (False, 0, 0, 0)
    assert mirror.channel.open(new.started("x", [new.target(port)])) is MirrorDropReason.PROCESS_DOWN
    second = await mirror.up()
    assert second != first
    assert mirror.states[-1] == (True, second, 1)
    old.finish(new.finished("old", new.chat("hi")))
    assert not streaming.chunk(b"x")
    streaming.end()
    streaming.abort("gone")
    assert mirror.channel.stats().reserved == 0
    mirror.open(new.started("new", [new.target(port)])).finish(new.finished("new", new.chat("hi")))
    await mirror.until(lambda: bool(mirror.of(Compared)))
    assert [compared.id for compared in mirror.of(Compared)] == ["new"]
    assert mirror.channel.stats().restarts == 1


async def test_a_stopped_child_fills_the_budget_and_nothing_waits(serve: Any, new: Any, bench: Any) -> None:
    """With the child frozen, mirrors are dropped whole and counted, no call takes long; thawed, it goes on."""

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            await new.read_request(reader)
            writer.write(new.chat("hi"))

    mirror: Bench = bench(queue_bytes=8 << 20)
    port = await serve(handler)
    pid = await mirror.up()
    os.kill(pid, signal.SIGSTOP)
    try:
        body = json.dumps({"model": "m", "messages": "x" * 100_000}).encode()
        handles: list[Handle] = []
        slowest = 0.0
        for number in range(400):
            began = time.perf_counter()
            handle = mirror.channel.open(new.started(str(number), [new.target(port)], body=body))
            if isinstance(handle, Handle):
                handles.append(handle)
                handle.finish(new.finished(str(number), new.chat("hi")))
            slowest = max(slowest, time.perf_counter() - began)
            if not number % 50:
                await asyncio.sleep(0)
        stats = mirror.channel.stats()
        assert stats.dropped == {MirrorDropReason.QUEUE_FULL: 400 - len(handles)}
        assert 0 < len(handles) < 400
        assert stats.queued + stats.reserved <= 8 << 20
        assert slowest < 0.25
    finally:
        os.kill(pid, signal.SIGCONT)
    await mirror.until(lambda: len(mirror.of(Compared)) + len(mirror.of(ShadowDropped)) == len(handles))
    assert mirror.channel.stats().queued == 0
    mirror.open(new.started("after", [new.target(port)])).finish(new.finished("after", new.chat("hi")))
    await mirror.until(lambda: mirror.messages[-1:] != [] and any(c.id == "after" for c in mirror.of(Compared)))
    assert mirror.channel.stats().restarts == 0


async def test_the_budget_is_exact(new: Any, bench: Any) -> None:
    """Exactly as many exchanges fit as the budget has room for; each byte is given back."""

    def started(id: str, size: int = 0) -> Any:
        return new.started(id, [new.target(1)], body=b"x" * size, reserved=10_000)

    size, room = sum(map(len, encode(started("0")))), 10_000 + FINISH_ROOM
    mirror: Bench = bench(queue_bytes=3 * (size + room))
    pid = await mirror.up()
    os.kill(pid, signal.SIGSTOP)
    try:
        handles = [mirror.open(started(str(number))) for number in range(3)]
        stats = mirror.channel.stats()
        assert (stats.queued, stats.reserved, stats.open) == (3 * size, 3 * room, 3)
        assert mirror.channel.open(started("3")) is MirrorDropReason.QUEUE_FULL
        assert mirror.channel.open(started("4", 60_000)) is MirrorDropReason.BODY_TOO_LARGE
        for handle in handles:
            handle.finish(new.finished(handle.id, b"\r\n\r\n" + b"y" * 50_000))
        stats = mirror.channel.stats()
        assert (stats.reserved, stats.open, stats.truncated) == (0, 0, 3)
        assert 3 * 10_000 < stats.queued <= stats.limit
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_an_upload_that_cannot_be_followed_is_given_up(new: Any, bench: Any) -> None:
    """When the budget is full of an upload's pieces its mirror ends, is counted, and gives its room back."""
    mirror: Bench = bench(queue_bytes=1 << 20)
    pid = await mirror.up()
    os.kill(pid, signal.SIGSTOP)
    try:
        handle = mirror.open(new.started("a", [new.target(1)], body=None))
        taken = 0
        while handle.chunk(b"x" * 50_000):
            taken += 1
        assert 0 < taken < 21
        stats = mirror.channel.stats()
        assert (stats.reserved, stats.open) == (0, 0)
        assert stats.dropped == {MirrorDropReason.UPLOAD_OVERRUN: 1}
        assert stats.queued <= 1 << 20
        assert not handle.chunk(b"x")
        handle.end()
        handle.finish(new.finished("a"))
    finally:
        os.kill(pid, signal.SIGCONT)
    await mirror.until(lambda: bool(mirror.of(ShadowDropped)))
    assert [(drop.reason, drop.sent) for drop in mirror.of(ShadowDropped)] == [("aborted", True)]


async def test_a_streamed_upload_goes_through(serve: Any, new: Any, bench: Any) -> None:
    """Pieces and their end reach the candidate as one chunked request."""
    bodies: list[bytes] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        bodies.append((await new.read_request(reader))[1])
        writer.write(new.chat("hi"))
        await reader.read()

    mirror: Bench = bench()
    await mirror.up()
    handle = mirror.open(new.started("a", [new.target(await serve(handler))], body=None))
    assert handle.chunk(b'{"model": "m"')
    assert handle.chunk(b"}")
    handle.end()
    assert not handle.chunk(b"late")
    handle.finish(new.finished("a", new.chat("hi")))
    await mirror.until(lambda: bool(mirror.of(Compared)))
    assert bodies == [b'{"model": "m"}']


async def test_stopping_lets_the_child_finish_what_it_has(serve: Any, new: Any, bench: Any) -> None:
    """A leg that is about to end when the channel stops is still compared and reported."""
    asked = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await new.read_request(reader)
        asked.set()
        await stopping.wait()
        writer.write(new.chat("hi"))
        await reader.read()

    stopping = asyncio.Event()
    mirror: Bench = bench()
    await mirror.up()
    handle = mirror.open(new.started("a", [new.target(await serve(handler))]))
    handle.finish(new.finished("a", new.chat("hi")))
    async with asyncio.timeout(20):
        await asked.wait()
        asyncio.get_running_loop().call_later(0.05, stopping.set)
        await mirror.channel.stop(15)
    assert [compared.outcome for compared in mirror.of(Compared)] == ["same"]
    assert mirror.channel.open(new.started("b", [new.target(1)])) is MirrorDropReason.PROCESS_DOWN
    await mirror.channel.stop(15)


async def test_a_child_that_will_not_stop_is_killed(new: Any, bench: Any) -> None:
    """A frozen child ends with the channel all the same."""
    mirror: Bench = bench()
    pid = await mirror.up()
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(20):
        await mirror.channel.stop(0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_child_outlives_signals_to_its_group(bench: Any) -> None:
    """SIGTERM and SIGINT are the proxy's business: the child ends when the channel does."""
    mirror: Bench = bench()
    pid = await mirror.up()
    assert os.getpgid(pid) == pid
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    mirror.channel.configure(CONFIGURE)
    await mirror.channel.stop(15)
    assert mirror.channel.stats().restarts == 0


async def test_a_child_that_dies_at_once_is_tried_again_ever_more_slowly(bench: Any) -> None:
    """The pauses grow; the proxy's loop goes on."""
    mirror: Bench = bench(command=ChildCommand((sys.executable, "-c", "raise SystemExit(3)")))
    began = time.monotonic()
    await mirror.until(lambda: len(mirror.states) >= 4)
    # Three pauses of at least 0.05, 0.1 and 0.2 s.
    assert time.monotonic() - began >= 0.35
    assert not any(up for up, _, _ in mirror.states)
    assert mirror.channel.stats().restarts >= 3


async def test_a_child_of_another_version_is_not_listened_to(bench: Any) -> None:
    """A foreign preamble ends that child."""
    script = (
        "import socket,sys; s=socket.socket(fileno=int(sys.argv[1])); s.sendall(b'mirrorgate/0....'); s.recv(9999999)"
    )
    mirror: Bench = bench(command=ChildCommand((sys.executable, "-c", script)))
    await mirror.until(lambda: len(mirror.states) >= 1)
    assert not mirror.channel.stats().up
    assert mirror.messages == []


async def test_a_child_for_which_no_thread_can_be_had_is_tried_again(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The machine is out of threads for a moment: mirroring is back when it has one again."""
    ended = ThreadPoolExecutor(1)
    ended.shutdown()
    asyncio.get_running_loop().set_default_executor(ended)
    mirror: Bench = bench()
    await mirror.until(lambda: len(mirror.states) >= 1)
    assert not mirror.channel.stats().up
    assert "it cannot be started" in caplog.text
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    await mirror.up()
