"""The seams between the pipeline and what is made of a pair: a comparison, a journal record, evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..records import Compared, Configure
from .pairing import Pair

__all__ = ["Judge", "Judged", "PairSink", "Settled"]


@dataclass(frozen=True, slots=True)
class Settled:
    """A judged pair as it is committed, in the order of arrival of its cluster. Small: thousands may wait."""

    id: str
    cluster: str
    outcome: str
    """`Compared.outcome`."""
    score: object | None
    """What `PairSink.score` made of the pair; `None` when it scores neither side."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a pair."""

    compared: Compared
    settled: Settled


class PairSink(Protocol):
    """Where evidence is gathered. Called from one thread."""

    def score(self, pair: Pair, comparison: object) -> object | None:
        """Reduce a comparison to what the evidence needs, as soon as it is known; `None` leaves the pair out."""

    def commit(self, cluster: str, settled: Sequence[Settled]) -> None:
        """Take pairs in the order in which their exchanges arrived."""


class Judge(Protocol):
    """What the pipeline's worker thread calls, in order and never at once."""

    def configure(self, configure: Configure) -> None:
        """Take new options."""

    def judge(self, pair: Pair) -> Judged:
        """Compare, and write the journal record."""

    def commit(self, cluster: str, settled: Sequence[Settled]) -> None:
        """Take pairs in the order in which their exchanges arrived."""

    def journal_counts(self) -> tuple[int, int]:
        """Return records written and records lost."""

    def close(self) -> None:
        """Flush; nothing is called afterwards."""
