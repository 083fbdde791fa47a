"""The run of a replay: exchanges of captures through the very pipeline that judges live traffic.

One event loop sends and receives, a thread reads ahead, the pipeline's thread judges. What is held is bounded by the
number under way, by `Holding`, and by what is read ahead, whatever the size of the capture. The clock that the evidence
goes by is the capture's own, so that a conversation's turns belong together at any speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..inference.requests import InferenceRequest
from ..records import (
    Compared,
    Configure,
    FromShadow,
    Leg,
    LegFinished,
    ShadowDropped,
    VerdictChanged,
)
from ..shadow.comparing import Comparer
from ..shadow.connecting import ConnectionPool
from ..shadow.holding import Holding
from ..shadow.pipeline import Pipeline
from ..shadow.policy import policy_of
from ..shadow.sending import run_leg
from ..shadow.uploading import Upload
from ..shadow.verdicts import VerdictSink
from .aiming import Aim, Destination
from .captured import Captured, Item, Passed, Skip
from .frames import ANSWER_ROOM, fresh_finish, recorded_finish, round_id, started_frame, with_subject
from .pacing import Pace
from .resuming import NOTHING_DONE, Done
from .selecting import Selection, request_of
from .tallying import Tally

__all__ = ["Play", "Player"]

logger = logging.getLogger(__name__)

_BATCH: Final = 64
_BATCH_BYTES: Final = 4 * 1024 * 1024
_HELD: Final = 256 * 1024 * 1024
_GRACE: Final = 10.0
"""Seconds that requests under way may take when the run is interrupted."""
_JOURNAL_FILE: Final = 64 * 1024 * 1024
_AFTERWARDS: Final = 60.0
"""Seconds after the end of a conversation that began with the last arrival: every one is over then."""
_DETAILS: Final = 5


@dataclass(frozen=True, slots=True)
class Play:
    """What is replayed, where to, and how."""

    items: Iterable[Item]
    to: Destination
    against: Destination | None
    """Asked for the primary's answer; `None` compares with the recorded one."""
    selection: Selection
    pace: Pace
    journal: Path
    concurrency: int = 1024
    repeat: int = 1
    limit: int | None = None
    done: Done = NOTHING_DONE


@dataclass(slots=True)
class _UnderWay:
    """One exchange that was sent."""

    candidates: int
    """Pairs to come."""
    releases: dict[tuple[str, str], list[Callable[[], None]]] = field(default_factory=dict)
    """By leg and cluster."""
    kept: int = 0
    """Bytes of the fresh primary's answer."""


class Player:
    """One run. `run` returns when everything is compared, or soon after `stop`."""

    def __init__(self, play: Play) -> None:
        self.tally = Tally()
        self.interrupted = False
        self._play = play
        self._holding = Holding(_HELD)
        self._under_way: dict[str, _UnderWay] = {}
        self._freed = asyncio.Event()
        self._due: float | None = None
        """When the request goes that is waited for, by the loop's clock."""
        self._stopping = asyncio.Event()
        self._cut = asyncio.Event()
        self._primaries: set[asyncio.Task[None]] = set()
        self._latest = 0.0
        """The capture's clock: the latest arrival that was sent."""
        self._window = 0.0
        """The longest time for which the turns of a conversation are gathered."""
        self._pipeline: Pipeline
        self._pool: ConnectionPool

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    @property
    def idle_for(self) -> float:
        """Seconds until the pace lets the next request go, when the run only waits for that; else 0."""
        if self._due is None or self._under_way or self._stopping.is_set():
            return 0.0
        return max(0.0, self._due - asyncio.get_running_loop().time())

    def stop(self) -> None:
        """Send nothing more and end soon; a second call cuts what is under way."""
        if self._stopping.is_set():
            self._cut.set()
        self.interrupted = True
        self._stopping.set()
        self._freed.set()

    async def run(self) -> Tally:
        """Replay. Raises what the destinations raise when they start, before anything is sent."""
        loop = asyncio.get_running_loop()
        play, run = self._play, uuid.uuid4().hex
        sink = VerdictSink(lambda: self._latest, time.monotonic, run)
        self._pool = ConnectionPool(loop)
        self._pipeline = Pipeline(loop, self._received, Comparer(time.time, sink, run), self._holding)
        self._pipeline.handle(Configure(str(play.journal), _JOURNAL_FILE, 0, 1 << 30))
        destinations = [play.to] if play.against is None else [play.to, play.against]
        ticking = loop.create_task(self._tick(), name="replay tick")
        try:
            for destination in destinations:
                await destination.start()
            await self._feed()
            await self._settle()
        finally:
            ticking.cancel()
            for task in self._primaries:
                task.cancel()
            await asyncio.gather(ticking, *self._primaries, return_exceptions=True)
            await self._end()
            for destination in destinations:
                await destination.stop()
        return self.tally

    async def _end(self) -> None:
        """Close every conversation, then the journal and the evidence."""
        if not self._under_way:
            self._latest += self._window + _AFTERWARDS
            self._pipeline.sweep()
        await self._pipeline.drain(0.0 if self._cut.is_set() else 1.0)
        self.tally.journal_lost = self._pipeline.counts().journal_lost
        self._pool.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._pipeline.sweep()

    async def _settle(self) -> None:
        """Wait for what is under way; once interrupted, for a short while only."""
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        while self._under_way and not self._cut.is_set():
            if self._stopping.is_set() and deadline is None:
                deadline = loop.time() + _GRACE
            if deadline is not None and loop.time() >= deadline:
                return
            self._freed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25 if deadline is not None else 5.0):
                    await self._freed.wait()

    # Sending

    async def _feed(self) -> None:
        """Take the captures' exchanges one after the other, each at its moment."""
        iterator, loop = iter(self._play.items), asyncio.get_running_loop()
        ahead = loop.run_in_executor(None, _batch, iterator)
        try:
            while not self._stopping.is_set() and (batch := await ahead):
                ahead = loop.run_in_executor(None, _batch, iterator)
                for item in batch:
                    if self._stopping.is_set() or self._limit_reached:
                        return
                    await self._consider(item)
        finally:
            with contextlib.suppress(Exception):
                await ahead

    @property
    def _limit_reached(self) -> bool:
        limit = self._play.limit
        return limit is not None and self.tally.lateness.sent >= limit

    async def _consider(self, item: Item) -> None:
        tally, play = self.tally, self._play
        tally.read += 1
        if isinstance(item, Passed):
            tally.passed[item.reason] += 1
            if item.detail and len(tally.details) < _DETAILS:
                tally.details.append(item.detail)
            return
        request = request_of(item)
        reason = play.selection.refusal(item, request)
        if reason is None and play.against is None and item.answer is None:
            reason = item.unanswered
        rounds = [number for number in range(1, play.repeat + 1) if round_id(item, number) not in play.done]
        if reason is None and not rounds:
            reason = Skip.DONE
        if reason is None and round_id(item, rounds[0]) in self._under_way:
            reason = Skip.DUPLICATE
        if reason is not None:
            tally.passed[reason] += 1
            return
        loop = asyncio.get_running_loop()
        due = play.pace.due(item, loop.time())
        await self._until(due)
        for place, number in enumerate(rounds):
            await self._room(item)
            if self._stopping.is_set():
                return
            if not self._launch(item, request, number):
                return
            if not place:
                tally.lateness.note(due, loop.time())

    async def _until(self, due: float | None) -> None:
        delay = 0.0 if due is None else due - asyncio.get_running_loop().time()
        if delay <= 0:
            await asyncio.sleep(0)
            return
        self._due = due
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._stopping.wait()
        self._due = None

    async def _room(self, entry: Captured) -> None:
        size = entry.size + ANSWER_ROOM
        while not self._stopping.is_set():
            fits = self._holding.admits(size) or not self._under_way
            if len(self._under_way) < self._play.concurrency and fits:
                return
            self._freed.clear()
            await self._freed.wait()

    def _launch(self, entry: Captured, request: InferenceRequest | None, number: int) -> bool:
        """Send one exchange's legs; false when it has nowhere to go."""
        play, id = self._play, round_id(entry, number)
        found = play.to.aims(entry, request, Leg.CANDIDATE)
        if isinstance(found, Skip):
            self.tally.passed[found] += 1
            return False
        aims = list(found)
        primary: Aim | None = None
        if play.against is not None:
            asked = play.against.aims(entry, request, Leg.PRIMARY)
            if isinstance(asked, Skip):
                self._release_all(aims)
                self.tally.passed[asked] += 1
                return False
            primary = asked[0]
            if play.repeat > 1:
                again = play.against.aims(entry, request, Leg.CONTROL)
                aims += [] if isinstance(again, Skip) else again[:1]
        label = "recorded" if play.against is None else play.against.label
        targets = [with_subject(aim.target, label, play.repeat) for aim in aims]
        under_way = _UnderWay(len(found))
        for aim in aims:
            under_way.releases.setdefault((aim.target.leg, aim.target.cluster), []).append(aim.release)
        started = started_frame(
            id, entry, request, targets, label, None if primary is None else primary.target, play.repeat
        )
        self._latest = max(self._latest, started.started)
        self._window = max([self._window, *(policy_of(target.policy).conversation_window for target in targets)])
        self._under_way[id] = under_way
        self.tally.sent += len(found)
        self._pipeline.handle(started)
        if primary is None:
            self._pipeline.handle(recorded_finish(id, entry))
        elif id in self._under_way:
            task = asyncio.get_running_loop().create_task(self._ask(id, entry, primary), name=f"primary of {id}")
            self._primaries.add(task)
            task.add_done_callback(self._primaries.discard)
        else:
            primary.release()
        return True

    async def _ask(self, id: str, entry: Captured, aim: Aim) -> None:
        """Ask the primary, at the same time as the candidate."""
        try:
            answer = await run_leg(self._pool, self._holding, entry.method, aim.target, Upload(entry.body))
        finally:
            aim.release()
        under_way = self._under_way.get(id)
        if under_way is None:
            self._holding.give(answer.kept)
            return
        under_way.kept = answer.kept
        self._pipeline.handle(fresh_finish(id, answer))

    # What comes back

    def _received(self, message: FromShadow) -> None:
        if isinstance(message, Compared):
            self.tally.outcomes[message.outcome] += 1
            self._pair_over(message.id)
        elif isinstance(message, LegFinished):
            self._release(message.id, message.leg, message.cluster)
        elif isinstance(message, ShadowDropped):
            if not message.sent:
                self._release(message.id, message.leg, message.cluster)
            if message.leg is Leg.CANDIDATE:
                self.tally.dropped[message.reason] += 1
                self._pair_over(message.id)
        elif isinstance(message, VerdictChanged):
            self.tally.take_verdict(message.cluster, message.document)

    def _release(self, id: str, leg: str, cluster: str) -> None:
        under_way = self._under_way.get(id)
        releases = [] if under_way is None else under_way.releases.get((leg, cluster), [])
        if releases:
            releases.pop()()

    def _pair_over(self, id: str) -> None:
        under_way = self._under_way.get(id)
        if under_way is not None:
            under_way.candidates -= 1
            self._end_if_over(id, under_way)

    def _end_if_over(self, id: str, under_way: _UnderWay) -> None:
        """Let go of an exchange whose pairs are judged, or will never be."""
        if under_way.candidates > 0:
            return
        del self._under_way[id]
        for release in itertools.chain.from_iterable(under_way.releases.values()):
            release()
        self._holding.give(under_way.kept)
        self._freed.set()

    @staticmethod
    def _release_all(aims: list[Aim]) -> None:
        for aim in aims:
            aim.release()


def _batch(items: Iterator[Item]) -> list[Item]:
    """Read some exchanges; runs in a thread."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += item.size if isinstance(item, Captured) else 0
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            break
    return batch
