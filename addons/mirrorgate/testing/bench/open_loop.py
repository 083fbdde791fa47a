"""Clients that send at a rate whatever comes back, over connections that they keep: what an overload is made of.

Requests come as a Poisson process. A client whose answer is a refusal sends its next request as any other; one whose
connection was closed connects again. Time counts from the moment at which a request was due. Reads nothing of an answer
but its status and its end, so that one core asks for more than a gateway's core answers.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import deque
from dataclasses import dataclass, field

__all__ = ["Answer", "OpenLoop", "Seen"]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_LAST = b"\r\n0\r\n\r\n"
_TICK = 0.001
"""Seconds between looks at what is due."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. Seconds, of `time.perf_counter`."""

    due: float
    took: float
    status: int


@dataclass(slots=True)
class Seen:
    """What came of one stretch of time."""

    window: float = 0.0
    sent: int = 0
    answers: list[Answer] = field(default_factory=list)
    broken: int = 0
    """Connections that ended under a request, or could not be made."""
    unanswered: int = 0
    """Requests that were still under way at the end, or had no connection yet."""
    behind: float = 0.0
    """The longest that a request was sent after it was due, although a connection was free: the clients' own lag."""


class _Client(asyncio.Protocol):
    def __init__(self, loop: OpenLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._due = 0.0
        self._head = b""
        self._status = 0
        self._left = -1
        """Bytes of the body that are still to come; -1 before the head is whole, -2 for chunks."""
        self._tail = b""
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes, due: float) -> None:
        assert self._transport is not None
        self.busy, self._due, self._head, self._left, self._tail = True, due, b"", -1, b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if not self.busy:
            return
        if self._left == -1:
            data = self._head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._head = data
                return
            head, data = data[: end + 2], data[end + 4 :]
            self._status = int(head[9:12])
            length = _LENGTH.search(head)
            self._left = -2 if _CHUNKED.search(head) else int(length[1]) if length else 0
        if self._left == -2:
            self._tail = (self._tail + data)[-len(_LAST) :]
            over = self._tail == _LAST
        else:
            self._left -= len(data)
            over = self._left <= 0
        if over:
            self.busy = False
            self._loop.answered(self, self._due, self._status)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._loop.lost(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class OpenLoop:
    """Clients of one port.

    Args:
        connections: how many there are at most; requests beyond wait for one.
    """

    def __init__(self, port: int, request: bytes, *, connections: int, seed: int = 1) -> None:
        self._port = port
        self._request = request
        self._most = connections
        self._rng = random.Random(seed)
        self._idle: deque[_Client] = deque()
        self._open: set[_Client] = set()
        self._connecting = 0
        self._waiting: deque[float] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen = Seen()

    async def connect(self, count: int) -> None:
        """Open connections beforehand."""
        for _ in range(count):
            await self._connect()

    async def stretch(self, rate: float, seconds: float) -> Seen:
        """Send at a rate for a while, and return what came back meanwhile; what is under way goes on."""
        seen = self._seen = Seen()
        begun = due = time.perf_counter()
        while True:
            now = time.perf_counter()
            while due <= now:
                seen.sent += 1
                self._send(due, now)
                due += self._rng.expovariate(rate)
            if now - begun >= seconds:
                break
            await asyncio.sleep(_TICK)
        seen.window = time.perf_counter() - begun
        seen.unanswered = len(self._waiting) + sum(client.busy for client in self._open)
        return seen

    async def closed(self, clients: int, seconds: float) -> Seen:
        """Let so many clients each send the next request when the last one is answered, and return what came back."""
        seen = self._seen = Seen()
        begun = time.perf_counter()
        while (now := time.perf_counter()) - begun < seconds:
            missing = clients - len(self._waiting) - sum(client.busy for client in self._open)
            for _ in range(missing):
                self._send(now, now)
            await asyncio.sleep(_TICK)
        seen.window = time.perf_counter() - begun
        return seen

    async def settle(self, timeout: float = 10.0) -> None:
        """Wait until nothing is under way."""
        until = time.perf_counter() + timeout
        while time.perf_counter() < until:
            if not self._waiting and not any(client.busy for client in self._open):
                return
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        for client in list(self._open):
            client.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.sleep(0)

    def answered(self, client: _Client, due: float, status: int) -> None:
        now = time.perf_counter()
        self._seen.answers.append(Answer(due, now - due, status))
        self._idle.append(client)
        self._drain()

    def lost(self, client: _Client) -> None:
        self._open.discard(client)
        if client.busy:
            client.busy = False
            self._seen.broken += 1
        self._drain()

    def _send(self, due: float, now: float) -> None:
        while self._idle:
            client = self._idle.popleft()
            if client in self._open:
                self._seen.behind = max(self._seen.behind, now - due)
                client.send(self._request, due)
                return
        self._waiting.append(due)
        if len(self._open) + self._connecting < self._most:
            task = asyncio.get_running_loop().create_task(self._connect(), name="client")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _drain(self) -> None:
        while self._waiting and self._idle:
            client = self._idle.popleft()
            if client in self._open:
                client.send(self._request, self._waiting.popleft())

    async def _connect(self) -> None:
        self._connecting += 1
        try:
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: _Client(self), "127.0.0.1", self._port
            )
        except OSError:
            self._seen.broken += 1
            return
        finally:
            self._connecting -= 1
        self._open.add(client)
        self._idle.append(client)
        self._drain()
