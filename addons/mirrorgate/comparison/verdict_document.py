"""The verdict as a document: what `/verdict` answers, what the report prints as JSON, what the pages are drawn from.

The same function makes it live from one ledger and in the report from those of every replica. `docs/verdict.md`
documents every field; fields may be added under the same schema name.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from .ledger import LEGS, Ledger
from .ledger_book import newest_of, verdict_of
from .sketches import Quantiles, quantiles_of
from .verdict import Decision, Standing, Verdict
from .worst_pairs import WorstPair, WorstPairs

__all__ = ["VERDICT_SCHEMA", "CoverageView", "VerdictDocument", "document_of"]

VERDICT_SCHEMA: Final = "mirrorgate.verdict/v1"


class CoverageView(msgspec.Struct, frozen=True):
    """What became of the exchanges that were mirrored."""

    share: float
    minimum: float
    """The least share that PROMOTE takes."""
    compared: int
    unscored: int
    dropped: int
    reasons: dict[str, int]
    """Dropped, by reason."""


class VerdictDocument(msgspec.Struct, frozen=True):
    """Everything that explains one verdict. Flat where tools read it: `promote`, `hold` and `reject` are 0 or 1."""

    schema: str
    cluster: str
    verdict: Decision
    promote: int
    hold: int
    reject: int
    reason: str
    guardrail: str | None
    """The guardrail that rejects, or of a HOLD the one that takes longest."""
    pairs: int
    """Observations of the guardrail that has most: pairs, or conversations of several turns."""
    pairs_needed: int | None
    """0 when decided, `None` when PROMOTE is not to be expected."""
    min_pairs: int
    alpha_promote: float
    alpha_reject: float
    interval_alpha: float
    promote_at: float
    """The log evidence from which a guardrail passes."""
    reject_at: float
    """The log evidence from which a guardrail rejects."""
    mode: str
    quality: bool
    """Whether the guardrails say anything about quality."""
    identity: str
    since: float
    """Unix seconds."""
    updated: float
    ledgers: list[str]
    subject: dict[str, Any]
    rules: dict[str, Any]
    coverage: CoverageView
    standings: tuple[Standing, ...]
    latencies: dict[str, dict[str, Quantiles]]
    """By leg, then by `ttft`, `itl`, `e2e`."""
    outcomes: dict[str, int]
    open_conversations: int
    scorer_failures: dict[str, int]
    worst: list[WorstPair]


def document_of(ledgers: Sequence[Ledger]) -> VerdictDocument:
    """Return the document of ledgers of one basis; at least one."""
    verdict = verdict_of(ledgers)
    newest = newest_of(ledgers)
    basis, policy = newest.basis, newest.basis.policy
    coverage = verdict.coverage
    return VerdictDocument(
        schema=VERDICT_SCHEMA,
        cluster=basis.mirror,
        verdict=verdict.decision,
        promote=int(verdict.decision is Decision.PROMOTE),
        hold=int(verdict.decision is Decision.HOLD),
        reject=int(verdict.decision is Decision.REJECT),
        reason=_reason(verdict, ledgers),
        guardrail=verdict.guardrail,
        pairs=verdict.pairs,
        pairs_needed=verdict.pairs_needed,
        min_pairs=policy.min_pairs,
        alpha_promote=policy.alpha_promote,
        alpha_reject=policy.alpha_reject,
        interval_alpha=policy.interval_alpha,
        promote_at=math.log(1.0 / policy.alpha_promote),
        reject_at=math.log(max(1, policy.deciding) / policy.alpha_reject),
        mode=basis.mode,
        quality=policy.quality,
        identity=newest.identity,
        since=min(ledger.since for ledger in ledgers),
        updated=newest.updated,
        ledgers=sorted(ledger.id for ledger in ledgers),
        subject=basis.subject,
        rules=basis.rules,
        coverage=CoverageView(
            coverage.share,
            policy.min_coverage,
            coverage.compared,
            coverage.unscored,
            coverage.dropped,
            _added(ledger.dropped for ledger in ledgers),
        ),
        standings=verdict.standings,
        latencies={leg: _quantiles(ledgers, leg) for leg in LEGS},
        outcomes=_added(ledger.outcomes for ledger in ledgers),
        open_conversations=sum(ledger.windows for ledger in ledgers),
        scorer_failures=_added(ledger.scorer_failures for ledger in ledgers),
        worst=WorstPairs(pair for ledger in ledgers for pair in ledger.worst.all()).shown(),
    )


def _reason(verdict: Verdict, ledgers: Sequence[Ledger]) -> str:
    windows = sum(ledger.windows for ledger in ledgers)
    if verdict.pairs or not windows:
        return verdict.reason
    seconds = ledgers[0].basis.policy.conversation_seconds
    return f"{windows} conversations are open; each counts once, {seconds:g} s after its first turn"


def _quantiles(ledgers: Sequence[Ledger], leg: str) -> dict[str, Quantiles]:
    held = [ledger.latencies[leg] for ledger in ledgers]
    return {
        name: quantiles_of(sketches[index] for sketches in held) for index, name in enumerate(("ttft", "itl", "e2e"))
    }


def _added(counts: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))
