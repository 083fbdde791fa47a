"""A server that gives each request its one right answer, or fails it in the way that a header asks for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from ..backends import Backend, Conversation, Received
from ..model_server.malformed import GARBAGE, MALFORMED
from .asks import ENDLESS, LEG_HEADER, fault_header, wire

__all__ = ["FLOOD_PIECE", "UnrulyServer", "deaf_port", "fault_of", "streams"]

FLOOD_PIECE = bytes(1 << 20)
_PATIENCE = 600.0
"""Seconds; a kept connection may idle for a whole run."""


class UnrulyServer:
    """Serves every leg, and remembers what it got.

    The header `x-chaos-LEG: KIND[=VALUE]` makes it fail that leg:

    - `reset=N`, `close=N`, `hang=N`: N bytes of the right answer, then a reset, an end, or silence
    - `trickle=SECONDS`: the right answer byte by byte
    - `endless`: a stream without end; `flood=N`: N MiB with their length, as fast as they are taken, for an answer
    - `garbage`; `malformed=VARIANT` as in `model_server.malformed`
    - `stale=SECONDS`: the right answer, and soon after it the connection's end, unannounced
    - `early=STATUS`: an answer before the body is read; `deaf`: the body is never read
    - `drop=N`: a reset after N bytes of the body, framing included

    With `|` between them, several failures are those of the first time, the second and so on; the last one stays.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._backend = Backend(self._serve, tls=tls)
        self.seen: Counter[tuple[str, str]] = Counter()
        """How often each leg of each ask came, its head at least."""
        self.answered: Counter[tuple[str, str]] = Counter()
        """How often each was given its whole right answer."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._backend.port

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return sum(not talk.writer.transport.is_closing() for talk in self._backend.conversations)

    def hang_up(self) -> None:
        """Close every connection in good order."""
        for talk in self._backend.conversations:
            talk.writer.close()
        self._backend.conversations.clear()
        self._backend.requests.clear()

    async def __aenter__(self) -> Self:
        await self._backend.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._backend.__aexit__(kind, error, trace)

    async def _serve(self, talk: Conversation) -> None:
        talk.timeout = _PATIENCE
        while True:
            head = await talk.head()
            leg = head.header(LEG_HEADER) or "primary"
            id = head.header("user-agent") or ""
            self.seen[id, leg] += 1
            kind, value = fault_of(head.header(fault_header(leg)), self.seen[id, leg])
            if kind == "deaf":
                await asyncio.Event().wait()
            if kind == "early":
                await talk.answer(int(value), b"too early")
                await _body(talk, head)  # else the end of the connection would be a reset
                return None
            if kind == "drop":
                await talk.exactly(int(value))
                talk.reset()
                return None
            body = await _body(talk, head)
            right = wire(id, int(head.header("x-words") or 1), streams(body))
            if await self._answer(talk, kind, value, right):
                self.answered[id, leg] += 1
            if kind == "stale":
                await asyncio.sleep(float(value))
                return None
            if kind and kind != "trickle":
                return None

    async def _answer(self, talk: Conversation, kind: str, value: str, right: bytes) -> bool:
        """Answer, or fail to; tell whether the right answer was said whole."""
        match kind:
            case "" | "stale":
                await talk.say(right)
                return True
            case "reset" | "close" | "hang":
                if cut := right[: int(value)]:
                    await talk.say(cut)
                if kind == "reset":
                    talk.reset()
                elif kind == "hang":
                    await talk.gone()
                return int(value) >= len(right)
            case "trickle":
                for byte in right:
                    await talk.say(bytes([byte]))
                    await asyncio.sleep(float(value))
                return True
            case "endless":
                await talk.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
                while True:
                    await talk.say(ENDLESS * 100)
                    await asyncio.sleep(0)
            case "flood":
                size = int(value) * len(FLOOD_PIECE)
                await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
                for _ in range(int(value)):
                    await talk.say(FLOOD_PIECE)
                return True
            case "garbage":
                await talk.say(GARBAGE)
            case "malformed":
                await talk.say(MALFORMED[value])
            case _:
                raise ValueError(f"there is no failure {kind!r}")
        return False


async def _body(talk: Conversation, head: Received) -> bytes:
    if length := int(head.header("content-length") or 0):
        return await talk.exactly(length)
    pieces = []
    if "chunked" in (head.header("transfer-encoding") or ""):
        while piece := await talk.chunk():
            pieces.append(piece)
        await talk.exactly(2)
    return b"".join(pieces)


def fault_of(header: str | None, times: int) -> tuple[str, str]:
    """Return kind and value of the failure that a header asks for, when the request comes for the so-manieth time."""
    faults = (header or "").split("|")
    kind, _, value = faults[min(times, len(faults)) - 1].partition("=")
    return kind, value


def streams(body: bytes) -> bool:
    """Tell whether a request asks for a stream."""
    try:
        return bool(json.loads(body)["stream"])
    except (ValueError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """Yield a port that never accepts: its backlog is full, so that the kernel drops what knocks."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
