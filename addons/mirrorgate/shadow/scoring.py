"""Scorers of the user's: an HTTP endpoint or a Python function that says how a candidate's answer compares.

Bounded in number, in time and in what is read of an answer. A scorer that fails costs its guardrail that pair, which
is counted, and nothing else. `docs/scorers.md` documents both shapes.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..comparison.losses import score_difference
from ..comparison.pairs import PairComparison
from ..inference.completions import Completion
from .policy import Scorer
from .recording import RecordParts

if TYPE_CHECKING:
    from httpx import AsyncClient

__all__ = ["PAIR_SCHEMA", "Answers", "Question", "Scorers", "is_scorable", "question_of"]

logger = logging.getLogger(__name__)

PAIR_SCHEMA: Final = "mirrorgate.pair/v1"

_SECONDS: Final = 10.0
"""For one score, its wait for a turn included."""
_PARALLEL: Final = 8
_WAITING: Final = 256
"""Scores that wait or run; more are failures at once, so that a slow scorer holds the order of pairs up for
`_SECONDS` at most."""
_LARGEST: Final = 64 * 1024
"""Bytes of a scorer's answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """A pair that scorers are asked about."""

    scorers: dict[str, Scorer]
    payload: bytes
    """The pair as JSON, without the guardrail's name."""


@dataclass(frozen=True, slots=True)
class Answers:
    losses: dict[str, float]
    """Differences of losses by guardrail."""
    failures: tuple[str, ...]
    """Guardrails whose scorer gave no number."""


def is_scorable(comparison: PairComparison) -> bool:
    """Tell whether both sides gave a whole answer; other pairs are no scorer's business and count as a tie."""
    return comparison.primary.readable and comparison.candidate.readable


def question_of(parts: RecordParts, scorers: dict[str, Scorer]) -> Question:
    """Return a pair as scorers see it: with all its content, whatever the journal keeps."""
    started = parts.pair.started
    body: Any = None
    if started.body is not None:
        try:
            body = msgspec.json.decode(started.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            body = started.body.decode("utf-8", "replace")
    pair = {
        "schema": PAIR_SCHEMA,
        "id": started.id,
        "route": started.route,
        "cluster": parts.pair.target.cluster,
        "path": started.path,
        "request": body,
        "similarity": parts.similarity,
        "primary": _leg(parts.primary.completion, parts.primary.model),
        "candidate": _leg(parts.candidate.completion, parts.candidate.model),
    }
    return Question(scorers, msgspec.json.encode(pair))


def _leg(completion: Completion, model: str | None) -> dict[str, Any]:
    return {
        "model": model,
        "status": completion.status,
        "text": _text(completion.text),
        "choices": [
            {
                "index": choice.index,
                "text": _text(choice.text),
                "reasoning": _text(choice.reasoning),
                "refusal": _text(choice.refusal),
                "finish_reason": choice.finish_reason,
                "tool_calls": [
                    {"name": _text(call.name), "arguments": _text(call.arguments)} for call in choice.tool_calls
                ],
            }
            for choice in completion.choices
        ],
        "value": completion.value if not completion.choices else None,
        "ttft": completion.timing.ttft,
        "e2e": completion.timing.e2e,
    }


def _text(text: str) -> str:
    """Return a text that has a JSON form: half of a surrogate pair has none."""
    return text.encode("utf-8", "replace").decode()


class ScorerError(Exception):
    """A scorer gave no number; the message says why."""


class Scorers:
    """Asks scorers. Used from one event loop."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._turns = asyncio.Semaphore(_PARALLEL)
        self._waiting = 0
        self._client: AsyncClient | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._functions: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self._failing: set[str] = set()

    async def ask(self, question: Question) -> Answers:
        """Ask every scorer of a pair at once; never raises."""
        names = list(question.scorers)
        scores = await asyncio.gather(*(self._score(name, question.scorers[name], question.payload) for name in names))
        found = {name: score for name, score in zip(names, scores, strict=True) if score is not None}
        return Answers(
            {name: score_difference(score) for name, score in found.items()},
            tuple(name for name in names if name not in found),
        )

    async def close(self) -> None:
        """Ask nothing any more; a function that still runs is not waited for."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            await self._client.aclose()

    async def _score(self, name: str, scorer: Scorer, payload: bytes) -> float | None:
        """Return a score from 0 to 1, `None` when there is none."""
        if self._waiting >= _WAITING:
            self._failed(name, "too many pairs wait for it")
            return None
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                if scorer.url is not None:
                    async with self._turns:
                        value = await self._post(scorer.url, name, payload)
                else:
                    value = await self._call(scorer.entry_point or "", name, payload)
            score = _score_of(value)
        except TimeoutError:
            self._failed(name, f"no score within {self._seconds:g} s")
            return None
        except Exception as error:
            # Of the user's function or of the network; either way it is the scorer's and costs nothing else.
            self._failed(name, f"{type(error).__name__}: {error}")
            return None
        finally:
            self._waiting -= 1
        self._failing.discard(name)
        return score

    def _failed(self, name: str, reason: str) -> None:
        if name not in self._failing:
            self._failing.add(name)
            logger.warning("the scorer of guardrail %s fails: %s", name, reason)

    async def _post(self, url: str, name: str, payload: bytes) -> Any:
        if self._client is None:
            # Imported when a policy has a scorer: it doubles the time that the process takes to start.
            import httpx

            # Proxies of the environment are for the outer world; a scorer is named by its own address.
            limits = httpx.Limits(max_connections=_PARALLEL, max_keepalive_connections=_PARALLEL)
            self._client = httpx.AsyncClient(timeout=self._seconds, limits=limits, trust_env=False)
        headers = {"content-type": "application/json", "x-mirrorgate-guardrail": name}
        async with self._client.stream("POST", url, content=payload, headers=headers) as response:
            if response.status_code != 200:
                raise ScorerError(f"status {response.status_code}")
            body = b""
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _LARGEST:
                    raise ScorerError(f"an answer of more than {_LARGEST} bytes")
        try:
            value = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ScorerError(f"not JSON: {error}") from error
        if not isinstance(value, dict) or "score" not in value:
            raise ScorerError("an answer without a score")
        return value["score"]

    async def _call(self, entry_point: str, name: str, payload: bytes) -> Any:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scoring")
        future = self._thread.submit(self._called, entry_point, name, payload)
        return await asyncio.wrap_future(future)

    def _called(self, entry_point: str, name: str, payload: bytes) -> Any:
        """Call the user's function. In a thread of its own, where it can hold up other functions only."""
        try:
            function = self._functions.get(entry_point)
            if function is None:
                module, _, attribute = entry_point.partition(":")
                function = self._functions[entry_point] = getattr(importlib.import_module(module), attribute)
            return function(msgspec.json.decode(payload))
        except BaseException as error:
            # A function that calls sys.exit() must not end the process.
            raise ScorerError(f"{type(error).__name__}: {error}") from error


def _score_of(value: Any) -> float:
    """Return a scorer's answer as a number from 0 to 1; what does not apply to a pair is a tie."""
    if value is None:
        return 0.5
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ScorerError("a score must be a number from 0 to 1, or null")
    return float(value)
