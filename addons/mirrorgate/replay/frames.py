"""The frames in which a replay hands exchanges to the pipeline, the same that the proxy sends to the shadow process."""

from __future__ import annotations

import hashlib
import time
from typing import Final

import msgspec

from ..credentials import without_credentials
from ..inference.requests import InferenceRequest
from ..records import ExchangeFinished, ExchangeStarted, Target
from ..shadow.answering import Answer, LegOutcome
from .captured import Captured

__all__ = ["ANSWER_ROOM", "fresh_finish", "recorded_finish", "round_id", "started_frame", "with_subject"]

ANSWER_ROOM: Final = 256 * 1024
"""Room for a fresh primary's answer, before it is known."""


def started_frame(
    id: str,
    entry: Captured,
    request: InferenceRequest | None,
    targets: list[Target],
    cluster: str,
    primary: Target | None,
    repeat: int,
) -> ExchangeStarted:
    """Hand over a request; `primary` is where it is asked anew, `None` for a recorded answer."""
    model = None if request is None else request.model
    conversation = None if request is None else request.conversation
    if repeat > 1 and conversation is None:
        # Answers to the same request are no independent evidence: they count as the turns of a conversation.
        conversation = hashlib.blake2b(entry.id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    recorded = primary is None and entry.answer is not None
    return ExchangeStarted(
        id=id,
        started=time.time() if entry.started is None else entry.started,
        method=entry.method,
        path=entry.path,
        host=entry.host,
        route="",
        rule=0,
        cluster=cluster,
        endpoint=entry.endpoint if primary is None else f"{primary.host}:{primary.port}",
        model=model,
        target_model=(entry.target_model if primary is None else primary.model) or model,
        conversation=conversation,
        headers=without_credentials(entry.headers),
        body=entry.body,
        targets=targets,
        reserved=entry.answer.size if recorded and entry.answer is not None else ANSWER_ROOM,
    )


def round_id(entry: Captured, number: int) -> str:
    """Return the id of one of the times that a request is asked, counted from 1."""
    return entry.id if number == 1 else f"{entry.id}#{number}"


def with_subject(target: Target, primary: str, repeat: int) -> Target:
    """Name what is compared, so that evidence of another comparison is never added to it."""
    subject = {"replay": {"primary": primary, "candidate": target.ref, "model": target.model, "repeat": repeat}}
    return msgspec.structs.replace(target, subject=msgspec.json.encode(subject))


def recorded_finish(id: str, entry: Captured) -> ExchangeFinished:
    """Hand over the recorded answer, which there must be."""
    answer = entry.answer
    assert answer is not None
    return ExchangeFinished(
        id=id,
        outcome=answer.outcome,
        status=answer.status,
        flag=answer.flag,
        headers=without_credentials(answer.headers),
        chunks=answer.chunks,
        times=answer.times,
        truncated=answer.truncated,
        upstream_started=answer.upstream_started,
        head_at=answer.head_at,
        finished=answer.finished,
    )


def fresh_finish(id: str, answer: Answer) -> ExchangeFinished:
    """Turn a leg's answer into a primary's."""
    whole = answer.outcome is LegOutcome.COMPLETE or (answer.outcome is LegOutcome.TOO_LARGE and not answer.detail)
    return ExchangeFinished(
        id=id,
        outcome="complete" if whole else "cut",
        status=answer.status,
        flag="-" if whole else "UC",
        headers=without_credentials(answer.headers),
        chunks=answer.chunks,
        times=answer.times,
        truncated=answer.size > answer.kept,
        upstream_started=answer.sent,
        head_at=answer.head_at,
        finished=answer.finished,
    )
