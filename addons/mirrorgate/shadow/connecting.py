"""Connections of the shadow legs to candidates: over TCP or TLS; those of HTTP/1.1 are kept and used again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ..resources.server_tls import ServerTls
from ..server_contexts import WrongCertificate, check, session_options
from .answering import AnswerReader, LegOutcome
from .http2_connecting import Http2Connection
from .pacing import Brake, Pace

__all__ = ["Connection", "ConnectionPool"]

_IDLE_SECONDS: Final = 3.0
"""How long an unused connection is kept; below the 5 s after which uvicorn, hence vLLM, closes one."""
_IDLE_PER_ADDRESS: Final = 64
_WRITE_HIGH: Final = 256 * 1024

type AddressKey = tuple[str, int, ServerTls | None]


class Connection(asyncio.Protocol):
    """One connection, used by one leg at a time. Bytes that arrive go to the leg's reader with their time."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        key: AddressKey,
        on_closed: Callable[[Connection], None],
        pace: Pace,
    ) -> None:
        self.key = key
        self.idle_since = 0.0
        self._loop = loop
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._answered: asyncio.Future[None] | None = None
        self._origin = 0.0
        self._writable = asyncio.Event()
        self._writable.set()
        self._received = 0.0
        self._brake = Brake(loop, pace)

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    @property
    def last_received(self) -> float:
        """When bytes arrived last, seconds since the leg began; now, while we ourselves do not read."""
        return self._now() if self._brake.on else self._received

    def begin(self, reader: AnswerReader, origin: float) -> asyncio.Future[None]:
        """Give what arrives from now on to `reader`; the result resolves when its answer is over."""
        self._reader = reader
        self._origin = origin
        self._answered = self._loop.create_future()
        if self.closed:
            self._stop(LegOutcome.RESET, "the connection was closed")
        return self._answered

    def end(self) -> bool:
        """Detach the reader and say whether the connection may serve another request."""
        reader, self._reader = self._reader, None
        self._answered = None
        self._brake.release(self._transport)
        return reader is not None and reader.done and reader.keep_alive and not self.closed and self._writable.is_set()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the transport's buffer is short, or the connection is gone."""
        await self._writable.wait()

    def abort(self) -> None:
        """Close at once and forget what is not written."""
        if self._transport is not None:
            self._transport.abort()

    def stop(self, outcome: LegOutcome, detail: str) -> None:
        """End the answer under way from outside."""
        self._stop(outcome, detail)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=_WRITE_HIGH)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            # Bytes that nobody asked for, such as a 408 before an idle connection is closed.
            self.abort()
            return
        self._received = self._now()
        reader.feed(data, self._received)
        if reader.done:
            self._resolve()
        elif reader.discarding and self._transport is not None:
            self._brake.press(self._transport, len(data))

    def eof_received(self) -> bool:
        if self._reader is not None:
            self._reader.eof(self._now())
            self._resolve()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reader is not None and exc is None:
            self._reader.eof(self._now())
        self._stop(LegOutcome.RESET, str(exc) if exc is not None else "the connection was closed")
        self._transport = None
        self._brake.release(None)
        self._writable.set()
        self._on_closed(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _now(self) -> float:
        return self._loop.time() - self._origin

    def _stop(self, outcome: LegOutcome, detail: str) -> None:
        if self._reader is not None:
            self._reader.stop(outcome, detail, self._now())
            self._resolve()

    def _resolve(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)


class ConnectionPool:
    """Opens connections, keeps the unused ones for a short while, and hands out the one used last."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pace: Pace | None = None) -> None:
        """`pace` is that of what is only counted."""
        self._loop = loop
        self._pace = pace if pace is not None else Pace()
        self._idle: dict[AddressKey, list[Connection]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> int:
        return sum(map(len, self._idle.values()))

    def reuse(self, host: str, port: int, *, tls: ServerTls | None = None) -> Connection | None:
        """Return an unused connection, `None` when there is none."""
        kept = self._idle.get((host, port, tls))
        while kept:
            connection = kept.pop()
            if not connection.closed:
                return connection
        return None

    async def connect(
        self, host: str, port: int, *, tls: ServerTls | None = None, http2: bool = False
    ) -> Connection | Http2Connection:
        """Open a connection.

        Raises OSError when it cannot be had, names that do not resolve included.
        """
        try:
            options = await session_options(tls, host, http2=http2)
            transport, connection = await self._loop.create_connection(
                lambda: (
                    Http2Connection(self._loop, self._pace)
                    if http2
                    else Connection(self._loop, (host, port, tls), self._forget, self._pace)
                ),
                host,
                port,
                **options,
            )
        except (UnicodeError, OverflowError, ValueError) as error:
            raise OSError(f"{host}:{port} is no address: {error}") from error
        try:
            check(tls, transport.get_extra_info("ssl_object"))
        except WrongCertificate:
            connection.abort()
            raise
        return connection

    def give(self, connection: Connection) -> None:
        """Take a connection back whose answer is complete; too many for one address are closed."""
        kept = self._idle.setdefault(connection.key, [])
        if connection.closed or len(kept) >= _IDLE_PER_ADDRESS:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        kept.append(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(_IDLE_SECONDS, self._expire)

    def close(self) -> None:
        """Close every unused connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for kept in list(self._idle.values()):
            for connection in list(kept):
                connection.abort()
        self._idle.clear()

    def _expire(self) -> None:
        self._timer = None
        horizon = self._loop.time() - _IDLE_SECONDS
        for key, kept in list(self._idle.items()):
            for connection in [c for c in kept if c.idle_since <= horizon]:
                kept.remove(connection)
                connection.abort()
            if not kept:
                del self._idle[key]
        if self._idle:
            self._timer = self._loop.call_later(_IDLE_SECONDS / 2, self._expire)

    def _forget(self, connection: Connection) -> None:
        kept = self._idle.get(connection.key)
        if kept is not None and connection in kept:
            kept.remove(connection)
            if not kept:
                del self._idle[connection.key]
