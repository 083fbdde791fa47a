"""How many pairs a second one core judges: what the shadow process's worker thread does, and nothing else.

From the answers' pieces as they came off the sockets to the comparison, the journal record and the evidence. Answers
are about 1 KB of text, streamed one event a token or whole.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...records import Configure, ExchangeFinished, ExchangeStarted, Leg, Target
from ...shadow.answering import Answer
from ...shadow.comparing import Comparer
from ...shadow.pairing import Pair
from ...shadow.verdicts import VerdictSink
from ..model_server.behaviour import Behaviour
from ..model_server.server import FakeModelServer
from .traffic import MODEL, PATH
from .virtual_time import run
from .wire import ask, request_bytes

__all__ = ["CASES", "Case", "pairs_per_second"]

_TOKENS = 170
"""About 1,000 characters of the fake model's text."""
_DIFFERENT = 20
"""Answers that are made; pairs are made of them in turn."""
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of answer, and what is kept of it."""

    name: str
    stream: bool
    journal: str | None
    """The content policy of the journal; `None` writes none."""


CASES = (
    Case("streamed, without a journal", True, None),
    Case("streamed, journal without content", True, "none"),
    Case("streamed, journal with full content", True, "full"),
    Case("not streamed, journal without content", False, "none"),
)


def pairs_per_second(case: Case, seconds: float) -> float:
    """Judge pairs for so many seconds of CPU time and return how many a second that makes.

    CPU time, so that what else the machine does counts less.
    """
    answers = run(_answers(case.stream))
    with tempfile.TemporaryDirectory(prefix="mirrorgate-bench-") as folder:
        comparer = Comparer(time.time, VerdictSink(time.time, time.monotonic, "benchmark"), "benchmark")
        comparer.configure(Configure(folder if case.journal else "", 256 << 20, 1 << 30, 1000))
        try:
            return _judged(comparer, case, answers, seconds)
        finally:
            comparer.close()


def _judged(comparer: Comparer, case: Case, answers: list[Answer], seconds: float) -> float:
    pairs = _pairs(case, answers)
    for _ in range(20):
        comparer.judge(next(pairs))
    began, count = time.process_time(), 0
    while (spent := time.process_time() - began) < seconds:
        settled = [comparer.judge(next(pairs)).settled for _ in range(10)]
        comparer.commit(settled[0].cluster, settled)
        count += len(settled)
    return count / spent


def _body(number: int, stream: bool) -> bytes:
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": f"Tell me of rivers ({number})"}]}
    body |= {"temperature": 0.7, "max_tokens": 400}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body).encode()


async def _answers(stream: bool) -> list[Answer]:
    server = FakeModelServer(Behaviour(models=(MODEL,), answer_tokens=_TOKENS, ttft=0.2, itl=0.012))
    return [await ask(server, request_bytes(PATH, _body(number, stream))) for number in range(_DIFFERENT)]


def _pairs(case: Case, answers: list[Answer]) -> Iterator[Pair]:
    """Yield pairs without end."""
    policy = json.dumps(
        {"slo": {"ttft": "500ms", "itl": "30ms", "e2e": "3s"}, "journal": {"content": case.journal or "none"}}
    ).encode()
    now = time.time()
    number = 0
    while True:
        number += 1
        left, right = answers[number % _DIFFERENT], answers[(number + 7) % _DIFFERENT]
        target = Target(
            leg=Leg.CANDIDATE,
            cluster="benchmark/mirror/0",
            ref="Service default/candidate:8000",
            host=_HOST,
            port=8000,
            head=[(b"host", b"model")],
            path=PATH,
            model=None,
            timeout=30.0,
            connect_timeout=5.0,
            idle_timeout=10.0,
            max_parallel=64,
            policy=policy,
        )
        started = ExchangeStarted(
            id=f"{number:032x}",
            started=now + number * 0.001,
            method="POST",
            path=PATH,
            host="model",
            route="default/route",
            rule=0,
            cluster="benchmark",
            endpoint=f"{_HOST}:8001",
            model=MODEL,
            target_model=MODEL,
            conversation=None,
            headers=[(b"content-type", b"application/json")],
            body=_body(number % _DIFFERENT, case.stream),
            targets=[target],
            reserved=1 << 20,
        )
        finished = ExchangeFinished(
            id=started.id,
            outcome="complete",
            status=left.status,
            flag="-",
            headers=left.headers,
            chunks=left.chunks,
            times=left.times,
            truncated=False,
            upstream_started=0.0,
            head_at=left.head_at,
            finished=left.finished,
        )
        yield Pair(number, started, finished, 0, right)
