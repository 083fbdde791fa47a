"""The seams between the pipeline and what is made of a pair: a comparison, a journal record, evidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..comparison.pairs import PairComparison
from ..records import Compared, Configure, FromShadow, RestoreVerdicts
from .journal import Journal
from .pairing import Pair
from .recording import RecordParts

__all__ = ["Drops", "Judge", "Judged", "PairSink", "Scored", "Settled"]

Drops = Mapping[str, Mapping[str, int]]
"""Mirrored exchanges that are not compared: counts by reason, by the mirror's cluster."""


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
    """What the evidence is fed, of a kind that only its sink knows; `None` leaves the pair out."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a sink made of a comparison."""

    value: object | None = None
    """`Settled.score`."""
    identity: str = ""
    """What the pair is evidence about, for its record."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """Differences of losses by guardrail as far as they are known, for its record."""
    question: object | None = None
    """What is still to be asked of somebody else before the pair can be settled; `None` for nothing."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a pair."""

    compared: Compared
    settled: Settled
    question: object | None = None
    """`Scored.question`: with one, the pair is settled by `Judge.ask`."""


class PairSink(Protocol):
    """Where evidence is gathered. Called from one thread, save for `ask` and `stop`."""

    def configure(self, configure: Configure, journal: Journal | None) -> None:
        """Take new options and the journal that is written, `None` for none."""

    def restore(self, frame: RestoreVerdicts) -> None:
        """Go on from what a former process knew."""

    def score(self, parts: RecordParts, comparison: PairComparison, control: PairComparison | None) -> Scored:
        """Reduce a comparison to what the evidence needs, as soon as it is known.

        `control` compares the primary with the primary asked again, `None` without a control arm.
        """

    def show(self, scored: Scored, record: bytes) -> None:
        """Take a pair's record, with the content that its policy lets through."""

    async def ask(self, settled: Settled, question: object) -> Settled:
        """Wait for what a pair lacks; called in the event loop, bounded in time, never raises."""

    async def stop(self) -> None:
        """Ask nothing any more; called in the event loop, before `close`."""

    def commit(self, cluster: str, settled: Sequence[Settled]) -> Sequence[FromShadow]:
        """Take pairs in the order in which their exchanges arrived; what is returned is sent to the proxy."""

    def tick(self, drops: Drops, busy: Collection[str]) -> Sequence[FromShadow]:
        """Take what was dropped since the last call, about a second ago; `busy` are the clusters with pairs to come."""

    def close(self) -> None:
        """Save what is to survive the process; nothing is called afterwards."""


class Judge(Protocol):
    """What the pipeline calls: `ask` and `stop` in its event loop, the rest in its worker thread, never at once."""

    def configure(self, configure: Configure) -> None:
        """Take new options."""

    def restore(self, frame: RestoreVerdicts) -> None:
        """Go on from what a former process knew."""

    def judge(self, pair: Pair) -> Judged:
        """Compare, and write the journal record."""

    async def ask(self, judged: Judged) -> Settled:
        """Wait for what a pair with a question lacks; bounded in time, never raises."""

    async def stop(self) -> None:
        """Ask nothing any more; called in the event loop, before `close`."""

    def commit(self, cluster: str, settled: Sequence[Settled]) -> Sequence[FromShadow]:
        """Take pairs in the order in which their exchanges arrived; what is returned is sent to the proxy."""

    def tick(self, drops: Drops, busy: Collection[str]) -> Sequence[FromShadow]:
        """Take what was dropped since the last call, about a second ago; `busy` are the clusters with pairs to come."""

    def journal_counts(self) -> tuple[int, int]:
        """Return records written and records lost."""

    def close(self) -> None:
        """Flush; nothing is called afterwards."""
