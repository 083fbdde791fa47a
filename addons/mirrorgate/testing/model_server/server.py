"""The fake model server itself: a listening socket, its connections, and what it remembers."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from .application import Application
from .behaviour import Behaviour
from .connection import Connection
from .delivery import Delivery
from .engine import Engine
from .exchange import Exchange
from .faults import Fault, FaultError, FaultKind
from .gate import Gate
from .metrics import Metrics
from .received import Ending, Received, uvicorn_line

__all__ = ["FakeModelServer"]

_MAX_REMEMBERED = 10_000


class FakeModelServer:
    """A fake vLLM on a port of its own.

        async with FakeModelServer(Behaviour(ttft=0.1)) as server:
            ...  # http://127.0.0.1:{server.port}/v1/chat/completions
            assert server.requests[0].ending is Ending.COMPLETE

    The last ten thousand requests and log lines are kept.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._behaviour = behaviour or Behaviour()
        self._changed = asyncio.Event()
        self.host = host
        self.port = port
        """The port that it listens on; until it is started, the one asked for, 0 for any."""
        self.requests: list[Received] = []
        self.log_lines: list[str] = []
        """Lines in uvicorn's format, one for each answer."""
        self.engine = Engine(lambda: self._behaviour, self._notify)
        self.connections: set[Connection] = set()
        """Those that are open."""
        self.connections_made = 0
        self._tls = tls
        self._log = log
        self._metrics = Metrics(lambda: self._behaviour, self.engine)
        self._application = Application(self, self._metrics, int(time.time()))
        self._rng = random.Random(self._behaviour.seed)
        self._met: dict[Fault, int] = {}
        self._numbered = 0
        self._gate = Gate(self._notify)
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def behaviour(self) -> Behaviour:
        """How it behaves now; `configure` changes it."""
        return self._behaviour

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, unless the behaviour is to refuse; the port is taken and known all the same."""
        await self._listen()
        if self._refuses():
            self._close_listener()

    async def stop(self) -> None:
        """Close the listening socket and cut every connection."""
        self._close_listener()
        for connection in list(self.connections):
            await connection.stop()

    async def configure(self, **changes: Any) -> None:
        """Change fields of the behaviour, given as their values or as JSON would give them.

        Raises `BehaviourError` and changes nothing when one of them is wrong.
        """
        self._behaviour = self._behaviour.changed(changes)
        self._met.clear()
        self.engine.admit()
        if self._refuses():
            self._close_listener()
        elif self._server is None:
            await self._listen()

    def release(self) -> None:
        """Let everything go on that hangs on purpose now."""
        self._gate.release()

    @property
    def hanging(self) -> int:
        """How many requests hang on purpose."""
        return self._gate.waiting

    async def until(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:
        """Wait until the condition holds, looked at whenever a request arrives, runs, hangs, is answered or ends.

        Raises `TimeoutError`.
        """
        async with asyncio.timeout(timeout):
            while not condition():
                await self._changed.wait()

    async def received(self, count: int, timeout: float = 30.0) -> list[Received]:
        """Wait until so many requests have arrived, and return all that have. Raises `TimeoutError`."""
        await self.until(lambda: len(self.requests) >= count, timeout)
        return self.requests

    def protocol(self) -> Connection:
        """Make the server's side of one more connection, for a transport that need not be a socket."""
        self.connections_made += 1
        return Connection(
            self.connections_made, self._answer, self._register, self._ended, self.connections.add, self._forget
        )

    def state(self) -> dict[str, Any]:
        """Return what `/control` tells, ready for JSON."""
        behaviour = self._behaviour
        return {
            "name": behaviour.name,
            "requests": self._numbered,
            "running": self.engine.running,
            "waiting": self.engine.waiting,
            "hanging": self.hanging,
            "kv_cache_usage": self.engine.kv_cache_usage,
            "connections": len(self.connections),
            "faults": [fault.kind for fault in behaviour.faults],
            "defects": sorted(behaviour.defects),
            "endings": {ending: sum(each.ending is ending for each in self.requests) for ending in Ending},
        }

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self.protocol, self.host, self.port, ssl=self._tls, backlog=1024, start_serving=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _close_listener(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _refuses(self) -> bool:
        return any(fault.kind is FaultKind.REFUSE for fault in self._behaviour.faults)

    def _forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._notify()

    def _register(self, received: Received) -> None:
        self._numbered += 1
        received.number = self._numbered
        if not received.path.startswith(self._behaviour.quiet_paths):
            self.requests.append(received)
            del self.requests[:-_MAX_REMEMBERED]
        self._notify()

    async def _answer(self, exchange: Exchange) -> None:
        exchange.on_head = self._log_answer
        try:
            faults = list(self._faults(exchange))
        except FaultError as error:
            await exchange.body()
            await exchange.respond(400, f"x-fake-fault: {error}\n".encode())
            return
        await self._application.answer(Delivery(exchange, self.engine, self._gate, faults))
        if any(fault.kind is FaultKind.CLOSE_AFTER_RESPONSE for fault in faults):
            exchange.keep_alive = False

    def _ended(self, received: Received) -> None:
        if not received.path.startswith(self._behaviour.quiet_paths):
            self._metrics.note_request(received, received.path)
        self._notify()

    def _faults(self, exchange: Exchange) -> Iterator[Fault]:
        """Yield the faults that this request meets: those of the behaviour, and those that its header asks for."""
        path = exchange.received.path
        for fault in self._behaviour.faults:
            if (
                fault.kind is FaultKind.REFUSE
                or not path.startswith(fault.path)
                or self._rng.random() >= fault.probability
            ):
                continue
            met = self._met.get(fault, 0)
            if fault.times is None or met < fault.times:
                self._met[fault] = met + 1
                yield fault
        for text in (exchange.received.header("x-fake-fault") or "").split(","):
            if text.strip():
                yield Fault.parse(text)

    def _log_answer(self, received: Received) -> None:
        self._notify()
        if received.path.startswith(self._behaviour.quiet_paths) or received.status is None:
            return
        line = uvicorn_line(received)
        self.log_lines.append(line)
        del self.log_lines[:-_MAX_REMEMBERED]
        if self._log is not None:
            self._log(line)

    def _notify(self) -> None:
        """Wake whoever waits in `until`."""
        self._changed.set()
        self._changed = asyncio.Event()
