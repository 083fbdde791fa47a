"""The ledgers of one or more journals, from their steps, whatever a crash or a lost file has left of them.

Steps of one ledger are numbered and carry its epoch, so that each counts once, a step that is missing shows, and
what a process wrote but could not keep is left out as it was live. Steps of several replicas may be mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from .judging import combined
from .ledger import Ledger
from .steps import Advanced, Basis, Dropped, Observed, Opened, Step, identity_of
from .verdict import Verdict, VerdictPolicy
from .worst_pairs import WorstPairs, worst_pair_of

__all__ = ["LedgerBook", "newest_of", "verdict_of"]


_MOST_EARLY: Final = 64
"""Steps of one ledger that wait for its opening."""


class LedgerBook:
    """Ledgers by id. Damage is counted and never raised."""

    def __init__(
        self,
        *,
        policy: Callable[[Basis], VerdictPolicy] | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> None:
        """Read as it was live, or judge anew: by another `policy`, or over the pairs that arrived in a span of time.

        Judging anew starts at the first step that is there, since what an opening step holds was gathered by other
        rules.
        """
        self.ledgers: dict[str, Ledger] = {}
        self.missing = 0
        """Steps that were taken live and are not in what was read."""
        self.carried = 0
        """Steps that are not in what was read, but whose sum an opening step holds."""
        self._unfit = 0
        self._unopened: dict[tuple[str, int], list[Observed | Dropped | Advanced]] = {}
        """Steps by ledger and epoch whose opening was not read yet: of a file that is begun it is the second line."""
        self._worst: dict[tuple[str, str], WorstPairs] = {}
        self._identities: dict[str, str] = {}
        """Of the ledgers as they were opened, by ledger."""
        self._policy = policy
        self._since = since
        self._until = until
        self._anew = policy is not None or since is not None or until is not None

    def take(self, step: Step) -> None:
        """Take the next step of a journal."""
        try:
            if isinstance(step, Opened):
                self._open(step)
            else:
                self._apply(step)
        except ValueError:
            self._unfit += 1

    @property
    def unreadable(self) -> int:
        """Steps that cannot be taken: what their ledger held before is lost, or of another version."""
        return self._unfit + sum(map(len, self._unopened.values()))

    def show(self, record: Mapping[str, Any]) -> None:
        """Take an exchange's record, which may hold one of the worst pairs."""
        mirror, identity = record.get("mirror"), record.get("identity")
        losses, similarity = record.get("losses"), record.get("similarity")
        if not (isinstance(mirror, str) and isinstance(identity, str) and isinstance(losses, dict)):
            return
        at = record.get("started")
        if not isinstance(similarity, float | None) or not isinstance(at, float | int) or self._outside(at):
            return
        # A pair's record is written before its step, so that its ledger may not be open yet.
        if not all(isinstance(value, float | int) for value in losses.values()):
            return
        worst = self._worst.setdefault((mirror, identity), WorstPairs())
        if worst.wants(losses, similarity) and (pair := worst_pair_of(record, losses)) is not None:
            worst.take(pair)

    def groups(self) -> dict[str, list[Ledger]]:
        """Return the ledgers by mirror: of each the latest basis, from all replicas that gathered evidence for it."""
        newest: dict[str, Ledger] = {}
        for ledger in self.ledgers.values():
            for pair in self._worst.get((ledger.basis.mirror, self._identities[ledger.id]), WorstPairs()).all():
                ledger.worst.take(pair)
            known = newest.get(ledger.basis.mirror)
            if known is None or ledger.updated >= known.updated:
                newest[ledger.basis.mirror] = ledger
        return {
            mirror: [each for each in self.ledgers.values() if each.identity == latest.identity]
            for mirror, latest in newest.items()
        }

    def _open(self, step: Opened) -> None:
        ledger = self.ledgers.get(step.ledger)
        self._identities.setdefault(step.ledger, identity_of(step.basis))
        early = self._early(step)
        if self._anew:
            self._open_anew(step, ledger, early)
            return
        if ledger is not None and step.epoch < ledger.epoch:
            return
        if ledger is not None and step.epoch == ledger.epoch and step.state.number <= ledger.number:
            return
        known = 0 if ledger is None else ledger.number
        self.carried += max(0, step.state.number - known - len(early))
        self.ledgers[step.ledger] = Ledger.restored(step)

    def _open_anew(self, step: Opened, ledger: Ledger | None, early: Sequence[Observed | Dropped | Advanced]) -> None:
        if ledger is not None and step.epoch <= ledger.epoch:
            return
        if ledger is None:
            basis = step.basis
            if self._policy is not None:
                basis = Basis(basis.mirror, basis.mode, self._policy(basis), basis.subject, basis.rules)
            ledger = self.ledgers[step.ledger] = Ledger(step.ledger, basis, step.at)
        ledger.epoch, ledger.number = step.epoch, step.state.number - len(early)
        for each in early:
            self._apply(each)

    def _early(self, opened: Opened) -> list[Observed | Dropped | Advanced]:
        """Return the steps right before an opening that it holds the sum of; others of its past were lost live too."""
        early = self._unopened.pop((opened.ledger, opened.epoch), [])
        for past in [key for key in self._unopened if key[0] == opened.ledger and key[1] < opened.epoch]:
            del self._unopened[past]
        first = opened.state.number - len(early) + 1
        fits = [each.number for each in early] == list(range(first, opened.state.number + 1))
        return early if fits else []

    def _apply(self, step: Observed | Dropped | Advanced) -> None:
        ledger = self.ledgers.get(step.ledger)
        if ledger is None or step.epoch > ledger.epoch:
            early = self._unopened.setdefault((step.ledger, step.epoch), [])
            if len(early) < _MOST_EARLY:
                early.append(step)
            else:
                self._unfit += 1
            return
        if (step.epoch, step.number) <= (ledger.epoch, ledger.number):
            return
        self.missing += step.number - ledger.number - 1
        if self._outside(step.at):
            ledger.number = step.number
        else:
            ledger.apply(step)

    def _outside(self, at: float) -> bool:
        return (self._since is not None and at < self._since) or (self._until is not None and at >= self._until)


def verdict_of(ledgers: Sequence[Ledger]) -> Verdict:
    """Return the verdict of one ledger, or over those of several replicas, whose evidence is added up."""
    if len(ledgers) == 1:
        return ledgers[0].verdict()
    parts = [(ledger.tallies(), ledger.coverage) for ledger in ledgers]
    return combined(ledgers[0].basis.policy, parts)


def newest_of(ledgers: Iterable[Ledger]) -> Ledger:
    """Return the ledger with the latest step."""
    return max(ledgers, key=lambda ledger: (ledger.updated, ledger.id))
