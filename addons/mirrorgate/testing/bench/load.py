"""The clients: they send a scenario's requests for a while, and tell what came back and what the proxy used for it.

Runs in a process of its own, so that it can have a core of its own. Reads nothing of an answer but where it ends, its
status and the times that its events hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import sys
import time
from collections import deque
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httptools
import msgspec

from .measures import Measure, spread
from .scenarios import SCENARIOS, Scenario
from .usage import cpu_nanoseconds, resident_bytes, shadow_processes, spent

__all__ = ["Load", "main", "request_of"]

_STAMP = re.compile(rb'" @(\d{10,20})"')
_DRAIN = 10.0
"""Seconds that are waited for what is under way at the end."""


def request_of(scenario: Scenario, host: str) -> bytes:
    """Return the bytes of a scenario's request: a chat completion whose prompt fills the body."""
    body: dict[str, object] = {"model": "bench", "messages": [{"role": "user", "content": ""}]}
    if scenario.events:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    missing = max(0, scenario.body_bytes - len(json.dumps(body)))
    body["messages"] = [{"role": "user", "content": ("lorem ipsum dolor sit amet " * (missing // 27 + 1))[:missing]}]
    data = json.dumps(body).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        "Accept: */*",
        "User-Agent: bench",
        f"Content-Length: {len(data)}",
        f"X-Bench-Bytes: {scenario.answer_bytes}",
    ]
    if scenario.events:
        lines += [f"X-Bench-Events: {scenario.events}", f"X-Bench-Interval: {round(scenario.interval * 1e6)}"]
    if scenario.fresh:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


@dataclass(slots=True)
class _Seen:
    """What came back inside the window."""

    e2e: list[float] = field(default_factory=list)
    ttft: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    events: int = 0
    errors: int = 0


class _Client(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._parser: httptools.HttpResponseParser | None = None
        self._started = 0.0
        self._first = 0.0
        self._latest = 0
        """When the latest event came, in nanoseconds; 0 before the first."""
        self._transport: asyncio.Transport | None = None
        self._whole = False
        self.keeps = False
        """Whether the latest answer, of whatever status, leaves the connection to the next request."""

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, started: float) -> None:
        assert self._transport is not None
        self._started, self._first, self._latest, self._whole, self.keeps = started, 0.0, 0, False, False
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(self._load.request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._load.connected(self, True)

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        load = self._load
        if load.measuring and load.scenario.events and (stamps := _STAMP.findall(data)):
            now = time.monotonic_ns()
            seen = load.seen
            seen.events += len(stamps)
            seen.delays.extend([(now - int(stamp)) / 1e9 for stamp in stamps])
            if self._latest:
                seen.gaps.append((now - self._latest) / 1e9)
            seen.gaps.extend([0.0] * (len(stamps) - 1))
            self._latest = now
        parser = self._parser
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            self._over(False)
            return
        if self._whole:
            self._over(parser.get_status_code() == 200)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._load.connected(self, False)
        if self._parser is not None:
            self._over(False)

    def on_body(self, data: bytes) -> None:
        if not self._first:
            self._first = time.perf_counter()

    def on_message_complete(self) -> None:
        self._whole = True
        assert self._parser is not None
        # Asked here: once the message is over, the parser has forgotten its fields.
        self.keeps = self._parser.should_keep_alive()

    def _over(self, good: bool) -> None:
        self._parser = None
        load = self._load
        if load.measuring:
            if good:
                now = time.perf_counter()
                load.seen.e2e.append(now - self._started)
                load.seen.ttft.append((self._first or now) - self._started)
            else:
                load.seen.errors += 1
        load.answered(self, good)


class Load:
    """The clients of one run."""

    def __init__(self, scenario: Scenario, port: int) -> None:
        self.scenario = scenario
        self.request = request_of(scenario, f"127.0.0.1:{port}")
        self.measuring = False
        self.seen = _Seen()
        self._port = port
        self._stopping = False
        self._under_way = 0
        self._drained = asyncio.Event()
        self._idle: deque[_Client] = deque()
        self._clients: set[_Client] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, warmup: float, window: Awaitable[Any], pid: int | None) -> dict[str, float | int]:
        """Send for `warmup` seconds, measure until `window` is over, and return what the processes used meanwhile.

        The shadow processes of a gateway are told apart.
        """
        loop = asyncio.get_running_loop()
        scenario = self.scenario
        if scenario.rate:
            self._go(self._dispatch(1 / scenario.rate))
        else:
            for number in range(scenario.connections):
                self._go(self._begin(scenario.ramp * number / scenario.connections))
        await asyncio.sleep(scenario.ramp + warmup)
        used, shadows = (cpu_nanoseconds(pid), shadow_processes(pid)) if pid else ({}, [])
        began = loop.time()
        self.measuring = True
        await window
        after = cpu_nanoseconds(pid) if pid else {}
        self.measuring = False
        if pid:
            shadows += shadow_processes(pid)
        took = loop.time() - began
        memory = resident_bytes(pid) if pid else 0
        self._stopping = True
        if self._under_way:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN):
                    await self._drained.wait()
        for task in self._tasks:
            task.cancel()
        for client in list(self._clients):
            client.close()
        await asyncio.sleep(0)  # for the transports to go
        apart = spent(used, {each: after[each] for each in set(shadows) if each in after}) / 1e9
        return {
            "window": took,
            "cpu": spent(used, after) / 1e9 - apart,
            "beside": apart,
            "memory": memory,
            "unfinished": self._under_way,
        }

    def answered(self, client: _Client, good: bool) -> None:
        """Take note that a request is over, and go on as the scenario says."""
        self._under_way -= 1
        if self._stopping and not self._under_way:
            self._drained.set()
        keeps = client.keeps and client.usable and not self.scenario.fresh
        if not keeps:
            client.close()
        if self.scenario.rate:
            if keeps:
                self._idle.append(client)
        elif self._stopping:
            client.close()
        elif keeps:
            self._send(client, time.perf_counter())
        else:
            self._go(self._begin(0.0 if good else 0.05))

    def _send(self, client: _Client, started: float) -> None:
        self._under_way += 1
        client.send(started)

    async def _begin(self, wait: float) -> None:
        if wait:
            await asyncio.sleep(wait)
        if self._stopping:
            return
        started = time.perf_counter()
        try:
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: _Client(self), "127.0.0.1", self._port
            )
        except OSError:
            self.seen.errors += self.measuring
            self._go(self._begin(0.05))
            return
        self._send(client, started)

    def connected(self, client: _Client, there: bool) -> None:
        """Take note of a connection that is made, or gone."""
        (self._clients.add if there else self._clients.discard)(client)

    async def _dispatch(self, gap: float) -> None:
        due = time.perf_counter()
        while not self._stopping:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            while self._idle and not self._idle[0].usable:
                self._idle.popleft()
            if self._idle:
                self._send(self._idle.popleft(), time.perf_counter())
            else:
                self._go(self._begin(0.0))
            due += gap

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="client")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _measured(parsed: argparse.Namespace) -> Measure:
    load = Load(SCENARIOS[parsed.scenario], parsed.port)
    used = await load.run(parsed.warmup, asyncio.sleep(parsed.window), parsed.pid)
    seen = load.seen
    return Measure(
        scenario=parsed.scenario,
        proxy=parsed.proxy,
        round=parsed.round,
        window=float(used["window"]),
        requests=len(seen.e2e),
        events=seen.events,
        errors=seen.errors + int(used["unfinished"]),
        e2e=spread(seen.e2e),
        ttft=spread(seen.ttft),
        delay=spread(seen.delays),
        itl=spread(seen.gaps) if load.scenario.interval else None,
        cpu=float(used["cpu"]),
        beside=float(used["beside"]),
        memory=int(used["memory"]),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one scenario against a port and print a `Measure` as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--proxy", default="")
    parser.add_argument("--round", type=int, default=0)
    parser.add_argument("--pid", type=int, help="of the proxy; its children count, too")
    parser.add_argument("--warmup", type=float, default=0.7)
    parser.add_argument("--window", type=float, default=3.0)
    measure = asyncio.run(_measured(parser.parse_args(arguments)))
    sys.stdout.write(msgspec.json.encode(measure).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
