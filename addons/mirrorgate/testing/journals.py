"""Journals of pairs that a test chooses, as the shadow process writes them, with the ledger that judged live."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..comparison.guardrails import Slo, guardrails_of
from ..comparison.ledger import Ledger
from ..comparison.steps import Basis, Dropped, Observed, encode_step
from ..comparison.verdict import VerdictPolicy
from ..shadow.recording import SCHEMA

__all__ = ["BEGIN", "OTHER_TEXT", "TEXT", "JournalMaker", "plain_basis"]

BEGIN = 1_795_000_000.0
"""Unix time of the first request."""

TEXT = "Paris is the capital of France, and it lies on the Seine."
OTHER_TEXT = "Lyon is the capital of France, though it lies on the Rhône."


def plain_basis(mirror: str = "chat/0/mirror/0", *, model: str = "candidate-8b", min_pairs: int = 200) -> Basis:
    """Return a basis with the guardrails of the defaults, an SLO and a scorer."""
    guardrails = guardrails_of(equivalence=False, slo=Slo(ttft=0.3), control=True, scorers=["judge"])
    subject = {
        "primary": [{"ref": "InferencePool default/llama"}],
        "candidate": {"ref": "Service default/new", "model": model},
    }
    policy = VerdictPolicy(guardrails, min_pairs=min_pairs, quality=True)
    return Basis(mirror, "replacement", policy, subject, {"slo": {"ttft": 0.3, "itl": None, "e2e": None}})


@dataclass
class JournalMaker:
    """Writes one ledger's part of a journal file."""

    file: Path
    basis: Basis = field(default_factory=plain_basis)
    id: str = "ledger-1"
    begin: float = BEGIN
    ledger: Ledger = field(init=False)
    pairs: int = 0
    opened: bool = False
    """Whether the file has the ledger's opening; set it to False when another file is begun."""

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.id, self.basis, self.begin)
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def line(self, data: bytes) -> None:
        """Append a line, whatever it is."""
        with self.file.open("ab") as file:
            file.write(data + b"\n")

    def step(self, step: Observed | Dropped) -> None:
        """Take a step and write it; behind the first one of a file what it leads to."""
        self.ledger.apply(step)
        self.line(encode_step(step))
        if not self.opened:
            self.opened = True
            self.line(encode_step(self.ledger.opened("run-1", step.at)))

    def drop(self, **reasons: int) -> None:
        """Write that exchanges were not compared."""
        ledger, at = self.ledger, self.begin + self.pairs
        step = Dropped(ledger.id, ledger.epoch, ledger.number + 1, self.basis.mirror, at, reasons)
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
        **changes: object,
    ) -> str:
        """Write a pair and return its id.

        `candidate` is what it says if not the same; with a `text` of `None` the journal keeps no content. `changes`
        are fields of the record.
        """
        self.pairs += 1
        id, at = f"{self.id}-{self.pairs}", self.begin + self.pairs
        losses = {guardrail.name: 0.0 for guardrail in self.basis.policy.guardrails} | (losses or {})
        legs = {
            "primary": _leg("llama-70b", 200, text, 0.18),
            "candidate": _leg("candidate-8b", status, text if candidate is None else candidate, ttft),
            "control": _leg("llama-70b", 200, text, 0.17) if control else None,
        }
        ledger = self.ledger
        observed = Observed(
            ledger=ledger.id,
            epoch=ledger.epoch,
            number=ledger.number + 1,
            mirror=self.basis.mirror,
            sequence=self.pairs,
            id=id,
            at=at,
            conversation=conversation,
            outcome=outcome,
            similarity=similarity,
            losses=losses,
            latencies={
                name: (leg["ttft"], leg["itl_mean"], leg["e2e"])
                for name, leg in legs.items()
                if leg is not None and leg["status"] == 200
            },
        )
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "run": "run-1",
            "sequence": self.pairs,
            "id": id,
            "started": at,
            "route": "default/chat",
            "rule": 0,
            "cluster": "chat/0",
            "mirror": self.basis.mirror,
            "conversation": conversation,
            "outcome": outcome,
            "similarity": similarity,
            "summary": f"candidate {outcome}",
            "identity": ledger.identity,
            "losses": losses,
            "request": _request(text is not None),
            "comparison": {"scored": True, "similarity": similarity, "exact": similarity == 1.0},
            "control_comparison": {"similarity": 0.97} if control else None,
        }
        self.line(msgspec.json.encode(record | legs | changes))
        self.step(observed)
        return id


def _request(content: bool) -> dict[str, Any]:
    request: dict[str, Any] = {"method": "POST", "path": "/v1/chat/completions", "model": "llama-70b"}
    if content:
        request["body"] = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
    return request


def _leg(model: str, status: int, text: str | None, ttft: float) -> dict[str, Any]:
    ok = status == 200
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
        "choices": [{"index": 0, "finish_reason": "stop"}] if ok else [],
        "errors": [] if ok else [{"type": "internal", "code": None}],
    }
    if text is not None:
        leg["detail"] = ""
        for choice in leg["choices"]:
            choice["text"] = text
        for error in leg["errors"]:
            error["message"] = "the engine is dead"
    return leg
