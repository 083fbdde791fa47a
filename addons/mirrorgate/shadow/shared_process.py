"""The shadow process of several workers: a listening socket, a session for each worker, and one pipeline for all.

What is about an exchange goes to the worker that handed it off; a verdict, which stands on the exchanges of all, goes
to each, and to those that come later. A worker that goes away takes with it what its primary has not finished; what
was finished is judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Final

from ..records import ExchangeFinished, ExchangeStarted, FromShadow, RequestAborted, ToShadow, VerdictChanged
from .judging import Judge
from .pipeline import Pipeline
from .process import DRAIN_SECONDS, FLUSH_SECONDS, SWEEP_SECONDS
from .session import Session

__all__ = ["SharedShadowProcess"]

logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.05
"""How often a session that ends is looked at."""
_EXHAUSTED_SECONDS: Final = 0.25
"""Between two tries to take a worker while there are no descriptors."""


class SharedShadowProcess:
    """Serves the workers that connect until `stop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listening: socket.socket, judge: Judge) -> None:
        """`listening` does not block and stays the caller's."""
        self._loop = loop
        self._listening = listening
        self._sessions: set[Session] = set()
        self._owners: dict[str, Session] = {}
        """Exchanges that results may come of."""
        self._unfinished: dict[str, Session] = {}
        """Those of them whose primary's answer is to come."""
        self._verdicts: dict[str, VerdictChanged] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._sockets: dict[Session, socket.socket] = {}
        self._stopping = asyncio.Event()
        self._pipeline = Pipeline(loop, self._send, judge)

    def stop(self) -> None:
        """Take no more workers, end what is under way, and let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        accepting = self._loop.create_task(self._accept(), name="accepting workers")
        try:
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SWEEP_SECONDS):
                        await self._stopping.wait()
                self._pipeline.sweep()
                self._forget()
                self._report()
        finally:
            accepting.cancel()
        await self._pipeline.drain(DRAIN_SECONDS)
        self._report()
        for session in list(self._sessions):
            await self._close(session)

    async def _accept(self) -> None:
        told = ""
        while True:
            try:
                sock, _ = await self._loop.sock_accept(self._listening)
            except OSError as error:
                if told != str(error):
                    told = str(error)
                    logger.error("a worker cannot be taken yet: %s", error)
                await asyncio.sleep(_EXHAUSTED_SECONDS)
                continue
            told = ""
            sock.setblocking(False)
            session = Session(self._loop, sock, self._handle, self._ended)
            self._sessions.add(session)
            self._sockets[session] = sock
            session.begin()
            for verdict in self._verdicts.values():
                session.send(verdict)

    def _handle(self, session: Session, frame: ToShadow) -> None:
        if isinstance(frame, ExchangeStarted):
            self._owners[frame.id] = self._unfinished[frame.id] = session
        elif isinstance(frame, ExchangeFinished | RequestAborted):
            self._unfinished.pop(frame.id, None)
        self._pipeline.handle(frame)

    def _send(self, message: FromShadow) -> None:
        id = getattr(message, "id", None)
        if isinstance(id, str):
            owner = self._owners.get(id)
            if owner is not None:
                owner.send(message)
            return
        if isinstance(message, VerdictChanged):
            self._verdicts[message.cluster] = message
        for session in self._sessions:
            session.send(message)

    def _report(self) -> None:
        counts = self._pipeline.counts()
        for session in self._sessions:
            session.report(counts)

    def _forget(self) -> None:
        """Forget the exchanges that nothing comes of any more."""
        for id in self._owners.keys() - self._pipeline.under_way():
            del self._owners[id]
            self._unfinished.pop(id, None)

    def _ended(self, session: Session) -> None:
        """Let what a worker had end, then close its socket, which tells it so."""
        for id in [id for id, owner in self._unfinished.items() if owner is session]:
            self._handle(session, RequestAborted(id, "worker_gone"))
        task = self._loop.create_task(self._see_off(session), name="a worker that left")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _see_off(self, session: Session) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while session in self._owners.values():
                    await asyncio.sleep(_LOOK_SECONDS)
                    self._forget()
        await self._close(session)

    async def _close(self, session: Session) -> None:
        if session not in self._sessions:
            return
        self._sessions.discard(session)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await session.outbox.drained()
        session.outbox.close()
        sock = self._sockets.pop(session)
        self._loop.remove_reader(sock.fileno())
        sock.close()
        for id in [id for id, owner in self._owners.items() if owner is session]:
            del self._owners[id]
