"""Journals read once, line by line, into a report; memory does not grow with their length."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from .. import __version__
from ..comparison.ledger_book import LedgerBook, newest_of
from ..comparison.steps import Observed, Opened, Step, identity_of
from ..shadow.journal_reading import Damaged, Record, StepLine, files_of, read
from .course import Course
from .entries import entry_of
from .report import SCHEMA, Damage, Reading, Report, overall
from .shadow_reports import shadow_report
from .tallies import PairTally
from .terms import ALL, DECLARED, Selection, Terms

__all__ = ["Reader", "UnknownGuardrails", "report_of"]

_MOST_DAMAGES: Final = 20
_MOST_SUBJECTS: Final = 256
"""Candidates and identities that are counted apart; of more of them a journal tells the verdict only."""
_LATEST: Final = 1e12
"""Unix time beyond which a moment is damage: it would put its journal behind all others."""
Line = Record | StepLine | Damaged


class UnknownGuardrails(ValueError):
    """Margins were given for guardrails that no candidate in the journal has."""


def report_of(paths: Sequence[Path], made: float, selection: Selection = ALL, terms: Terms = DECLARED) -> Report:
    """Read journals into a report; `made` is the Unix time of now.

    Never raises for what is in a file, only `UnknownGuardrails` for terms that fit nothing in it.
    """
    reader = Reader(selection, terms)
    for line in merged(paths):
        reader.take(line)
    return reader.report(paths, made)


def merged(paths: Sequence[Path]) -> Iterator[Line]:
    """Yield the lines of every journal, each in its own order and together about in the order of their time.

    Each folder is one stream. Evidence does not depend on how streams are mixed; the plots of its growth do.
    """
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path if path.is_dir() else path.parent, []).append(path)
    streams = [_timed(index, read(sorted(folder))) for index, folder in enumerate(folders.values())]
    for _, _, _, line in heapq.merge(*streams):
        yield line


def _timed(index: int, lines: Iterable[Line]) -> Iterator[tuple[float, int, int, Line]]:
    latest = float("-inf")
    for number, line in enumerate(lines):
        at: object = None
        if isinstance(line, StepLine):
            at = line.step.at
        elif isinstance(line, Record):
            at = line.value.get("started")
        if isinstance(at, float | int) and latest < at <= _LATEST:
            latest = float(at)
        yield latest, index, number, line


class Reader:
    """Takes lines of journals in any mixture."""

    def __init__(self, selection: Selection = ALL, terms: Terms = DECLARED) -> None:
        self._selection = selection
        self._terms = terms
        policy = terms.policy if terms.changed else None
        self._book = LedgerBook(policy=policy, since=selection.since, until=selection.until)
        self._tallies: dict[tuple[str, str], PairTally] = {}
        self._courses: dict[str, Course] = {}
        self._declared: dict[str, str] = {}
        """Of each ledger the identity that records name; other terms give the ledger another one."""
        self._early: dict[str, Step] = {}
        """By ledger the last step that was not taken."""
        self._exchanges = self._chosen = self._steps = self._damaged = 0
        self._damages: list[Damage] = []

    def take(self, line: Line) -> None:
        try:
            if isinstance(line, StepLine):
                self._take_step(line.step)
            elif isinstance(line, Damaged):
                self._damage(line)
            else:
                self._take_record(line)
        except OverflowError as error:
            # JSON's numbers have no bounds, those that are reckoned with do.
            self._damage(Damaged(line.file, line.line, f"a number is out of range: {error}"))

    def report(self, paths: Sequence[Path], made: float) -> Report:
        """Return the report over everything that was taken; raises `UnknownGuardrails`."""
        known = {each.name for ledger in self._book.ledgers.values() for each in ledger.basis.policy.guardrails}
        unknown = set(self._terms.margins) - known
        if unknown:
            names = ", ".join(sorted(known)) or "none"
            raise UnknownGuardrails(f"no guardrail {', '.join(sorted(unknown))}; there are {names}")
        shadows = tuple(
            shadow_report(
                ledgers,
                self._tallies.get((cluster, self._declared[newest_of(ledgers).id]), PairTally()),
                self._courses.get(ledgers[0].identity, Course()),
                [each for each in self._book.ledgers.values() if each.basis.mirror == cluster],
            )
            for cluster, ledgers in sorted(self._book.groups().items())
            if self._selection.takes(cluster)
        )
        verdict, reason = overall(shadows)
        return Report(SCHEMA, __version__, made, verdict, reason, self._reading(paths), shadows)

    def _take_step(self, step: Step) -> None:
        cluster = step.basis.mirror if isinstance(step, Opened) else step.mirror
        if not self._selection.takes(cluster):
            return
        if isinstance(step, Opened):
            self._declared.setdefault(step.ledger, identity_of(step.basis))
        self._steps += 1
        before = self._book.ledgers.get(step.ledger)
        number = -1 if before is None else before.number
        self._book.take(step)
        ledger = self._book.ledgers.get(step.ledger)
        if ledger is None or (ledger.epoch, ledger.number) != (step.epoch, _number(step)) or ledger.number == number:
            self._early[step.ledger] = step
            return
        # Behind a file's first step comes its ledger's opening, and only then it counts.
        early = self._early.pop(step.ledger, None) if isinstance(step, Opened) else step
        if isinstance(early, Observed) and early.number == ledger.number and self._selection.covers(early.at):
            self._tally(cluster, self._declared[step.ledger]).judge(early.losses)
        course = self._courses.get(ledger.identity)
        if course is None:
            course = self._courses[ledger.identity] = Course()
        course.after_step([each for each in self._book.ledgers.values() if each.identity == ledger.identity])

    def _take_record(self, record: Record) -> None:
        entry = entry_of(record)
        if isinstance(entry, Damaged):
            self._damage(entry)
            return
        self._exchanges += 1
        if not (self._selection.takes(entry.mirror) and self._selection.covers(entry.started)):
            return
        self._chosen += 1
        self._book.show(record.value)
        self._tally(entry.mirror, entry.identity).add(entry)

    def _tally(self, cluster: str, identity: str) -> PairTally:
        """Return the counts of one candidate; those of too many are counted together and shown nowhere."""
        key = (cluster, identity)
        if key not in self._tallies and len(self._tallies) >= _MOST_SUBJECTS:
            key = ("", "")
        found = self._tallies.get(key)
        if found is None:
            found = self._tallies[key] = PairTally()
        return found

    def _damage(self, damaged: Damaged) -> None:
        self._damaged += 1
        if len(self._damages) < _MOST_DAMAGES:
            self._damages.append(Damage(str(damaged.file), damaged.line, damaged.reason))

    def _reading(self, paths: Sequence[Path]) -> Reading:
        return Reading(
            journals=tuple(map(str, paths)),
            files=len(files_of(paths)),
            exchanges=self._exchanges,
            chosen=self._chosen,
            steps=self._steps,
            damaged=self._damaged,
            damages=tuple(self._damages),
            unreadable=self._book.unreadable,
            missing=self._book.missing,
            carried=self._book.carried,
            filters=self._selection.words(),
            changes=self._terms.words(),
        )


def _number(step: Step) -> int:
    return step.state.number if isinstance(step, Opened) else step.number
