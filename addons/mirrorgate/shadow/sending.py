"""One shadow leg: a request written to a candidate, its answer read with the time of each piece, all of it bounded.

A client of our own, on httptools and h2: a leg needs the exact header fields in their order, the arrival time of every
piece and a body that streams while it is uploaded, and it is paid for by the CPU that compares. Whatever the
candidate does, the leg ends: by its answer, or by one of the outcomes of `LegOutcome`.
"""

from __future__ import annotations

import asyncio
import math
import re
from typing import Final

from ..inference.rewriting import with_model
from ..records import Headers, Target
from .answering import Answer, AnswerReader, LegOutcome
from .connecting import Connection, ConnectionPool
from .holding import Holding
from .http2_connecting import Http2Connection
from .uploading import Upload

__all__ = ["run_leg"]

_LONGEST: Final = 3600.0
"""No leg lasts longer, whatever it was given: a leg is never endless."""
_BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})
"""Fields that are ours to set, or that would make us wait."""
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(rb"[^\x00\r\n]*")
_METHOD: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH: Final = re.compile(r"[!-~\x80-\xff]+")


async def run_leg(pool: ConnectionPool, holding: Holding, method: str, target: Target, upload: Upload) -> Answer:
    """Send one request to one target and return what came of it; never raises for what the candidate does.

    The bytes of `Answer.kept` are counted in `holding` and are the caller's to give back. Cancelling the task cuts
    the connection and counts nothing.
    """
    loop = asyncio.get_running_loop()
    origin = loop.time()
    leg = _Leg(pool, holding, method, target, upload, origin)
    try:
        async with asyncio.timeout(_bounded(target.timeout)):
            return await leg.run()
    except TimeoutError:
        leg.reader.stop(LegOutcome.TIMEOUT, f"no complete answer within {target.timeout:g} s", loop.time() - origin)
        return leg.reader.answer
    except BaseException:
        holding.give(leg.reader.answer.kept)
        raise
    finally:
        leg.close()


class _Leg:
    def __init__(
        self, pool: ConnectionPool, holding: Holding, method: str, target: Target, upload: Upload, origin: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._holding = holding
        self._method = method
        self._target = target
        self._upload = upload
        self._origin = origin
        self._connection: Connection | Http2Connection | None = None
        self._uploader: asyncio.Task[None] | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self.reader = AnswerReader(method, holding)

    async def run(self) -> Answer:
        target = self._target
        try:
            head = _head(self._method, target)
        except ValueError as error:
            return self._failed(LegOutcome.CANCELLED, str(error))
        body = self._upload.body
        if target.model is not None:
            body = _with_model(await self._upload.whole(), target.model)
        reusable = body is not None and not target.http2
        kept = self._pool.reuse(target.host, target.port, tls=target.tls) if reusable else None
        if kept is not None:
            answer = await self._exchange(kept, head, body)
            stale = answer.outcome is LegOutcome.RESET and self.reader.untouched
            if not stale:
                return answer
            # The server closed the kept connection while we wrote on it: not an answer of the candidate.
            self.close()
            self.reader = AnswerReader(self._method, self._holding)
        try:
            async with asyncio.timeout(_bounded(target.connect_timeout)) as limit:
                fresh = await self._pool.connect(target.host, target.port, tls=target.tls, http2=target.http2)
        except TimeoutError:
            if limit.expired():
                return self._failed(LegOutcome.CONNECT_TIMEOUT, f"no connection within {target.connect_timeout:g} s")
            return self._failed(LegOutcome.REFUSED, "the connection attempt timed out")
        except OSError as error:
            return self._failed(LegOutcome.REFUSED, str(error))
        if isinstance(fresh, Http2Connection):
            return await self._exchange_http2(fresh, body)
        return await self._exchange(fresh, head, body)

    def close(self) -> None:
        """Let go of the connection: kept when it may serve again, cut otherwise."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        uploading = False
        if self._uploader is not None:
            uploading = not self._uploader.done()
            self._uploader.cancel()
            self._uploader = None
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.end() and not uploading and isinstance(connection, Connection):
                self._pool.give(connection)
            else:
                connection.abort()

    async def _exchange(self, connection: Connection, head: bytes, body: bytes | None) -> Answer:
        self._connection = connection
        answered = connection.begin(self.reader, self._origin)
        self.reader.answer.sent = self._now()
        if body is None:
            length = self._target.length
            framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
            connection.write(head + framing + b"\r\n\r\n")
            self._uploader = self._loop.create_task(self._stream(connection), name="shadow upload")
        else:
            framing = b"content-length: %d\r\n" % len(body) if body or self._method in _BODY_METHODS else b""
            head += framing + b"\r\n"
            if len(body) <= 65536:
                connection.write(head + body)
            else:
                connection.write(head)
                connection.write(body)
        self._watch_idle()
        await answered
        return self.reader.answer

    async def _exchange_http2(self, connection: Http2Connection, body: bytes | None) -> Answer:
        self._connection = connection
        answered = connection.begin(self.reader, self._origin)
        self.reader.answer.sent = self._now()
        whole = None if body is None or not (body or self._method in _BODY_METHODS) else len(body)
        length = self._target.length if body is None else whole
        connection.send_head(self._method, self._target, _sendable(self._target.head), length)
        self._uploader = self._loop.create_task(self._stream_http2(connection, body), name="shadow upload")
        self._watch_idle()
        await answered
        return self.reader.answer

    async def _stream_http2(self, connection: Http2Connection, body: bytes | None) -> None:
        if body is not None:
            await connection.send(body)
        else:
            async for piece in self._upload.pieces():
                await connection.send(piece)
        connection.finish()

    async def _stream(self, connection: Connection) -> None:
        chunked = self._target.length is None
        async for piece in self._upload.pieces():
            if piece:
                connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await connection.drain()
            if connection.closed:
                return
        if chunked:
            connection.write(b"0\r\n\r\n")

    def _watch_idle(self) -> None:
        """Look again when the answer would have been silent for too long; before its head it may be silent."""
        reader, connection = self.reader, self._connection
        if reader.done or connection is None:
            return
        idle = _bounded(self._target.idle_timeout)
        now = self._now()
        due = connection.last_received + idle if reader.answer.head_at else now + idle
        if due <= now:
            connection.stop(LegOutcome.IDLE_TIMEOUT, f"silent for {idle:g} s")
            return
        self._idle_timer = self._loop.call_at(self._origin + due, self._watch_idle)

    def _failed(self, outcome: LegOutcome, detail: str) -> Answer:
        self.reader.stop(outcome, detail, self._now())
        return self.reader.answer

    def _now(self) -> float:
        return self._loop.time() - self._origin


def _with_model(body: bytes, model: str) -> bytes:
    """Return the body with another model; one that has no model to rewrite is sent as the client sent it."""
    try:
        return with_model(body, model)
    except ValueError:
        return body


def _head(method: str, target: Target) -> bytes:
    """Return request line and fields, up to the framing.

    Raises ValueError for what would not be one well-formed head, such as a line break in a value.
    """
    if not _METHOD.fullmatch(method):
        raise ValueError("the method is no token")
    if not _PATH.fullmatch(target.path):
        raise ValueError("the path has characters that a request line cannot hold")
    lines = [f"{method} {target.path} HTTP/1.1\r\n".encode("latin-1")]
    if not any(name.lower() == b"host" for name, _ in target.head):
        lines.append(f"host: {target.host}:{target.port}\r\n".encode("latin-1"))
    lines.extend(b"%b: %b\r\n" % field for field in _sendable(target.head))
    return b"".join(lines)


def _sendable(head: Headers) -> Headers:
    fields: Headers = []
    for name, value in head:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("a header field cannot be written on one line")
        if name.lower() not in _FRAMING:
            fields.append((name, value))
    return fields


def _bounded(seconds: float) -> float:
    """Return a timeout that is neither endless nor negative."""
    return _LONGEST if math.isnan(seconds) else min(max(seconds, 0.001), _LONGEST)
