"""GoReplay's files (`.gor`): records of raw HTTP/1.1, requests and the answers that belong to them by id.

A record is a line `type id nanoseconds [latency]`, the message, and a line with three monkeys. Type 1 is a request,
2 its original answer, 3 a replayed one, which is none of production's.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import httptools

from ..records import Headers
from ..shadow.answering import AnswerReader, LegOutcome
from .captured import BODY_LIMIT, Captured, Item, Passed, Recorded, Skip, field_of

__all__ = ["SEPARATOR", "read_gor"]

SEPARATOR: Final = "\n🐵🙈🙉\n".encode()

_WAITING: Final = 10_000
_WAITING_BYTES: Final = 64 * 1024 * 1024
"""Requests that wait for their answer; the oldest beyond it is taken for unanswered."""
_PIECE: Final = 1 << 18
_NANOSECONDS: Final = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class _Waiting:
    id: str
    at: float
    raw: bytes


def read_gor(stream: BinaryIO) -> Iterator[Item]:
    """Yield each request once its answer is known, or no longer to be expected."""
    waiting: OrderedDict[str, _Waiting] = OrderedDict()
    held = 0
    for record in _records(stream):
        if isinstance(record, Passed):
            yield record
            continue
        head, newline, raw = record.partition(b"\n")
        words = head.decode("latin-1").split()
        if not newline or len(words) < 3 or words[0] not in ("1", "2", "3") or not _NANOSECONDS.fullmatch(words[2]):
            yield Passed(Skip.DAMAGED)
            continue
        kind, id, at = words[0], words[1], int(words[2]) / 1e9
        if kind == "1":
            if id in waiting:
                held -= len(waiting[id].raw)
                yield _captured(waiting.pop(id), None, 0.0)
            waiting[id] = _Waiting(id, at, raw)
            held += len(raw)
        elif kind == "2" and id in waiting:
            request = waiting.pop(id)
            held -= len(request.raw)
            yield _captured(request, raw, at)
        while len(waiting) > _WAITING or held > _WAITING_BYTES:
            _, oldest = waiting.popitem(last=False)
            held -= len(oldest.raw)
            yield _captured(oldest, None, 0.0)
    for request in waiting.values():
        yield _captured(request, None, 0.0)


def _records(stream: BinaryIO) -> Iterator[bytes | Passed]:
    rest = b""
    searched = 0
    passing = False
    while piece := stream.read(_PIECE):
        rest += piece
        while (end := rest.find(SEPARATOR, max(0, searched - len(SEPARATOR)))) >= 0:
            if passing:
                yield Passed(Skip.DAMAGED)
            elif end:
                yield rest[:end]
            passing = False
            rest = rest[end + len(SEPARATOR) :]
            searched = 0
        searched = len(rest)
        if len(rest) > BODY_LIMIT:
            passing, rest, searched = True, rest[-len(SEPARATOR) :], 0
    if passing:
        yield Passed(Skip.DAMAGED)
    elif rest.strip():
        yield rest


class _RequestReader:
    """Takes one request apart (llhttp)."""

    def __init__(self) -> None:
        self.path = b""
        self.headers: Headers = []
        self.body: list[bytes] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.complete = True


def _captured(waiting: _Waiting, answer: bytes | None, answered: float) -> Item:
    reader = _RequestReader()
    parser = httptools.HttpRequestParser(reader)
    try:
        parser.feed_data(waiting.raw)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return Passed(Skip.DAMAGED)
    if not reader.complete:
        return Passed(Skip.DAMAGED)
    method = parser.get_method().decode("latin-1")
    recorded = None if answer is None else _recorded(method, answer, max(0.0, answered - waiting.at))
    return Captured(
        id=waiting.id,
        method=method,
        path=_origin_form(reader.path.decode("latin-1")),
        host=field_of(reader.headers, b"host") or "",
        headers=reader.headers,
        body=b"".join(reader.body),
        started=waiting.at,
        answer=recorded,
    )


def _recorded(method: str, raw: bytes, finished: float) -> Recorded | None:
    """Read an answer. GoReplay keeps no times of pieces, so those of an event stream are unknown."""
    reader = AnswerReader(method, keep=BODY_LIMIT, discard=BODY_LIMIT)
    reader.feed(raw, finished)
    reader.eof(finished)
    answer = reader.answer
    if not answer.status:
        return None
    streamed = answer.header(b"content-type").lower().startswith("text/event-stream")
    return Recorded(
        status=answer.status,
        headers=answer.headers,
        chunks=answer.chunks,
        times=[] if streamed else answer.times,
        outcome="complete" if answer.outcome is LegOutcome.COMPLETE else "cut",
        finished=finished,
        head_at=finished,
    )


def _origin_form(target: str) -> str:
    """Return the path of a target that may be an absolute URL."""
    if target.startswith(("http://", "https://")):
        slash = target.find("/", target.index("//") + 2)
        return target[slash:] if slash >= 0 else "/"
    return target
