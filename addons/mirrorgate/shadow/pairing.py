"""The book of exchanges: which legs are under way, what the primary answered, and when a pair is complete.

Pure: `now` comes in. A timeout is an answer like any other. An exchange whose primary never reports, because it
outlasted every bound or the report was lost, is given up after its deadline and counted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from ..records import ExchangeFinished, ExchangeStarted, Leg, Target
from .answering import Answer

__all__ = ["PRIMARY_GRACE", "Exchange", "ExchangeBook", "Pair"]

PRIMARY_GRACE: Final = 300.0
"""Seconds beyond the longest leg's timeout that a primary may take before its exchange is given up."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Both answers to one request, with the control's where one was asked for."""

    sequence: int
    """The exchange's place in the order of arrival, counted from 1."""
    started: ExchangeStarted
    finished: ExchangeFinished
    index: int
    """The candidate's index in `started.targets`."""
    answer: Answer
    control_target: Target | None = None
    control: Answer | None = None

    @property
    def target(self) -> Target:
        return self.started.targets[self.index]


@dataclass(slots=True, eq=False)
class Exchange:
    """One exchange with at least one leg that was sent."""

    sequence: int
    started: ExchangeStarted
    deadline: float
    pending: set[int]
    """Targets whose answers are to come."""
    unpaired: set[int]
    """Candidates that are in no pair yet."""
    control: int | None
    answers: dict[int, Answer] = field(default_factory=dict)
    finished: ExchangeFinished | None = None


class ExchangeBook:
    """Exchanges by id, from the first leg's start to the last pair."""

    def __init__(self) -> None:
        self._exchanges: dict[str, Exchange] = {}
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._exchanges)

    def __contains__(self, id: str) -> bool:
        return id in self._exchanges

    def begin(self, started: ExchangeStarted, legs: Collection[int], now: float) -> Exchange:
        """Enter an exchange, with the indices of the targets that are sent.

        Raises ValueError for an id that is in the book, or without a leg: both are bugs of the caller.
        """
        if started.id in self._exchanges or not legs:
            raise ValueError(f"exchange {started.id} cannot begin")
        targets = started.targets
        candidates = {index for index in legs if targets[index].leg is Leg.CANDIDATE}
        controls = [index for index in legs if targets[index].leg is Leg.CONTROL]
        longest = max(targets[index].timeout for index in legs)
        self._sequence += 1
        exchange = Exchange(
            self._sequence,
            started,
            now + longest + PRIMARY_GRACE,
            set(legs),
            candidates,
            controls[0] if controls else None,
        )
        self._exchanges[started.id] = exchange
        return exchange

    def answer(self, id: str, index: int, answer: Answer) -> list[Pair]:
        """Enter the end of a leg and return the pairs that it completes; an unknown exchange changes nothing."""
        exchange = self._exchanges.get(id)
        if exchange is None or index not in exchange.pending:
            return []
        exchange.pending.discard(index)
        exchange.answers[index] = answer
        return self._ready(exchange)

    def finish(self, finished: ExchangeFinished) -> list[Pair]:
        """Enter the primary's answer and return the pairs that it completes; the first one counts."""
        exchange = self._exchanges.get(finished.id)
        if exchange is None or exchange.finished is not None:
            return []
        exchange.finished = finished
        return self._ready(exchange)

    def forget(self, id: str) -> Exchange | None:
        """Remove an exchange that is not to be compared, `None` when it is not in the book."""
        return self._exchanges.pop(id, None)

    def overdue(self, now: float) -> list[Exchange]:
        """Remove and return the exchanges that will not be complete any more."""
        late = [exchange for exchange in self._exchanges.values() if exchange.deadline <= now]
        for exchange in late:
            del self._exchanges[exchange.started.id]
        return late

    def clear(self) -> list[Exchange]:
        """Remove and return everything."""
        rest = list(self._exchanges.values())
        self._exchanges.clear()
        return rest

    def _ready(self, exchange: Exchange) -> list[Pair]:
        finished = exchange.finished
        if finished is None or (exchange.control is not None and exchange.control in exchange.pending):
            return []
        pairs: list[Pair] = []
        control = exchange.control
        for index in sorted(exchange.unpaired - exchange.pending):
            exchange.unpaired.discard(index)
            pairs.append(
                Pair(
                    exchange.sequence,
                    exchange.started,
                    finished,
                    index,
                    exchange.answers[index],
                    None if control is None else exchange.started.targets[control],
                    None if control is None else exchange.answers[control],
                )
            )
        if not exchange.unpaired and not exchange.pending:
            del self._exchanges[exchange.started.id]
        return pairs
