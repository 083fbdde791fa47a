"""The load model: how many requests run, who waits, how full the KV cache is, what the prefix cache holds."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .asks import Ask
from .behaviour import Behaviour, Defect
from .generation import digest

__all__ = ["Engine", "EngineBusy", "Sequence"]


class EngineBusy(Exception):
    """As many requests wait as may."""


@dataclass(slots=True, eq=False)
class Sequence:
    """A request that runs or waits. Times are the event loop's."""

    prompt_tokens: int
    adapter: str
    words: tuple[str, ...] = field(repr=False)
    """Adapter and prompt, for the prefix cache."""
    arrived: float
    admitted: asyncio.Future[None] = field(repr=False)
    cached_tokens: int = 0
    """Of the prompt, found in the prefix cache."""
    generated: int = 0
    started: float | None = None
    first_token: float | None = None
    last_token: float | None = None

    @property
    def tokens(self) -> int:
        """Tokens that it holds in the KV cache."""
        return self.prompt_tokens + self.generated

    @property
    def decode_time(self) -> float:
        """Seconds from the first token to the last."""
        if self.first_token is None or self.last_token is None:
            return 0.0
        return self.last_token - self.first_token


class Engine:
    """Runs up to `max_num_seqs` requests; the others wait, first in first out."""

    def __init__(self, behaviour: Callable[[], Behaviour], changed: Callable[[], None] = lambda: None) -> None:
        self._behaviour = behaviour
        self._changed = changed
        """Called when a request comes, runs or goes."""
        self._running: list[Sequence] = []
        self._waiting: deque[Sequence] = deque()
        self._prefixes: OrderedDict[int, None] = OrderedDict()
        self.finished: list[tuple[Sequence, str]] = []
        """What ended since the last `take_finished`, with its reason, for the histograms."""
        self.totals: Counter[str] = Counter()
        """Prompt, generation, prefix and rejection counts since the start."""

    @property
    def running(self) -> int:
        """Requests that run."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def kv_cache_usage(self) -> float:
        """Share of the KV cache that running requests hold, in [0, 1]."""
        return min(1.0, sum(each.tokens for each in self._running) / self._behaviour().kv_cache_tokens)

    @property
    def running_adapters(self) -> tuple[str, ...]:
        """Adapters of the running requests, in the order in which they came."""
        return tuple(dict.fromkeys(each.adapter for each in self._running if each.adapter))

    @property
    def waiting_adapters(self) -> tuple[str, ...]:
        """Adapters of the waiting requests, in the order in which they came."""
        return tuple(dict.fromkeys(each.adapter for each in self._waiting if each.adapter))

    @contextmanager
    def place(self, ask: Ask) -> Iterator[Sequence]:
        """Hold a place, or a place in the queue, while the body runs; `Sequence.admitted` is done when it runs.

        Raises `EngineBusy` at once when too many wait. Whoever leaves gives the place to the next.
        """
        behaviour = self._behaviour()
        loop = asyncio.get_running_loop()
        adapter = ask.model if ask.model in behaviour.adapters else ""
        words = tuple(f"{adapter} {ask.system} {ask.prompt}".split())
        sequence = Sequence(ask.prompt_tokens, adapter, words, loop.time(), loop.create_future())
        limit = behaviour.max_num_queued_reqs
        self._waiting.append(sequence)
        self.admit()
        self._changed()
        if sequence.started is None and limit is not None and len(self._waiting) > limit:
            self._waiting.remove(sequence)
            self.totals["rejections"] += 1
            raise EngineBusy
        try:
            yield sequence
        finally:
            (self._waiting if sequence.started is None else self._running).remove(sequence)
            self.admit()
            self._changed()

    def admit(self) -> None:
        """Start whatever now fits. Called on every arrival and departure, and when the limits change."""
        behaviour = self._behaviour()
        while self._waiting and len(self._running) < behaviour.max_num_seqs:
            first = self._waiting[0]
            held = sum(each.tokens for each in self._running)
            if self._running and held + first.prompt_tokens > behaviour.kv_cache_tokens:
                return
            self._waiting.popleft()
            self._running.append(first)
            first.started = asyncio.get_running_loop().time()
            self._prefill(first)
            if not first.admitted.done():
                first.admitted.set_result(None)

    def first_token_delay(self, sequence: Sequence) -> float:
        """Seconds from the start of its run to its first token."""
        behaviour = self._behaviour()
        uncached = sequence.prompt_tokens - sequence.cached_tokens
        factor = 3.0 if behaviour.has(Defect.SLOW) else 1.0
        return factor * (behaviour.ttft + behaviour.prefill * uncached)

    def token_interval(self) -> float:
        """Seconds between two tokens."""
        behaviour = self._behaviour()
        return behaviour.itl * (3.0 if behaviour.has(Defect.SLOW) else 1.0)

    def generated(self, sequence: Sequence, tokens: int = 1) -> None:
        """Count tokens that went out."""
        now = asyncio.get_running_loop().time()
        sequence.generated += tokens
        sequence.last_token = now
        if sequence.first_token is None:
            sequence.first_token = now
        self.totals["generation_tokens"] += tokens

    def finish(self, sequence: Sequence, reason: str) -> None:
        """Count a request that ended by itself; one whose client left is not counted, as in vLLM."""
        self.finished.append((sequence, reason))

    def take_finished(self) -> list[tuple[Sequence, str]]:
        """Return what ended since the last call, and forget it."""
        taken, self.finished = self.finished, []
        return taken

    def _prefill(self, sequence: Sequence) -> None:
        """Look the prompt up in the prefix cache, block by block, and put it in."""
        behaviour = self._behaviour()
        words = sequence.words
        key, hits, missed = 0, 0, False
        for start in range(0, len(words) - behaviour.block_size + 1, behaviour.block_size):
            key = digest(key, *words[start : start + behaviour.block_size])
            missed = missed or key not in self._prefixes
            hits += 0 if missed else behaviour.block_size
            self._prefixes[key] = None
            self._prefixes.move_to_end(key)
        while len(self._prefixes) > behaviour.kv_cache_tokens // behaviour.block_size:
            self._prefixes.popitem(last=False)
        sequence.cached_tokens = min(hits, max(0, sequence.prompt_tokens - 1))
        self.totals["prompt_tokens"] += sequence.prompt_tokens
        self.totals["prefix_cache_queries"] += sequence.prompt_tokens
        self.totals["prefix_cache_hits"] += sequence.cached_tokens
