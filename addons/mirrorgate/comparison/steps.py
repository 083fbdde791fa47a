"""The steps by which evidence grows, as the journal keeps them: opened, observed, dropped, advanced.

A ledger changes by nothing else, whether a step was just made or is read back years later, which is why the report
over a journal comes to the live totals to the last digit. `docs/journal.md` documents every field.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from .judging import JudgeState
from .sketches import LatencySketch
from .verdict import VerdictPolicy
from .worst_pairs import WorstPair

__all__ = [
    "EVIDENCE_SCHEMA",
    "Advanced",
    "Basis",
    "Dropped",
    "Latencies",
    "LedgerState",
    "Observed",
    "Opened",
    "Step",
    "decode_step",
    "encode_step",
    "identity_of",
    "is_step",
]

EVIDENCE_SCHEMA: Final = "mirrorgate.evidence/v1"

_OPENING: Final = b'{"step":'
"""How every step's line begins: a reader that passes over exchanges need not parse them."""

Difference = Annotated[float, Meta(ge=-1.0, le=1.0)]
Count = Annotated[int, Meta(ge=0)]
Latencies = tuple[float | None, float | None, float | None]
"""TTFT, mean ITL and E2E in seconds; `None` where they do not apply."""


class Basis(msgspec.Struct, frozen=True):
    """What is compared, and by which rules. Evidence for one basis says nothing about another."""

    mirror: str
    """The mirror's cluster."""
    mode: str
    """`equivalence` or `replacement`."""
    policy: VerdictPolicy
    subject: dict[str, Any] = {}
    """The two sides as they are declared: destinations, models and what else the answers depend on."""
    rules: dict[str, Any] = {}
    """What a pair's losses depend on beside its answers: SLOs, ignored fields, scorers."""


def identity_of(basis: Basis) -> str:
    """Return a short hash that changes with anything in the basis."""
    return hashlib.blake2b(msgspec.json.encode(basis, order="deterministic"), digest_size=8).hexdigest()


class LedgerState(msgspec.Struct):
    """Everything that a ledger has to remember. As JSON it gives back every float to the last digit."""

    number: Count
    """Of the last step in it."""
    since: float
    """When its evidence began, Unix seconds."""
    updated: float
    """Arrival of the last pair in it, or the time of the last step."""
    judge: JudgeState
    outcomes: dict[str, Count]
    dropped: dict[str, Count]
    scorer_failures: dict[str, Count]
    latencies: dict[str, tuple[LatencySketch, LatencySketch, LatencySketch]]
    """By leg: TTFT, mean ITL, E2E."""
    worst: list[WorstPair]


class Opened(msgspec.Struct, frozen=True, tag_field="step", tag="opened"):
    """A ledger with all that it held at a moment: first in a process and in a file, and a checkpoint by itself."""

    ledger: str
    epoch: Count
    """Which life of the ledger: each process that goes on with it has a higher one. A higher epoch's state holds,
    whatever an earlier epoch wrote beyond it: those steps were lost with their process."""
    run: str
    """The life of the shadow process."""
    at: float
    basis: Basis
    state: LedgerState
    schema: str = EVIDENCE_SCHEMA


class Observed(msgspec.Struct, frozen=True, tag_field="step", tag="observed"):
    """One pair, in the order of arrival."""

    ledger: str
    epoch: Count
    number: Count
    """Of the step in its ledger, counted from 1 without gaps."""
    mirror: str
    sequence: Count
    """The exchange's place in the order of arrival within its run."""
    id: str
    at: float
    """When the request arrived, Unix seconds."""
    conversation: str | None
    outcome: str
    similarity: float | None
    losses: dict[str, Difference]
    """Differences of losses by guardrail; empty for a pair that scores neither side."""
    latencies: dict[str, Latencies]
    """By leg, of the answers that a client could use."""
    scorer_failures: tuple[str, ...] = ()
    """Guardrails whose scorer gave no number."""
    schema: str = EVIDENCE_SCHEMA


class Dropped(msgspec.Struct, frozen=True, tag_field="step", tag="dropped"):
    """Mirrored exchanges that were not compared, by reason; gathered for about a second."""

    ledger: str
    epoch: Count
    number: Count
    mirror: str
    at: float
    reasons: dict[str, Count]
    schema: str = EVIDENCE_SCHEMA


class Advanced(msgspec.Struct, frozen=True, tag_field="step", tag="advanced"):
    """No pair that arrived before `at` is to come: conversations that are over by then are closed."""

    ledger: str
    epoch: Count
    number: Count
    mirror: str
    at: float
    schema: str = EVIDENCE_SCHEMA


Step = Opened | Observed | Dropped | Advanced

_decoder: Final[msgspec.json.Decoder[Step]] = msgspec.json.Decoder(Step)
_encoder: Final = msgspec.json.Encoder()


def encode_step(step: Step) -> bytes:
    """Return a step as one line of JSON, without a line break."""
    return _encoder.encode(step)


def is_step(line: bytes) -> bool:
    """Tell a step's line from any other record's by its beginning."""
    return line.startswith(_OPENING)


def decode_step(line: bytes) -> Step:
    """Read a step; raises `ValueError` for what is none, or one of another version."""
    try:
        step = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if step.schema != EVIDENCE_SCHEMA:
        raise ValueError(f"not a step of {EVIDENCE_SCHEMA}")
    return step
