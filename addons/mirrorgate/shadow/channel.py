"""The proxy's end of the channel to the shadow process: exchanges are handed off here and never waited for.

Every call returns at once and none raises. What does not fit in the budget is dropped whole, with the reason as the
result. The child is started again when it dies, and starts with clean counts: handles of its former life do nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ..events import MirrorDropReason
from ..records import Configure, ExchangeStarted, FromShadow, ShadowReady, ToShadow
from .budget import Budget
from .child import ChildCommand
from .frames import FrameError, encode
from .handle import FINISH_ROOM, Handle
from .link import Link

__all__ = ["ChannelOptions", "ChannelStats", "ShadowChannel"]

logger = logging.getLogger(__name__)

_BACKOFF_FIRST: Final = 0.1
_BACKOFF_LAST: Final = 10.0
_STABLE_SECONDS: Final = 60.0
"""A child that lived this long is started again after the first, short pause."""
_READY_SECONDS: Final = 60.0
"""How long a child may take until it reads; generous, because it runs at a low priority."""
_HOLD_SECONDS: Final = 10.0
"""For how long the first child's exchanges wait for it: some starts, but no copies that are older than that."""
_HELD: Final = 8
"""Exchanges that wait for the first child. Their copies come to the candidate all at once, as production's requests did
not, and the latencies of many would say nothing."""


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """How the child is started and what it is told."""

    configure: Configure
    queue_bytes: int = 64 * 1024 * 1024
    """The option `shadow_queue_bytes`."""
    command: ChildCommand = field(default_factory=ChildCommand)
    shared: str = ""
    """Path of the socket of a child that a supervisor keeps for all its workers; none is started then."""
    greeting: Callable[[], Iterable[ToShadow]] = tuple
    """What each child is told after `configure` and before any exchange: what a former one knew."""


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """What the channel holds now and has counted since the proxy started."""

    up: bool
    pid: int | None
    restarts: int
    queued: int
    """Bytes that the child has not taken yet."""
    reserved: int
    """Bytes promised to answers that are to come."""
    limit: int
    open: int
    """Exchanges handed off and not finished."""
    sent: int
    """Exchanges handed off."""
    truncated: int
    """Answers of the primary that were larger than their room."""
    dropped: Mapping[MirrorDropReason, int]


class ShadowChannel:
    """Owns the shadow process. Used from one event loop; `start` first, `stop` last."""

    def __init__(
        self,
        options: ChannelOptions,
        on_message: Callable[[FromShadow], None],
        on_state: Callable[[bool, int | None, int], None],
        rng: random.Random,
    ) -> None:
        """`on_state(up, pid, restarts)` tells when the child reads and when it is gone.

        With `up` false every shadow leg that was under way is over: in-flight counts of shadow legs go back to zero.
        """
        self._options = options
        self._on_message = on_message
        self._on_state = on_state
        self._rng = rng
        self._budget = Budget(options.queue_bytes)
        self._link: Link | None = None
        self._handles: set[Handle] = set()
        self._supervisor: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._up = False
        self._held_until = 0.0
        """Until when exchanges are handed off that the child does not read yet, by the loop's clock."""
        self._restarts = 0
        self._sent = 0
        self._truncated = 0
        self._dropped: Counter[MirrorDropReason] = Counter()

    def start(self) -> None:
        """Start the child in the background.

        Some exchanges wait for the first one until it reads, within the budget; the others, and those for a later one,
        are dropped as `process_down`, since what has ended one child may end the next.
        """
        if self._supervisor is None:
            loop = asyncio.get_running_loop()
            self._held_until = loop.time() + _HOLD_SECONDS
            # Eager, so that there is a link to hand exchanges to when this returns.
            self._supervisor = asyncio.Task(self._supervise(), loop=loop, name="shadow process", eager_start=True)

    async def stop(self, timeout: float) -> None:
        """Let the child finish what it has within `timeout` seconds, then end it. Safe to call twice."""
        self._stopping.set()
        self._up, self._held_until = False, 0.0
        link = self._link
        if link is not None:
            await link.finish(timeout)
        if self._supervisor is not None:
            await asyncio.gather(self._supervisor, return_exceptions=True)

    def configure(self, configure: Configure, queue_bytes: int | None = None) -> None:
        """Change what the child is told, now and after each restart, and the budget's limit."""
        limit = queue_bytes if queue_bytes is not None else self._budget.limit
        self._options = replace(self._options, configure=configure, queue_bytes=limit)
        self._budget.limit = self._options.queue_bytes
        if self._link is not None:
            self._link.send(encode(configure))

    def open(self, started: ExchangeStarted) -> Handle | MirrorDropReason:
        """Hand an exchange off, with room for its answer, or say why not.

        `body_too_large` means that it could not fit even if nothing else was under way.
        """
        link = self._link
        if link is None or not (self._up or self._holds()):
            return self._drop(MirrorDropReason.PROCESS_DOWN)
        room = max(0, started.reserved) + FINISH_ROOM
        least = len(started.body or b"")
        if room + least > self._budget.limit:
            return self._drop(MirrorDropReason.BODY_TOO_LARGE)
        if not self._budget.fits(link.outbox.size, room + least):
            return self._drop(MirrorDropReason.QUEUE_FULL)
        try:
            pieces = encode(started)
        except (FrameError, UnicodeEncodeError, OverflowError):
            return self._drop(MirrorDropReason.BODY_TOO_LARGE)
        size = sum(map(len, pieces))
        if not self._budget.reserve(link.outbox.size, room, immediate=size):
            too_large = room + size > self._budget.limit
            return self._drop(MirrorDropReason.BODY_TOO_LARGE if too_large else MirrorDropReason.QUEUE_FULL)
        link.send(pieces)
        self._sent += 1
        handle = Handle(started.id, room, started.body is None, self)
        self._handles.add(handle)
        return handle

    def send(self, frame: ToShadow) -> bool:
        """Send one frame if the budget has room for it, and say whether it was sent."""
        link = self._link
        if link is None:
            return False
        try:
            pieces = encode(frame)
        except (FrameError, UnicodeEncodeError, OverflowError):
            return False
        if not self._budget.fits(link.outbox.size, sum(map(len, pieces))):
            return False
        link.send(pieces)
        return True

    def settle(self, handle: Handle, frame: ToShadow, *, truncated: bool = False) -> None:
        """Give a handle's room back and send its last frame in it. For `Handle` only; harmless when repeated."""
        if handle not in self._handles:
            return
        self._handles.discard(handle)
        self._budget.release(handle.room)
        self._truncated += truncated
        if self._link is not None:
            try:
                self._link.send(encode(frame))
            except (FrameError, UnicodeEncodeError):
                logger.exception("the last frame of exchange %s cannot be encoded", handle.id)

    def overrun(self) -> None:
        """Count an upload that could not be followed. For `Handle` only."""
        self._dropped[MirrorDropReason.UPLOAD_OVERRUN] += 1

    def stats(self) -> ChannelStats:
        link = self._link
        return ChannelStats(
            up=self._up,
            pid=link.pid if link is not None else None,
            restarts=self._restarts,
            queued=link.outbox.size if link is not None else 0,
            reserved=self._budget.reserved,
            limit=self._budget.limit,
            open=len(self._handles),
            sent=self._sent,
            truncated=self._truncated,
            dropped=dict(self._dropped),
        )

    def _holds(self) -> bool:
        """Tell whether an exchange may wait for the first child."""
        return self._sent < _HELD and asyncio.get_running_loop().time() < self._held_until

    def _drop(self, reason: MirrorDropReason) -> MirrorDropReason:
        self._dropped[reason] += 1
        return reason

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._stopping.is_set():
            born = loop.time()
            reason = await self._live()
            if self._stopping.is_set():
                return
            self._held_until = 0.0
            failures = 1 if loop.time() - born >= _STABLE_SECONDS else failures + 1
            pause = min(_BACKOFF_LAST, _BACKOFF_FIRST * 2.0 ** min(failures - 1, 10)) * self._rng.uniform(0.5, 1.0)
            logger.warning("the shadow process is gone (%s); starting it again in %.1f s", reason, pause)
            self._restarts += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _live(self) -> str:
        """Run one life of the child and return why it ended."""
        child_end = None
        try:
            if self._options.shared:
                link = Link.connect(self._options.shared, self._receive)
            else:
                link, child_end = Link.pair(self._receive)
        except OSError as error:
            return f"it cannot be started: {error}"
        self._link = link
        try:
            for frame in (self._options.configure, *self._options.greeting()):
                link.send(encode(frame))
            if child_end is not None:
                await link.start(self._options.command, child_end)
            if self._stopping.is_set():
                link.end("stopped")
            try:
                async with asyncio.timeout(_READY_SECONDS):
                    await link.ready.wait()
            except TimeoutError:
                link.end(f"it did not start within {_READY_SECONDS:.0f} s")
            reason = await asyncio.shield(link.ended)
        except (OSError, RuntimeError) as error:  # the latter where no thread can be had
            if child_end is not None:
                child_end.close()
            return f"it cannot be started: {error}"
        finally:
            link.end("the channel is closed")
            self._forget()
            status = await link.reap()
        return f"{reason}, exit status {status}"

    def _forget(self) -> None:
        """Clear what belonged to a child that is gone."""
        link, self._link = self._link, None
        self._up = False
        for handle in self._handles:
            handle.expire()
        self._handles.clear()
        self._budget.reset()
        self._tell(False, link.pid if link is not None else None)

    def _receive(self, message: FromShadow) -> None:
        if isinstance(message, ShadowReady) and self._link is not None and not self._stopping.is_set():
            self._up = True
            self._tell(True, self._link.pid)
        self._on_message(message)

    def _tell(self, up: bool, pid: int | None) -> None:
        try:
            self._on_state(up, pid, self._restarts)
        except Exception:
            logger.exception("the shadow process's state was not handled")
