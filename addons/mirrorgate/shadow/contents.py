"""What a person sees of the shadow legs of a compared pair: frames for mitmweb and the console, bounded in bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..credentials import without_credentials
from ..records import Headers, Leg, LegContent, Target
from .answering import Answer
from .pairing import Pair

__all__ = ["contents_of"]

_HEAD_BYTES: Final = 32 * 1024
"""Of names and values of an answer's fields; what is beyond is left out."""
_DETAIL: Final = 500


def contents_of(pair: Pair, limit: int) -> Iterator[LegContent]:
    """Yield the candidate's answer and, with the first candidate of an exchange, the control's; each body is cut to
    `limit` bytes."""
    mirror = pair.target.cluster
    yield _content(pair, Leg.CANDIDATE, mirror, pair.target, pair.answer, limit)
    first = next(index for index, target in enumerate(pair.started.targets) if target.leg is Leg.CANDIDATE)
    if pair.control is not None and pair.control_target is not None and pair.index == first:
        yield _content(pair, Leg.CONTROL, mirror, pair.control_target, pair.control, limit)


def _content(pair: Pair, leg: Leg, mirror: str, target: Target, answer: Answer, limit: int) -> LegContent:
    body, truncated = _joined(answer.chunks, limit)
    return LegContent(
        id=pair.started.id,
        leg=leg,
        cluster=mirror,
        ref=target.ref,
        endpoint=f"{target.host}:{target.port}",
        method=pair.started.method,
        path=target.path,
        model=target.model,
        request_headers=_short(without_credentials(target.head)),
        outcome=answer.outcome.value,
        detail=answer.detail[:_DETAIL],
        status=answer.status,
        headers=_short(without_credentials(answer.headers)),
        body=body,
        truncated=truncated or answer.size > answer.kept,
        sent=answer.sent,
        head_at=answer.head_at,
        finished=answer.finished,
    )


def _joined(chunks: list[bytes], limit: int) -> tuple[bytes, bool]:
    """Join pieces up to a limit, and tell whether something was left out."""
    kept: list[bytes] = []
    left = limit
    for chunk in chunks:
        if len(chunk) > left:
            kept.append(chunk[:left])
            return b"".join(kept), True
        kept.append(chunk)
        left -= len(chunk)
    return b"".join(kept), False


def _short(fields: Headers) -> Headers:
    kept: Headers = []
    left = _HEAD_BYTES
    for field in fields:
        left -= len(field[0]) + len(field[1])
        if left < 0:
            break
        kept.append(field)
    return kept
