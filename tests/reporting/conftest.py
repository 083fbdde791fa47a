"""Journals made by the code that writes them live, of pairs that a test chooses."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mirrorgate.comparison.guardrails import Slo, guardrails_of
from mirrorgate.comparison.ledger import Ledger
from mirrorgate.comparison.steps import Basis, Dropped, Observed, Opened, encode_step
from mirrorgate.comparison.verdict import VerdictPolicy

BEGIN = 1_795_000_000.0
"""Unix time of the first request."""

TEXT = "Paris is the capital of France, and it lies on the Seine."
OTHER = "Lyon is the capital of France, though it lies on the Rhône."


def basis(mirror: str = "chat/0/mirror/0", *, model: str = "candidate-8b", min_pairs: int = 200) -> Basis:
    """Return a basis with the guardrails of the defaults, an SLO and a scorer."""
    guardrails = guardrails_of(equivalence=False, slo=Slo(ttft=0.3), control=True, scorers=["judge"])
    subject = {"primary": {"model": "llama-70b"}, "candidate": {"model": model}}
    policy = VerdictPolicy(guardrails, min_pairs=min_pairs, quality=True)
    return Basis(mirror, "replacement", policy, subject, {"slo": {"ttft": 0.3, "itl": None, "e2e": None}})


@dataclass
class JournalMaker:
    """Writes records and steps as the shadow process does, and keeps the ledger that it judged live."""

    file: Path
    basis: Basis = field(default_factory=basis)
    id: str = "ledger-1"
    begin: float = BEGIN
    ledger: Ledger = field(init=False)
    pairs: int = 0

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.id, self.basis, self.begin)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.step(self.opened())

    def opened(self) -> Opened:
        return self.ledger.opened("run-1", self.begin)

    def line(self, data: bytes) -> None:
        with self.file.open("ab") as file:
            file.write(data + b"\n")

    def step(self, step: Any) -> None:
        self.line(encode_step(step))

    def drop(self, **reasons: int) -> None:
        ledger = self.ledger
        at = self.begin + self.pairs
        step = Dropped(ledger.id, ledger.epoch, ledger.number + 1, self.basis.mirror, at, reasons)
        ledger.apply(step)
        self.step(step)

    def pair(
        self,
        losses: dict[str, float] | None = None,
        *,
        text: str | None = TEXT,
        candidate: str | None = None,
        similarity: float | None = 1.0,
        outcome: str = "same",
        ttft: float = 0.2,
        status: int = 200,
        control: bool = False,
        conversation: str | None = None,
        **changes: Any,
    ) -> str:
        """Write a pair; texts of `None` are what a journal without content has. Returns its id."""
        self.pairs += 1
        ledger, at, id = self.ledger, self.begin + self.pairs, f"{self.id}-{self.pairs}"
        losses = {guardrail.name: 0.0 for guardrail in self.basis.policy.guardrails} | (losses or {})
        latencies: dict[str, tuple[float | None, ...]] = {"primary": (0.18, 0.02, 1.1)}
        if status == 200:
            latencies["candidate"] = (ttft, 0.02, 1.0 + ttft)
        if control:
            latencies["control"] = (0.17, 0.02, 1.1)
        observed = msgspec.convert(
            {
                "step": "observed",
                "ledger": ledger.id,
                "epoch": ledger.epoch,
                "number": ledger.number + 1,
                "mirror": self.basis.mirror,
                "sequence": self.pairs,
                "id": id,
                "at": at,
                "conversation": conversation,
                "outcome": outcome,
                "similarity": similarity,
                "losses": losses,
                "latencies": latencies,
            },
            Observed,
        )
        record = {
            "schema": "mirrorgate.exchange/v1",
            "run": "run-1",
            "sequence": self.pairs,
            "id": id,
            "time": "2026-11-18T00:00:00.000+00:00",
            "started": at,
            "route": "default/chat",
            "rule": 0,
            "cluster": "chat/0",
            "mirror": self.basis.mirror,
            "conversation": conversation,
            "outcome": outcome,
            "similarity": similarity,
            "summary": f"candidate {outcome}",
            "policy": {"mode": "replacement", "content": "full" if text is not None else "none", "hash": "00"},
            "identity": ledger.identity,
            "losses": losses,
            "request": {"method": "POST", "path": "/v1/chat/completions", "model": "llama-70b", "target_model": None},
            "primary": _leg("llama-70b", 200, text, 0.18),
            "candidate": _leg("candidate-8b", status, text if candidate is None else candidate, ttft),
            "control": _leg("llama-70b", 200, text, 0.17) if control else None,
            "comparison": {"outcome": outcome, "scored": True, "similarity": similarity, "exact": similarity == 1.0},
            "control_comparison": {"similarity": 0.97} if control else None,
        } | changes
        if text is not None:
            record["request"]["body"] = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
        self.line(json.dumps(record).encode())
        ledger.apply(observed)
        self.step(observed)
        return id


def _leg(model: str, status: int, text: str | None, ttft: float) -> dict[str, Any]:
    ok = status == 200
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    leg: dict[str, Any] = {
        "endpoint": "127.0.0.1:8000",
        "ref": "",
        "model": model,
        "status": status,
        "outcome": "complete",
        "broken": "",
        "ttft": ttft if ok else None,
        "itl_mean": 0.02 if ok else None,
        "e2e": 1.0 + ttft,
        "usage": {"prompt_tokens": 12, "completion_tokens": 14} if ok else None,
        "choices": [choice] if ok else [],
        "errors": [] if ok else [{"type": "internal", "code": None}],
    }
    if text is not None:
        choice["text"] = text
        leg["detail"] = ""
        for error in leg["errors"]:
            error["message"] = "the engine is dead"
    return leg


@pytest.fixture
def make(tmp_path: Path) -> type[JournalMaker]:
    """Return the maker of journals; files lie wherever it is told."""
    return JournalMaker


@pytest.fixture
def mixed(tmp_path: Path) -> JournalMaker:
    """Return a journal of 700 pairs in which the candidate errs, differs and is slow now and then."""
    journal = JournalMaker(tmp_path / "journal" / "exchanges.jsonl")
    rng = random.Random(7)
    for _ in range(700):
        draw = rng.random()
        ttft = rng.lognormvariate(-1.6, 0.35)
        control = rng.random() < 0.1
        slow = {"ttft_slo": 1.0} if ttft > 0.3 else {}
        if draw < 0.03:
            journal.pair({"errors": 1.0}, similarity=None, outcome="candidate_failed", status=503, control=control)
        elif draw < 0.3:
            alike = rng.uniform(0.3, 0.95)
            journal.pair(slow, candidate=OTHER, similarity=alike, outcome="different", ttft=ttft, control=control)
        else:
            journal.pair(slow, ttft=ttft, control=control)
    journal.drop(token_budget=40, queue_full=3)
    return journal
