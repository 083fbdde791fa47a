"""Make of a pair what people and the verdict need: a comparison, a line, a journal record, a score.

The one place that calls `inference` and `comparison` for both answers. It runs in the shadow process's worker thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import secrets
import uuid
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

import msgspec

from ..comparison.pairs import PairComparison, compare
from ..comparison.policy import ComparisonPolicy
from ..comparison.summaries import details_of, numbers_of, summary_of
from ..inference.apis import Api, api_of
from ..inference.assembling import assemble
from ..inference.completions import Completion
from ..inference.requests import InferenceRequest, parse_request
from ..records import (
    Compared,
    Configure,
    ExchangeFinished,
    ExchangeStarted,
    FromShadow,
    Headers,
    RestoreVerdicts,
    Target,
)
from .answering import Answer, LegOutcome
from .journal import Journal
from .judging import Drops, Judged, PairSink, Scored, Settled
from .pairing import Pair
from .policy import Policy, policy_of
from .recording import Content, LegView, RecordParts, closed_word, record_of

__all__ = ["Comparer", "NoEvidence", "candidate_completion", "primary_completion"]

_KEY_FILE: Final = ".hash-key"
_KEY_BYTES: Final = 32
_REPORTED_LIMIT: Final = 512 * 1024
"""Bytes of a record that is sent to the proxy with its content; of a larger one the numbers are."""
_SUMMARY_LIMIT: Final = 500


class NoEvidence:
    """A sink for where no verdict is asked for."""

    def configure(self, configure: Configure, journal: Journal | None) -> None:
        return

    def restore(self, frame: RestoreVerdicts) -> None:
        return

    def score(self, parts: RecordParts, comparison: PairComparison, control: PairComparison | None) -> Scored:
        return Scored()

    def show(self, scored: Scored, record: bytes) -> None:
        return

    async def ask(self, settled: Settled, question: object) -> Settled:
        return settled

    async def stop(self) -> None:
        return

    def commit(self, cluster: str, settled: Sequence[Settled]) -> Sequence[FromShadow]:
        return ()

    def tick(self, drops: Drops, busy: Collection[str]) -> Sequence[FromShadow]:
        return ()

    def close(self) -> None:
        return


class Comparer:
    """The judge of the shadow process. Used from one thread."""

    def __init__(self, now: Callable[[], float], sink: PairSink | None = None, run: str | None = None) -> None:
        """`now` is Unix time, `run` names this life of the process."""
        self._now = now
        self._sink: PairSink = sink if sink is not None else NoEvidence()
        self._run = run or uuid.uuid4().hex
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._journal: Journal | None = None
        self._past = (0, 0)

    def configure(self, configure: Configure) -> None:
        """Open, move or close the journal as the options say."""
        journal = self._journal
        folder = Path(configure.journal) if configure.journal else None
        if journal is not None and folder == journal.folder:
            journal.max_bytes = max(1, configure.journal_max_bytes)
            journal.keep_bytes = max(0, configure.journal_keep_bytes)
        else:
            if journal is not None:
                self._past = self.journal_counts()
                self._journal = None
                journal.close()
            if folder is not None:
                self._journal = Journal(folder, configure.journal_max_bytes, configure.journal_keep_bytes, self._now)
                self._key = _hash_key(folder) or self._key
        self._sink.configure(configure, self._journal)

    def restore(self, frame: RestoreVerdicts) -> None:
        self._sink.restore(frame)

    def judge(self, pair: Pair) -> Judged:
        """Compare both answers, write the record, and score the pair."""
        started, target = pair.started, pair.target
        policy = policy_of(target.policy)
        request = _request_of(started)
        api = api_of(started.path) or api_of(target.path)
        primary = primary_completion(api, pair.finished)
        candidate = candidate_completion(api, pair.answer)
        rules = _rules(policy.ignore.json_paths, policy.ignore.headers)
        comparison = compare(
            primary,
            candidate,
            request,
            rules,
            primary_headers=pair.finished.headers,
            candidate_headers=pair.answer.headers,
        )
        control_view, control = None, None
        if pair.control is not None and pair.control_target is not None:
            again = candidate_completion(api, pair.control)
            control_view = _candidate_view(again, pair.control_target, pair.control, started)
            control = compare(primary, again, request, rules)
        summary = _one_line(summary_of(comparison))
        parts = RecordParts(
            pair=pair,
            request=request,
            primary=_primary_view(primary, started, pair.finished),
            candidate=_candidate_view(candidate, target, pair.answer, started),
            control=control_view,
            outcome=comparison.outcome.value,
            similarity=comparison.similarity,
            summary=summary,
            comparison=numbers_of(comparison),
            details=details_of(comparison),
            control_comparison=None if control is None else numbers_of(control),
            conversation=started.conversation if started.conversation != "" else _conversation_of(request),
        )
        scored = self._sink.score(parts, comparison, control)
        parts = msgspec.structs.replace(parts, identity=scored.identity, losses=dict(scored.losses))
        compared = Compared(
            id=started.id,
            cluster=target.cluster,
            outcome=comparison.outcome.value,
            similarity=comparison.similarity,
            summary=summary,
            record=self._recorded(parts, policy),
        )
        self._sink.show(scored, compared.record)
        settled = Settled(pair.sequence, started.id, target.cluster, compared.outcome, scored.value)
        return Judged(compared, settled, scored.question)

    async def ask(self, judged: Judged) -> Settled:
        return await self._sink.ask(judged.settled, judged.question)

    async def stop(self) -> None:
        await self._sink.stop()

    def commit(self, cluster: str, settled: Sequence[Settled]) -> Sequence[FromShadow]:
        return self._sink.commit(cluster, settled)

    def tick(self, drops: Drops, busy: Collection[str]) -> Sequence[FromShadow]:
        return self._sink.tick(drops, busy)

    def journal_counts(self) -> tuple[int, int]:
        written, lost = self._past
        if self._journal is not None:
            written, lost = written + self._journal.written, lost + self._journal.dropped
        return written, lost

    def close(self) -> None:
        self._sink.close()
        if self._journal is not None:
            self._journal.close()

    def _recorded(self, parts: RecordParts, policy: Policy) -> bytes:
        """Write the record and return what the proxy is sent of it."""
        try:
            record = record_of(parts, policy, Content(policy, self._key), self._run)
        except (ValueError, TypeError, OverflowError, RecursionError):
            # Some content has no JSON form that others could read, such as half of a surrogate pair.
            record = record_of(parts, policy, Content(Policy(), self._key), self._run)
        if self._journal is not None:
            self._journal.append(record)
        if len(record) > _REPORTED_LIMIT:
            record = record_of(parts, policy, Content(Policy(), self._key), self._run)
        return record


def primary_completion(api: Api | None, finished: ExchangeFinished) -> Completion:
    """Assemble the primary's answer; its times count from the moment at which its request was written."""
    return _worded(
        assemble(
            api,
            finished.status,
            _field(finished.headers, b"content-type"),
            _field(finished.headers, b"content-encoding"),
            finished.chunks,
            finished.times,
            finished.upstream_started,
            outcome=finished.outcome,
            truncated=finished.truncated,
        )
    )


def candidate_completion(api: Api | None, answer: Answer) -> Completion:
    """Assemble a leg's answer.

    One that is larger than what is kept of it is truncated; one that went on beyond every bound is cut, and so a
    failure of the candidate's.
    """
    whole = answer.outcome is LegOutcome.TOO_LARGE and not answer.detail
    return _worded(
        assemble(
            api,
            answer.status,
            _field(answer.headers, b"content-type"),
            _field(answer.headers, b"content-encoding"),
            answer.chunks,
            answer.times,
            answer.sent,
            outcome=(LegOutcome.COMPLETE if whole else answer.outcome).value,
            truncated=whole,
        )
    )


def _worded(completion: Completion) -> Completion:
    """Replace finish reasons that are no plain words: they are shown where no content may be."""
    if all(choice.finish_reason == closed_word(choice.finish_reason) for choice in completion.choices):
        return completion
    choices = tuple(
        dataclasses.replace(choice, finish_reason=closed_word(choice.finish_reason)) for choice in completion.choices
    )
    return dataclasses.replace(completion, choices=choices)


def _primary_view(completion: Completion, started: ExchangeStarted, finished: ExchangeFinished) -> LegView:
    return LegView(
        completion=completion,
        endpoint=started.endpoint,
        ref="",
        model=started.target_model,
        outcome=finished.outcome,
        truncated=finished.truncated,
        bytes=sum(map(len, finished.chunks)),
        connect=finished.upstream_started,
        head=finished.head_at - finished.upstream_started if finished.head_at else None,
        flag=finished.flag,
    )


def _candidate_view(completion: Completion, target: Target, answer: Answer, started: ExchangeStarted) -> LegView:
    return LegView(
        completion=completion,
        endpoint=f"{target.host}:{target.port}",
        ref=target.ref,
        model=target.model or started.target_model or started.model,
        outcome=answer.outcome.value,
        truncated=answer.size > answer.kept,
        bytes=answer.size,
        connect=answer.sent or None,
        head=answer.head_at - answer.sent if answer.head_at else None,
        detail=answer.detail,
    )


def _request_of(started: ExchangeStarted) -> InferenceRequest | None:
    """Read the client's request, `None` where its body streamed past or is none of an inference API."""
    if started.body is None:
        return None
    read = parse_request(started.method, started.path, _field(started.headers, b"content-type"), started.body)
    return read if isinstance(read, InferenceRequest) else None


def _conversation_of(request: InferenceRequest | None) -> str | None:
    return None if request is None else request.conversation


def _field(headers: Headers, name: bytes) -> str | None:
    """Return the first field of this lower-case name."""
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)


@functools.lru_cache(maxsize=256)
def _rules(json_paths: tuple[str, ...], headers: tuple[str, ...]) -> ComparisonPolicy:
    return ComparisonPolicy().ignoring(json_paths, headers)


def _one_line(text: str) -> str:
    """Return a summary that is safe in a log: one line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text[:_SUMMARY_LIMIT])


def _hash_key(folder: Path) -> bytes | None:
    """Return the folder's key for hashes, made when it is missing; `None` when the folder cannot hold one.

    It lies beside the journal and is not part of it: whoever is given the journal's files only cannot try prompts.
    """
    path = folder / _KEY_FILE
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
        key = path.read_bytes()
        if len(key) == _KEY_BYTES:
            return key
    return None
