"""The legs under way: who may begin, the tasks that send, and how they are cancelled."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import Counter
from collections.abc import Callable

from ..inference.streaming_usage import Tail, usage_of
from ..records import Leg, LegFinished, Target
from .answering import Answer, LegOutcome
from .connecting import ConnectionPool
from .holding import Holding
from .policy import policy_of
from .sending import run_leg
from .token_budget import TokenBudgets
from .uploading import UNSENT_LIMIT, WHOLE_LIMIT, Upload

__all__ = ["Legs", "measured"]

logger = logging.getLogger(__name__)

type OnLegFinished = Callable[[str, int, Target, Answer], None]


class Legs:
    """Runs shadow legs within each cluster's limits. Every leg that begins is reported once to `on_finished`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, holding: Holding, on_finished: OnLegFinished) -> None:
        self._loop = loop
        self._holding = holding
        self._on_finished = on_finished
        self._pool = ConnectionPool(loop)
        self._budgets = TokenBudgets()
        self._running: Counter[tuple[str, Leg]] = Counter()
        self._tasks: dict[tuple[str, int], asyncio.Task[Answer]] = {}
        self._uploads: dict[str, dict[int, Upload]] = {}

    @property
    def running(self) -> int:
        return len(self._tasks)

    def exchanges(self) -> set[str]:
        """Return the exchanges that have a leg under way."""
        return {id for id, _ in self._tasks}

    def refusal(self, target: Target) -> str | None:
        """Say why a leg may not begin: `max_parallel` or `token_budget`; `None` when it may."""
        if self._running[target.cluster, target.leg] >= target.max_parallel:
            return "max_parallel"
        budget = policy_of(target.policy).candidate.token_budget
        if budget is not None and not self._budgets.allows(
            target.cluster, budget.tokens, budget.interval, self._loop.time()
        ):
            return "token_budget"
        return None

    def begin(self, id: str, index: int, method: str, target: Target, body: bytes | None) -> None:
        """Begin a leg; `body` is `None` when it follows by `push`."""
        upload = Upload(body, UNSENT_LIMIT if target.model is None else WHOLE_LIMIT, self._holding)
        if body is None:
            self._uploads.setdefault(id, {})[index] = upload
        self._running[target.cluster, target.leg] += 1
        task = self._loop.create_task(
            run_leg(self._pool, self._holding, method, target, upload), name=f"shadow leg {id}/{index}"
        )
        self._tasks[id, index] = task
        task.add_done_callback(functools.partial(self._ended, id, index, target, upload, self._loop.time()))

    def push(self, id: str, data: bytes) -> None:
        """Pass a piece of an upload on; a leg that is too far behind is cancelled."""
        for index, upload in list(self._uploads.get(id, {}).items()):
            if not upload.push(data):
                del self._uploads[id][index]
                self._cancel(id, index)

    def end(self, id: str) -> None:
        """Say that an upload is complete."""
        for upload in self._uploads.pop(id, {}).values():
            upload.end()

    def cancel(self, id: str, count: int) -> None:
        """Cut the legs of an exchange with `count` targets that are still under way."""
        for index in range(count):
            self._cancel(id, index)

    def cancel_all(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def wait(self, timeout: float) -> None:
        """Wait until no leg is under way, at most `timeout` seconds."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=timeout)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._pool.close()

    def _cancel(self, id: str, index: int) -> None:
        task = self._tasks.get((id, index))
        if task is not None:
            task.cancel()

    def _ended(
        self, id: str, index: int, target: Target, upload: Upload, began: float, task: asyncio.Task[Answer]
    ) -> None:
        """Report a leg. A callback of its task, because a task that is cancelled before its first step runs nothing."""
        upload.close()
        self._over(id, index, target)
        if task.cancelled():
            answer = Answer(LegOutcome.CANCELLED, finished=self._loop.time() - began, detail="cancelled")
        elif (error := task.exception()) is not None:
            logger.error("a shadow leg to %s failed", target.ref, exc_info=error)
            answer = Answer(LegOutcome.CANCELLED, finished=self._loop.time() - began, detail="a bug ended this leg")
        else:
            answer = task.result()
        self._spend(target, answer)
        self._on_finished(id, index, target, answer)

    def _over(self, id: str, index: int, target: Target) -> None:
        del self._tasks[id, index]
        key = (target.cluster, target.leg)
        self._running[key] -= 1
        if not self._running[key]:
            del self._running[key]
        uploads = self._uploads.get(id)
        if uploads is not None:
            uploads.pop(index, None)
            if not uploads:
                del self._uploads[id]

    def _spend(self, target: Target, answer: Answer) -> None:
        if policy_of(target.policy).candidate.token_budget is not None:
            report = measured("", target, answer, "")
            tokens = (report.prompt_tokens or 0) + (report.completion_tokens or 0)
            self._budgets.spend(target.cluster, tokens, self._loop.time())


def measured(id: str, target: Target, answer: Answer, model: str) -> LegFinished:
    """Return the report of a leg that is over; tokens are those that the server named in its last bytes.

    `ttft` is the time from the request to the first piece of an event stream, `None` for other answers.
    """
    tail = Tail()
    streamed = answer.header(b"content-type").partition(";")[0].strip().lower() == "text/event-stream"
    if not answer.header(b"content-encoding"):
        for chunk in answer.chunks[-512:]:
            tail.push(chunk)
    usage = usage_of(tail.bytes())
    return LegFinished(
        id=id,
        leg=target.leg,
        cluster=target.cluster,
        endpoint=f"{target.host}:{target.port}",
        outcome=answer.outcome.value,
        status=answer.status,
        bytes=answer.size,
        seconds=answer.finished,
        ttft=answer.times[0] - answer.sent if streamed and answer.times else None,
        prompt_tokens=usage.prompt_tokens if usage is not None else None,
        completion_tokens=usage.completion_tokens if usage is not None else None,
        model=model,
        path=target.path,
    )
