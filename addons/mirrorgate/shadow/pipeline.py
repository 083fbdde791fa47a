"""What the shadow process does with frames: admit, send, pair, judge, commit, report.

One event loop sends and receives; one worker thread judges pairs and writes the journal. What is dropped is dropped
before a leg begins, from the request alone: an exchange that was admitted is always judged. Frames are always read,
because the one that completes a waiting exchange may be the next; an exchange that finds the process full is refused
and reported instead.

Each target of an exchange that was handed off is reported exactly once, by `LegFinished` if it was sent and by
`ShadowDropped` if it was not; a `ShadowDropped` with `sent` set says that a leg that was reported is not compared.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from ..freed_memory import FreedMemory
from ..records import (
    Configure,
    ExchangeFinished,
    ExchangeStarted,
    FromShadow,
    Leg,
    MirrorsDropped,
    RequestAborted,
    RequestChunk,
    RequestEnd,
    RestoreVerdicts,
    ShadowCounts,
    ShadowDropped,
    Target,
    ToShadow,
)
from .answering import Answer
from .contents import contents_of
from .holding import Holding
from .judging import Judge, Judged, Settled
from .legs import Legs, measured
from .ordering import ArrivalOrder, Place
from .pairing import ExchangeBook, Pair

__all__ = ["Pipeline"]

logger = logging.getLogger(__name__)

_WAITING_LIMIT: Final = 65_536
"""Results that wait for one that arrived earlier; they are small."""


@dataclass(slots=True, eq=False)
class _Admitted:
    """What an admitted exchange holds."""

    started: ExchangeStarted
    size: int
    places: dict[int, Place[Settled]] = field(default_factory=dict)
    """Of its candidates, by target, until they are judged."""


class Pipeline:
    """Takes frames by `handle`; everything that it has to say goes to `send`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[FromShadow], None],
        judge: Judge,
        holding: Holding | None = None,
    ) -> None:
        self._loop = loop
        self._send = send
        self._judge = judge
        self._holding = holding if holding is not None else Holding()
        self._legs = Legs(loop, self._holding, self._leg_finished)
        self._book = ExchangeBook()
        self._order: ArrivalOrder[Settled] = ArrivalOrder()
        self._admitted: dict[str, _Admitted] = {}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judging")
        self._judging = 0
        self._judged_all = asyncio.Event()
        self._judged_all.set()
        self._max_queued = 1024
        self._contents = 0
        self._drained = False
        self._drops: dict[str, Counter[str]] = {}
        self._ticking = False
        self._asking: set[asyncio.Task[None]] = set()
        self._judged = 0
        self._failed = 0
        self._freed = FreedMemory()
        self._handlers: dict[type, Callable[[Any], None]] = {
            Configure: self._configure,
            RestoreVerdicts: self._restore,
            MirrorsDropped: self._dropped_before,
            ExchangeStarted: self._begin,
            RequestChunk: lambda frame: self._legs.push(frame.id, frame.data),
            RequestEnd: lambda frame: self._legs.end(frame.id),
            RequestAborted: lambda frame: self._give_up(frame.id, "aborted"),
            ExchangeFinished: self._finish,
        }

    def handle(self, frame: ToShadow) -> None:
        """Take one frame; never raises, whatever it holds."""
        if self._drained:
            return
        try:
            self._handlers[type(frame)](frame)
        except Exception:
            logger.exception("a frame was not handled: %s", type(frame).__name__)

    def sweep(self) -> None:
        """Give up the exchanges that will not be complete any more; called from time to time."""
        for exchange in self._book.overdue(self._loop.time()):
            self._release(exchange.started.id, "unfinished")
        if not self._ticking and not self._drained:
            self._tick()
        self._freed.sweep(self._loop.time(), busy=bool(self._admitted))

    def counts(self) -> ShadowCounts:
        written, lost = self._judge.journal_counts()
        return ShadowCounts(
            exchanges=len(self._admitted),
            legs=self._legs.running,
            held_bytes=self._holding.held,
            judged=self._judged,
            failed=self._failed,
            journal_written=written,
            journal_lost=lost,
        )

    def under_way(self) -> set[str]:
        """Return the exchanges that are not judged, or have a leg that runs."""
        return {*self._admitted, *self._legs.exchanges()}

    async def drain(self, timeout: float) -> None:
        """Let legs end by themselves within `timeout` seconds, cut the rest, and judge what is complete.

        Nothing is taken afterwards; a second call does nothing.
        """
        if self._drained:
            return
        self._drained = True
        await self._legs.wait(timeout)
        self._legs.cancel_all()
        await self._legs.wait(timeout)
        self._legs.close()
        for exchange in self._book.clear():
            self._release(exchange.started.id, "unfinished")
        await self._judged_all.wait()
        await self._judge.stop()
        self._tick()
        self._worker.submit(_logged, self._judge.close)
        await asyncio.to_thread(self._worker.shutdown)
        # The worker's last results were passed to this loop and are handled in its next turn.
        await asyncio.sleep(0)

    def _configure(self, frame: Configure) -> None:
        self._max_queued = max(1, frame.max_queued)
        self._contents = max(0, frame.contents)
        self._worker.submit(_logged, self._judge.configure, frame)

    def _restore(self, frame: RestoreVerdicts) -> None:
        self._worker.submit(_logged, self._judge.restore, frame)

    def _begin(self, frame: ExchangeStarted) -> None:
        if frame.id in self._admitted:
            logger.error("exchange %s was started twice", frame.id)
            return
        size = len(frame.body or b"") + max(0, frame.reserved)
        full = len(self._admitted) >= self._max_queued or self._order.waiting >= _WAITING_LIMIT
        if full or not self._holding.admits(size):
            for target in frame.targets:
                self._drop(frame.id, target, "queue_full")
            return
        candidates, refusal = self._launch(frame, Leg.CANDIDATE, None)
        # A control without a candidate to compare it with would be load on production for nothing.
        controls, _ = self._launch(frame, Leg.CONTROL, None if candidates else refusal or "unfinished")
        if not candidates:
            return
        legs = candidates + controls
        admitted = _Admitted(frame, size)
        admitted.places = {index: self._order.arrive(frame.targets[index].cluster) for index in candidates}
        self._admitted[frame.id] = admitted
        self._holding.force(size)
        self._book.begin(frame, legs, self._loop.time())

    def _launch(self, frame: ExchangeStarted, leg: Leg, refusal: str | None) -> tuple[list[int], str | None]:
        """Begin the legs of one kind that may begin, none with a `refusal`.

        Returns the indices of those that began and why the last one of the others may not. No leg runs before this
        turn of the loop ends.
        """
        begun: list[int] = []
        last = refusal
        for index, target in enumerate(frame.targets):
            if target.leg is not leg:
                continue
            reason = refusal or self._legs.refusal(target)
            if reason is None:
                self._legs.begin(frame.id, index, frame.method, target, frame.body)
                begun.append(index)
            else:
                last = reason
                self._drop(frame.id, target, reason)
        return begun, last

    def _finish(self, frame: ExchangeFinished) -> None:
        admitted = self._admitted.get(frame.id)
        if admitted is None:
            return
        self._judge_all(self._book.finish(frame))
        if frame.outcome == "client_left":
            # The primary's server stops when its client leaves; the candidate is spared the rest as well.
            self._legs.cancel(frame.id, len(admitted.started.targets))

    def _leg_finished(self, id: str, index: int, target: Target, answer: Answer) -> None:
        admitted = self._admitted.get(id)
        asked = admitted.started.target_model or admitted.started.model if admitted is not None else None
        self._send(measured(id, target, answer, target.model or asked or ""))
        if admitted is None or id not in self._book:
            self._holding.give(answer.kept)
            return
        admitted.size += answer.kept
        self._judge_all(self._book.answer(id, index, answer))

    def _judge_all(self, pairs: list[Pair]) -> None:
        for pair in pairs:
            self._judging += 1
            self._judged_all.clear()
            future = self._worker.submit(self._judge.judge, pair)
            future.add_done_callback(
                lambda future, pair=pair: self._loop.call_soon_threadsafe(self._take, pair, future)  # type: ignore[misc]
            )

    def _take(self, pair: Pair, future: Future[Judged]) -> None:
        """Report a judged pair, and settle it or ask for what it lacks."""
        try:
            judged = future.result()
        except Exception:
            logger.exception("a pair was not judged")
            self._failed += 1
            self._drop(pair.started.id, pair.target, "unfinished", sent=True)
            self._settle(pair, None)
            return
        self._judged += 1
        self._send(judged.compared)
        if self._contents:
            for content in contents_of(pair, self._contents):
                self._send(content)
        if judged.question is None:
            self._settle(pair, judged.settled)
        else:
            task = self._loop.create_task(self._ask(pair, judged), name="scoring")
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, pair: Pair, judged: Judged) -> None:
        settled = judged.settled
        try:
            settled = await self._judge.ask(judged)
        except Exception:
            logger.exception("a pair was not scored")
        finally:
            self._settle(pair, settled)

    def _settle(self, pair: Pair, settled: Settled | None) -> None:
        """Let go of a pair and commit what arrived before it and waited."""
        self._judging -= 1
        if not self._judging:
            self._judged_all.set()
        admitted = self._admitted[pair.started.id]
        self._commit(admitted.places.pop(pair.index), settled)
        if not admitted.places:
            del self._admitted[pair.started.id]
            self._holding.give(admitted.size)

    def _commit(self, place: Place[Settled], settled: Settled | None) -> None:
        ready = self._order.settle(place, settled)
        if ready:
            future = self._worker.submit(self._judge.commit, place.key, ready)
            future.add_done_callback(lambda future: self._loop.call_soon_threadsafe(self._committed, future))

    def _tick(self) -> None:
        """Tell the evidence what was dropped, and that time has passed."""
        self._ticking = True
        drops, self._drops = self._drops, {}
        future = self._worker.submit(self._judge.tick, drops, self._order.keys)
        future.add_done_callback(lambda future: self._loop.call_soon_threadsafe(self._ticked, future))

    def _ticked(self, future: Future[Sequence[FromShadow]]) -> None:
        self._ticking = False
        self._committed(future)

    def _committed(self, future: Future[Sequence[FromShadow]]) -> None:
        """Pass on what the evidence has to say."""
        try:
            messages = future.result()
        except Exception:
            logger.exception("evidence was not taken")
            return
        for message in messages:
            self._send(message)

    def _give_up(self, id: str, reason: str) -> None:
        exchange = self._book.forget(id)
        if exchange is not None:
            self._legs.cancel(id, len(exchange.started.targets))
            self._release(id, reason)

    def _release(self, id: str, reason: str) -> None:
        """Let go of an exchange that is not in the book any more and is not compared."""
        admitted = self._admitted.pop(id)
        for index, place in admitted.places.items():
            self._drop(id, admitted.started.targets[index], reason, sent=True)
            self._commit(place, None)
        self._holding.give(admitted.size)

    def _drop(self, id: str, target: Target, reason: str, *, sent: bool = False) -> None:
        if target.leg is Leg.CANDIDATE:
            self._count_drops(target.cluster, {reason: 1})
        self._send(ShadowDropped(id, target.cluster, target.leg, f"{target.host}:{target.port}", reason, sent))

    def _dropped_before(self, frame: MirrorsDropped) -> None:
        for cluster, reasons in frame.reasons.items():
            self._count_drops(cluster, reasons)

    def _count_drops(self, cluster: str, reasons: Mapping[str, int]) -> None:
        self._drops.setdefault(cluster, Counter()).update(reasons)


def _logged[**P](call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call something whose result nobody waits for; its failure is a bug and is logged."""
    try:
        call(*args, **kwargs)
    except Exception:
        logger.exception("%s failed", getattr(call, "__qualname__", call))
