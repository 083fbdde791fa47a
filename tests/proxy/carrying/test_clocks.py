"""The timers of an exchange: by themselves, and what they cut of real ones."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mirrorgate.errors import REPLIES, Refusal
from mirrorgate.plans import Effective
from mirrorgate.proxy.carrying.clocks import Clocks
from mirrorgate.proxy.dataplane import Settings
from mirrorgate.testing.backends import Conversation, answering, response_bytes
from mirrorgate.testing.clients import request_bytes
from mirrorgate.testing.in_loop import until

OK = answering(response_bytes(body=b"ok"))
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n"
LIMITS = "circuitBreaker: {maxConnections: 1, maxPendingRequests: 1, maxParallelRequests: 1}"


async def silent(talk: Conversation) -> None:
    """Take a request and never answer."""
    await talk.request()
    await talk.gone()


class Held:
    """What clocks see of an exchange."""

    def __init__(self, **timeouts: float) -> None:
        self.plan: Any = SimpleNamespace(timeouts=Effective(**timeouts))
        self.hooks = SimpleNamespace(busy=False)
        self.connection = SimpleNamespace(unsent=0)
        self.over = False
        self.upload: Any = None
        self.call: Any = None
        self.cut: list[Refusal] = []

    def timed_out(self, refusal: Refusal) -> None:
        """Take note."""
        self.cut.append(refusal)


async def test_each_clock_names_its_reason() -> None:
    """Once."""
    held = Held(request=0.01)
    clocks = Clocks(held)  # type: ignore[arg-type]
    clocks.start_request()
    clocks.start_request()
    clocks.start_duration(0.02)
    clocks.start_idle(0.03)
    await until(lambda: len(held.cut) == 3)
    assert held.cut == [Refusal.REQUEST_TIMEOUT, Refusal.MAX_DURATION, Refusal.STREAM_IDLE]


async def test_a_bug_in_a_clock_ends_its_exchange(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted and told, and the client gets a 500: with no timer left the exchange would stay for good."""
    running = await run(silent)
    plane = running.gateway.plane
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: plane.pools and running.cluster.active == 1)
    [carrier] = [each.carrier for each in plane.connections]
    carrier.clocks._arm("duration", 0.001, int, "no number")
    assert (await client.answer()).status == 500
    running.gateway.bugs_expected = 1
    assert "ValueError" in caplog.text


async def test_zero_switches_a_clock_off() -> None:
    """And stopped ones do not ring."""
    held = Held(request=0)
    clocks = Clocks(held)  # type: ignore[arg-type]
    clocks.start_request()
    clocks.start_duration(0)
    clocks.start_idle(0)
    assert not clocks._timers
    clocks.start_duration(0.01)
    clocks.start_idle(0.01)
    clocks.stop("idle")
    clocks.stop()
    assert not clocks._timers
    await asyncio.sleep(0.03)  # longer than both: that they are silent is what is tested
    assert held.cut == []


async def test_a_client_that_reads_is_not_idle() -> None:
    """What waits for it becomes less."""
    held = Held()
    clocks = Clocks(held)  # type: ignore[arg-type]
    held.connection.unsent = 100
    clocks.start_idle(0.02)
    for left in (80, 60, 40):
        await asyncio.sleep(0.015)  # under the limit: the pace of the reader is what is tested
        held.connection.unsent = left
    assert held.cut == []
    await until(lambda: held.cut == [Refusal.STREAM_IDLE])


async def test_a_long_silence_is_looked_for_once_a_second() -> None:
    """By whoever sweeps, without a timer; a byte, a busy addon and a client that reads put it off, a stop ends it."""
    held = Held()
    clocks = Clocks(held)  # type: ignore[arg-type]
    clocks.start_idle(60)
    assert not clocks._timers
    begun = clocks.last_byte
    clocks.sweep(begun + 59)
    assert held.cut == []
    clocks.last_byte = begun - 61
    held.hooks.busy = True
    clocks.sweep(begun)
    held.hooks.busy = False
    held.connection.unsent = 1
    clocks.sweep(begun)
    assert held.cut == []
    clocks.last_byte = begun - 61
    clocks.sweep(begun)
    assert held.cut == [Refusal.STREAM_IDLE]
    clocks.start_idle(5)
    assert set(clocks._timers) == {"idle"}
    clocks.start_idle(60)
    clocks.stop()
    clocks.last_byte = begun - 61
    clocks.sweep(begun)
    assert held.cut == [Refusal.STREAM_IDLE]


async def test_nobody_is_cut_while_an_addon_is_at_work() -> None:
    """The time is the addon's."""
    held = Held()
    held.hooks.busy = True
    clocks = Clocks(held)  # type: ignore[arg-type]
    clocks.start_idle(0.01)
    clocks.start_duration(0.01)
    await asyncio.sleep(0.05)  # five times the limits: this is what is tested
    assert held.cut == []
    assert set(clocks._timers) == {"idle", "duration"}
    held.hooks.busy = False
    await until(lambda: Refusal.STREAM_IDLE in held.cut)
    clocks.stop()


@pytest.mark.parametrize(
    ("policy", "status", "flag", "details"),
    [
        ("timeout: {http: {requestTimeout: 300ms}}", 504, "UT", "response_timeout"),
        ("timeout: {http: {streamIdleTimeout: 300ms, requestTimeout: 0s}}", 504, "SI", "stream_idle_timeout"),
        ("timeout: {http: {maxStreamDuration: 500ms}}", 504, "UMSDR", "max_stream_duration"),
    ],
)
@pytest.mark.parametrize("started", [False, True])
async def test_what_takes_too_long_ends(
    run: Any, policy: str, status: int, flag: str, details: str, started: bool
) -> None:
    """With 504 before the head and a cut behind it; the upstream's connection is closed."""
    gone = asyncio.Event()

    async def script(talk: Conversation) -> None:
        await talk.request()
        if started:
            await talk.say(STREAM)
        await talk.gone()
        gone.set()

    running = await run(script, policy=policy)
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    if started:
        assert (await client.head()).status == 200
        assert await client.closed()
    else:
        answer = await client.answer()
        assert (answer.status, answer.body) == (status, REPLIES[_refusal(flag)].body.encode())
        assert answer.head.header("connection") is None
    await gone.wait()
    done = await running.done()
    assert (done.status, done.flag, done.details) == (200 if started else status, flag, details)
    assert running.cluster.connections == 0


def _refusal(flag: str) -> Refusal:
    return next(refusal for refusal, reply in REPLIES.items() if reply.flag == flag and reply.status == 504)


async def test_bytes_keep_a_stream_alive(run: Any) -> None:
    """The idle timeout is between bytes, not for all of them."""
    running = await run(_ticking, policy="timeout: {http: {streamIdleTimeout: 500ms, requestTimeout: 0s}}")
    client = await running.client()
    await client.send(request_bytes("GET", "/"))
    await client.head()
    assert await client.reader.readexactly(40) == b"tick\n" * 8
    assert (await running.done()).flag == "-"


async def _ticking(talk: Conversation) -> None:
    await talk.request()
    await talk.say(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 40\r\nconnection: close\r\n\r\n"
    )
    for _ in range(8):
        await asyncio.sleep(0.1)  # the pause is what is tested
        await talk.say(b"tick\n")
    await talk.gone()


async def test_a_client_that_does_not_read_the_end_is_cut(run: Any) -> None:
    """It holds its place as long as it makes progress, and not for ever."""
    running = await run(
        answering(response_bytes(body=b"x" * 20_000_000)),
        policy="timeout: {http: {streamIdleTimeout: 100ms, requestTimeout: 0s}}",
        settings=Settings(stream_over=None),
    )
    client = await running.client(receive_buffer=50_000)
    client.stop_reading()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: running.gateway.plane.pools and running.cluster.active == 1)
    done = await running.done()
    assert (done.status, done.flag) == (200, "SI")
    assert running.cluster.active == 0


async def test_the_request_timeout_is_not_for_the_clients_reading(run: Any) -> None:
    """Once the upstream has answered, a client may take its time."""
    policy = "timeout: {http: {requestTimeout: 1s}}"
    body = b"x" * 8_000_000
    running = await run(answering(response_bytes(body=body)), policy=policy, settings=Settings(stream_over=None))
    client = await running.client(receive_buffer=50_000)
    client.stop_reading()
    await client.send(request_bytes("GET", "/"))
    await until(lambda: any(found.unsent for found in running.gateway.plane.connections))
    await asyncio.sleep(1.5)  # longer than the timeout: this is what is tested
    client.resume_reading()
    assert (await client.answer()).body == body
    assert (await running.done()).flag == "-"


async def test_the_request_timeout_runs_from_the_end_of_the_upload(run: Any) -> None:
    """A slow upload does not use it up (measured on Envoy)."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.answer(200, b"ok")
        await talk.gone()

    running = await run(script, policy="timeout: {http: {requestTimeout: 100ms}}", settings=Settings(stream_over=0))
    client = await running.client()
    await client.send(request_bytes("POST", "/", [("content-length", "4")], b"ab"))
    await asyncio.sleep(0.2)  # twice the timeout: this is what is tested
    await client.send(b"cd")
    assert (await client.answer()).status == 200


async def test_an_upload_that_stops_is_ended(run: Any) -> None:
    """While it is buffered no upstream is waited for, but the client is, and not for ever."""
    running = await run(OK, policy="timeout: {http: {streamIdleTimeout: 50ms}}")
    client = await running.client()
    await client.send(request_bytes("POST", "/", [("content-length", "4")], b"ab"))
    answer = await client.answer()
    assert (answer.status, answer.head.header("connection")) == (504, "close")
    assert (await running.done()).flag == "SI"


async def test_a_queue_is_not_waited_in_for_ever(run: Any) -> None:
    """The request timeout runs there as well."""
    running = await run(silent, policy=LIMITS + ", timeout: {http: {requestTimeout: 500ms}}")
    first, second = await running.client(), await running.client()
    await first.send(request_bytes("GET", "/"))
    await until(lambda: running.gateway.plane.pools and running.cluster.active == 1)
    answer = await second.request("GET", "/")
    assert answer.status == 504
    assert (await first.answer()).status == 504


@pytest.mark.parametrize("whose", ["client", "server", "servers window"])
async def test_a_silent_client_is_no_failure_of_the_endpoint(run: Any, whose: str) -> None:
    """Only a server that owes the next byte, or does not take one, is to blame for the silence."""

    async def deaf(talk: Conversation) -> None:
        await talk.head()
        await talk.gone()

    policy = (
        "timeout: {http: {streamIdleTimeout: 300ms, requestTimeout: 0s}}, "
        "healthCheck: {passive: {consecutive5XxErrors: 1, maxEjectionPercent: 100}}"
    )
    running = await run(deaf, policy=policy, settings=Settings(stream_over=0))
    running.gateway.adopt(running.gateway.snapshot)  # health is watched from then on
    client = await running.client()
    length = {"client": 5, "server": 3, "servers window": 100_000_000}[whose]
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\nabc" % length)
    sending = None
    if whose == "servers window":

        async def send() -> None:
            while True:
                await client.send(b"x" * 65536)

        sending = asyncio.get_running_loop().create_task(send())
    assert (await running.done()).flag == "SI"
    [health] = running.gateway.plane.director.health.clusters.values()
    assert bool(health.out) is (whose != "client")
    if sending is not None:
        sending.cancel()


@pytest.mark.parametrize(("unsent", "said"), [(1, [Refusal.CLIENT_LEFT]), (0, [])])
async def test_a_client_that_takes_too_long_is_no_failure_of_the_endpoint(unsent: int, said: list[Refusal]) -> None:
    """The bound on a try cuts it all the same; of the endpoint it says something where that owes the next byte."""

    class Followed:
        def ended(self, refusal: Refusal) -> None:
            told.append(refusal)

    told: list[Refusal] = []
    held = Held()
    held.call = Followed()
    held.connection.unsent = unsent
    clocks = Clocks(held)  # type: ignore[arg-type]
    clocks.start_duration(0.01)
    await until(lambda: held.cut == [Refusal.MAX_DURATION])
    assert told == said
