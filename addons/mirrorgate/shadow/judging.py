"""The seams between the pipeline and what is made of a pair: a comparison, a journal record, evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..comparison.pairs import PairComparison
from ..records import Compared, Configure, FromShadow
from .pairing import Pair

__all__ = ["Judge", "Judged", "PairSink", "Settled"]


@dataclass(frozen=True, slots=True)
class Settled:
    """A judged pair as it is committed, in the order of arrival of its cluster. Small: thousands may wait."""

    sequence: int
    """`Pair.sequence`."""
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

    def score(self, pair: Pair, comparison: PairComparison, control: PairComparison | None) -> object | None:
        """Reduce a comparison to what the evidence needs, as soon as it is known; `None` leaves the pair out.

        `control` compares the primary with the primary asked again, `None` without a control arm.
        """

    def commit(self, cluster: str, settled: Sequence[Settled]) -> Sequence[FromShadow]:
        """Take pairs in the order in which their exchanges arrived; what is returned is sent to the proxy."""

    def close(self) -> None:
        """Save what is to survive the process; nothing is called afterwards."""


class Judge(Protocol):
    """What the pipeline's worker thread calls, in order and never at once."""

    def configure(self, configure: Configure) -> None:
        """Take new options."""

    def judge(self, pair: Pair) -> Judged:
        """Compare, and write the journal record."""

    def commit(self, cluster: str, settled: Sequence[Settled]) -> Sequence[FromShadow]:
        """Take pairs in the order in which their exchanges arrived; what is returned is sent to the proxy."""

    def journal_counts(self) -> tuple[int, int]:
        """Return records written and records lost."""

    def close(self) -> None:
        """Flush; nothing is called afterwards."""
