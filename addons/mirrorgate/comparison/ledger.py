"""The ledger of one candidate: its judge, and beside it the counts and latencies that explain the verdict.

This is the one way from a record to a judge. The live sink makes a step, applies it and journals it; the report reads
the step back and applies it. There is no other way to change a ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from .evidence import Tally
from .judging import Judge
from .sketches import LatencySketch
from .steps import Advanced, Basis, Dropped, Latencies, LedgerState, Observed, Opened, identity_of
from .verdict import Coverage, Decision, Verdict
from .worst_pairs import WorstPairs

__all__ = ["LEGS", "Ledger"]

LEGS = ("primary", "candidate", "control")


class Ledger:
    """The evidence about one basis, gathered by one process after the other, never by two at once."""

    def __init__(self, id: str, basis: Basis, since: float, epoch: int = 0) -> None:
        """Start without evidence; raises `ValueError` when a margin is outside (0, 1)."""
        self.id = id
        self.basis = basis
        self.identity = identity_of(basis)
        self.epoch = epoch
        self.number = 0
        self.since = since
        self.updated = since
        self.outcomes: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.scorer_failures: Counter[str] = Counter()
        self.latencies = {leg: (LatencySketch(), LatencySketch(), LatencySketch()) for leg in LEGS}
        self.worst = WorstPairs()
        self._judge = Judge(basis.policy, self.identity)

    @classmethod
    def restored(cls, opened: Opened, epoch: int | None = None) -> Ledger:
        """Go on from what an opening step holds, in an `epoch` of its own where another process does so.

        Raises `ValueError` when the state does not fit its basis.
        """
        state = opened.state
        ledger = cls(opened.ledger, opened.basis, state.since, opened.epoch if epoch is None else epoch)
        judge, fitted = Judge.restored(opened.basis.policy, ledger.identity, msgspec.json.encode(state.judge))
        if not fitted:
            raise ValueError("the evidence is not of this basis")
        ledger._judge = judge
        ledger.number, ledger.updated = state.number, state.updated
        ledger.outcomes.update(state.outcomes)
        ledger.dropped.update(state.dropped)
        ledger.scorer_failures.update(state.scorer_failures)
        for leg in LEGS:
            for mine, held in zip(ledger.latencies[leg], state.latencies.get(leg, ()), strict=False):
                mine.merge(held)
        ledger.worst = WorstPairs(state.worst)
        return ledger

    def opened(self, run: str, at: float) -> Opened:
        """Return the step that holds everything so far."""
        state = LedgerState(
            number=self.number,
            since=self.since,
            updated=self.updated,
            judge=self._judge.state(),
            outcomes=dict(self.outcomes),
            dropped=dict(self.dropped),
            scorer_failures=dict(self.scorer_failures),
            latencies=dict(self.latencies),
            worst=self.worst.all(),
        )
        return Opened(self.id, self.epoch, run, at, self.basis, state)

    def apply(self, step: Observed | Dropped | Advanced) -> None:
        """Take the next step. Its number becomes the ledger's; whether it is the next one is the caller's to know."""
        self.number = step.number
        self.updated = max(self.updated, step.at)
        if isinstance(step, Observed):
            self._observe(step)
        elif isinstance(step, Dropped):
            self.dropped.update(step.reasons)
            self._judge.drop(sum(step.reasons.values()))
        else:
            self._judge.advance(step.at)

    def _observe(self, step: Observed) -> None:
        self.outcomes[step.outcome] += 1
        self.scorer_failures.update(step.scorer_failures)
        for leg, latencies in step.latencies.items():
            self._count(leg, latencies)
        self._judge.observe(step.losses, step.at, step.conversation)

    def _count(self, leg: str, latencies: Latencies) -> None:
        for sketch, seconds in zip(self.latencies.get(leg, ()), latencies, strict=False):
            if seconds is not None:
                sketch.add(seconds)

    def due(self, watermark: float) -> bool:
        """Tell whether conversations are over by `watermark`, so that advancing changes something."""
        oldest = self._judge.oldest_window
        return oldest is not None and oldest + self.basis.policy.conversation_seconds <= watermark

    @property
    def windows(self) -> int:
        """Conversations that are open, whose turns are not in the evidence yet."""
        return self._judge.windows

    @property
    def coverage(self) -> Coverage:
        return self._judge.coverage

    @property
    def decision(self) -> Decision:
        """The decision now, without what explains it."""
        return self._judge.decision[0]

    def verdict(self) -> Verdict:
        """Return the verdict now."""
        return self._judge.verdict()

    def tallies(self) -> Mapping[str, Tally]:
        """Return what is known of each guardrail, to be added up over replicas."""
        return self._judge.tallies()
