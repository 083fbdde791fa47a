"""The live verdicts: one ledger for each candidate, fed in the order of arrival, journalled step by step.

Each step is applied and then written, by the same code that the report reads it with. What survives a crash is the
last checkpoint: in the journal's folder where there is one, in the proxy's memory otherwise. Pairs that came after it
are lost with the process, live and in the report alike, and none counts twice.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ..comparison.ledger import Ledger
from ..comparison.losses import losses_of
from ..comparison.pairs import PairComparison
from ..comparison.steps import Advanced, Dropped, Latencies, Observed, Opened, decode_step, encode_step
from ..comparison.verdict import Decision
from ..comparison.verdict_document import document_of
from ..comparison.worst_pairs import WorstPairs, worst_pair_of
from ..records import Configure, FromShadow, RestoreVerdicts, VerdictChanged
from .basis import Judging, judging_of
from .checkpoint import Checkpoint
from .journal import Journal
from .judging import Drops, Scored, Settled
from .recording import RecordParts
from .scoring import Question, Scorers, is_scorable, question_of

__all__ = ["VerdictSink"]

logger = logging.getLogger(__name__)

_MOST_CLUSTERS: Final = 256
"""Candidates whose evidence is held; the one without news for longest gives way."""
_EVERY: Final = 1.0
"""Seconds between two reports on a cluster whose decision has not changed, and between two checkpoints."""
_LATEST_ARRIVAL: Final = 5.0
"""Seconds that a request may wait in the proxy before it is handed off: while nothing arrives, conversations are closed
that much later."""

_CUT: Final = "cut"
"""Why a pair is not compared whose leg was ended by us."""
_LATEST_END: Final = 900.0
"""Seconds after which no exchange is under way any more that began before what is compared changed."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What a pair is committed with."""

    judging: Judging
    observed: Observed
    """Without a ledger and a number, which it gets when it is committed."""
    cut: bool = False
    """Whether the leg was ended by us, and not for its client: the pair says nothing and was not compared."""


@dataclass(slots=True, eq=False)
class _Candidate:
    """The ledger of one mirror, and what was told of it."""

    ledger: Ledger
    file: int = -1
    """`Journal.files` when the ledger was opened in it; any other number means that it is to be opened there."""
    news: bool = True
    """Whether anything changed since the proxy was told."""
    told: float = float("-inf")
    decision: Decision | None = None
    """What the proxy was told; `None` before the first time."""


class VerdictSink:
    """A `PairSink`: everything runs in the worker thread, except `ask`."""

    def __init__(self, now: Callable[[], float], clock: Callable[[], float], run: str) -> None:
        """`now` is Unix time, `clock` is monotonic; `run` names this life of the process."""
        self._now = now
        self._clock = clock
        self._run = run
        self._journal: Journal | None = None
        self._checkpoint: Checkpoint | None = None
        self._saved = float("-inf")
        self._unsaved = False
        self._candidates: dict[str, _Candidate] = {}
        self._shown: dict[tuple[str, str], WorstPairs] = {}
        """Of what is compared by mirror and identity, until its first pair is committed."""
        self._drops: dict[str, Counter[str]] = {}
        """Of clusters that have no ledger yet."""
        self._scorers = Scorers()

    # Options and the past

    def configure(self, configure: Configure, journal: Journal | None) -> None:
        self._journal = journal
        folder = Path(configure.journal) if configure.journal else None
        checkpoint = self._checkpoint
        if checkpoint is not None and checkpoint.folder == folder:
            return
        for candidate in self._candidates.values():
            candidate.file, candidate.news = -1, True
        if checkpoint is not None:
            checkpoint.close()
        self._checkpoint = None if folder is None else Checkpoint(folder)
        self._unsaved = bool(self._candidates)
        if self._checkpoint is not None:
            self._restore(self._checkpoint.load())

    def restore(self, frame: RestoreVerdicts) -> None:
        self._restore(frame.states)

    def _restore(self, states: Sequence[bytes]) -> None:
        """Take ledgers up that are further than ours, or of candidates that we know nothing of."""
        for state in states:
            try:
                step = decode_step(state)
                if not isinstance(step, Opened):
                    raise ValueError("not a ledger's state")
                ledger = Ledger.restored(step, max(step.epoch + 1, int(self._now() * 1000.0)))
            except ValueError as error:
                logger.warning("evidence of a former process cannot be taken up: %s", error)
                continue
            mirror = ledger.basis.mirror
            known = self._candidates.get(mirror)
            if known is None or (known.ledger.id == ledger.id and known.ledger.number < ledger.number):
                self._candidates[mirror] = _Candidate(ledger)

    # Pairs

    def score(self, parts: RecordParts, comparison: PairComparison, control: PairComparison | None) -> Scored:
        pair = parts.pair
        target, started = pair.target, pair.started
        judging = judging_of(target.cluster, target.policy, target.subject)
        losses = losses_of(comparison, judging.slo, control=control)
        if losses and not is_scorable(comparison):
            losses |= dict.fromkeys(judging.scorers, 0.0)
        losses = {name: difference for name, difference in losses.items() if name in judging.names}
        observed = Observed(
            ledger="",
            epoch=0,
            number=0,
            mirror=target.cluster,
            sequence=pair.sequence,
            id=started.id,
            at=started.started,
            conversation=parts.conversation,
            outcome=parts.outcome,
            similarity=parts.similarity,
            losses=losses,
            latencies=_latencies(comparison, control) if comparison.scored else {},
        )
        question = None
        if judging.scorers and comparison.scored and is_scorable(comparison):
            question = question_of(parts, judging.scorers)
        cut = comparison.primary.scored and not comparison.candidate.scored
        return Scored(_Evidence(judging, observed, cut), judging.identity, losses, question)

    def show(self, scored: Scored, record: bytes) -> None:
        evidence = scored.value
        assert isinstance(evidence, _Evidence)
        observed = evidence.observed
        worst = self._worst(observed.mirror, scored.identity)
        if worst.wants(observed.losses, observed.similarity):
            pair = worst_pair_of(msgspec.json.decode(record), observed.losses)
            if pair is not None:
                worst.take(pair)

    def _worst(self, mirror: str, identity: str) -> WorstPairs:
        candidate = self._candidates.get(mirror)
        if candidate is not None and candidate.ledger.identity == identity:
            return candidate.ledger.worst
        if len(self._shown) >= _MOST_CLUSTERS:
            self._shown.pop(next(iter(self._shown)))
        return self._shown.setdefault((mirror, identity), WorstPairs())

    async def ask(self, settled: Settled, question: object) -> Settled:
        evidence = settled.score
        assert isinstance(evidence, _Evidence)
        assert isinstance(question, Question)
        answers = await self._scorers.ask(question)
        observed = msgspec.structs.replace(
            evidence.observed,
            losses=evidence.observed.losses | answers.losses,
            scorer_failures=answers.failures,
        )
        score = _Evidence(evidence.judging, observed)
        return Settled(settled.sequence, settled.id, settled.cluster, settled.outcome, score)

    async def stop(self) -> None:
        await self._scorers.close()

    def commit(self, cluster: str, settled: Sequence[Settled]) -> Sequence[FromShadow]:
        for each in settled:
            if isinstance(each.score, _Evidence):
                self._commit(each.score)
        candidate = self._candidates.get(cluster)
        return () if candidate is None else list(self._told(candidate))

    def _commit(self, evidence: _Evidence) -> None:
        observed = evidence.observed
        candidate = self._candidate(evidence.judging, observed.at)
        if candidate is not None and evidence.cut:
            self._drop(candidate, {_CUT: 1})
        elif candidate is not None:
            ledger = candidate.ledger
            self._take(
                candidate,
                msgspec.structs.replace(observed, ledger=ledger.id, epoch=ledger.epoch, number=ledger.number + 1),
            )

    def _candidate(self, judging: Judging, at: float) -> _Candidate | None:
        """Return the candidate that a pair is evidence about, `None` for one of a comparison that is over.

        When what is compared changes, exchanges that began before are still under way. They must not turn the
        evidence back.
        """
        mirror = judging.basis.mirror
        known = self._candidates.get(mirror)
        if known is not None:
            if known.ledger.identity == judging.identity:
                return known
            if known.ledger.since - _LATEST_END < at < known.ledger.since:
                return None
        ledger = Ledger(uuid.uuid4().hex, judging.basis, at)
        ledger.worst = self._shown.pop((mirror, judging.identity), ledger.worst)
        candidate = self._candidates[mirror] = _Candidate(ledger)
        if known is not None:
            candidate.told, candidate.decision = known.told, known.decision
        if len(self._candidates) > _MOST_CLUSTERS:
            del self._candidates[min(self._candidates, key=lambda name: self._candidates[name].ledger.updated)]
        self._drop(candidate, self._drops.pop(mirror, Counter()))
        return candidate

    # What is not pairs

    def tick(self, drops: Drops, busy: Collection[str]) -> Sequence[FromShadow]:
        for mirror, reasons in drops.items():
            candidate = self._candidates.get(mirror)
            if candidate is not None:
                self._drop(candidate, reasons)
            elif mirror in self._drops or len(self._drops) < _MOST_CLUSTERS:
                self._drops.setdefault(mirror, Counter()).update(reasons)
        watermark = self._now() - _LATEST_ARRIVAL
        for mirror, candidate in self._candidates.items():
            ledger = candidate.ledger
            if mirror not in busy and ledger.due(watermark):
                self._take(candidate, Advanced(ledger.id, ledger.epoch, ledger.number + 1, mirror, watermark))
        messages = [message for candidate in self._candidates.values() for message in self._told(candidate)]
        checkpoint = self._checkpoint
        due = self._unsaved and self._clock() - self._saved >= _EVERY
        if due and checkpoint is not None and not checkpoint.busy:
            self._save()
        return messages

    def _drop(self, candidate: _Candidate, reasons: Mapping[str, int]) -> None:
        counts = {reason: count for reason, count in reasons.items() if count > 0}
        ledger = candidate.ledger
        if counts:
            mirror = ledger.basis.mirror
            step = Dropped(ledger.id, ledger.epoch, ledger.number + 1, mirror, self._now(), counts)
            self._take(candidate, step)

    def close(self) -> None:
        if self._checkpoint is not None:
            self._save()
            self._checkpoint.close()
            self._checkpoint = None

    # Keeping and telling

    def _take(self, candidate: _Candidate, step: Observed | Dropped | Advanced) -> None:
        journal = self._journal
        if journal is not None and candidate.file != journal.files:
            self._open(candidate, journal)
        candidate.ledger.apply(step)
        candidate.news = self._unsaved = True
        if journal is None:
            return
        if not journal.append(encode_step(step), count=0):
            # What the disk did not take is in the state that is written when it can be written again.
            candidate.file = -1
        elif candidate.file != journal.files:
            self._open(candidate, journal)

    def _open(self, candidate: _Candidate, journal: Journal) -> None:
        """Write what the ledger holds, so that each file can be read by itself."""
        opened = encode_step(candidate.ledger.opened(self._run, self._now()))
        candidate.file = journal.files if journal.append(opened, count=0) else -1

    def _told(self, candidate: _Candidate) -> Iterator[FromShadow]:
        """Yield what the proxy is told now: at once when the decision changed, else about every second."""
        if not candidate.news:
            return
        now = self._clock()
        decision = candidate.ledger.decision
        if decision is candidate.decision and now - candidate.told < _EVERY:
            return
        candidate.news, candidate.told, candidate.decision = False, now, decision
        kept = self._checkpoint is not None and self._checkpoint.working
        state = b"" if kept else encode_step(candidate.ledger.opened(self._run, self._now()))
        document = msgspec.json.encode(document_of([candidate.ledger]))
        yield VerdictChanged(candidate.ledger.basis.mirror, document, state)

    def _save(self) -> None:
        if self._checkpoint is not None:
            self._unsaved, self._saved = False, self._clock()
            now = self._now()
            self._checkpoint.save(encode_step(each.ledger.opened(self._run, now)) for each in self._candidates.values())


def _latencies(comparison: PairComparison, control: PairComparison | None) -> dict[str, Latencies]:
    """Return the latencies of the answers that a client could use: a failure is quick and would flatter."""
    sides = {"primary": comparison.primary, "candidate": comparison.candidate}
    if control is not None and control.scored:
        sides["control"] = control.candidate
    return {leg: (side.ttft, side.itl_mean, side.e2e) for leg, side in sides.items() if side.ok}
