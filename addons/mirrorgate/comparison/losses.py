"""A pair reduced to bounded differences of losses, candidate minus primary, one for each guardrail.

A loss is 1 where an answer fails a guardrail and 0 where it does not, so that a difference lies in [-1, 1]. The rules,
each of which the error rates depend on:

- A pair to which a guardrail does not apply (no tool calls, no schema asked for) counts as a difference of 0, not as
  missing: the margin is a share of all traffic.
- A timeout is a loss, not a missing value: of the errors or broken streams, and of every latency.
- A client that leaves scores neither side: nothing is observed at all.
- Content is judged where both sides gave a whole answer; a failed one is counted once, as a failure.
- Divergence needs the control's answer; pairs without one, which are chosen from the request alone, are not observed.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..inference.completions import Broken
from .assessment import Assessment
from .guardrails import GuardrailName, Slo
from .pairs import Outcome, PairComparison

__all__ = ["losses_of", "score_difference"]


def losses_of(
    comparison: PairComparison,
    slo: Slo,
    *,
    control: PairComparison | None = None,
    scores: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return the differences that a pair yields, by the guardrail's name; empty for a pair that is not scored.

    `control` compares the primary with itself asked again. `scores` are those of the user's scorers: how the
    candidate's answer compares from 0 (the primary's is better) over 0.5 (a tie) to 1.
    """
    if not comparison.scored:
        return {}
    left, right = comparison.primary, comparison.candidate
    found: dict[str, float] = {
        GuardrailName.ERRORS.value: _difference(left.failed, right.failed),
        GuardrailName.BROKEN_STREAMS.value: _difference(_is_broken(left), _is_broken(right)),
        GuardrailName.TTFT_SLO.value: _latency(left, right, "ttft", slo.ttft),
        GuardrailName.ITL_SLO.value: _latency(left, right, "itl_mean", slo.itl),
        GuardrailName.E2E_SLO.value: _latency(left, right, "e2e", slo.e2e),
    }
    whole = left.readable and right.readable
    found[GuardrailName.TRUNCATION.value] = _difference(left.truncated, right.truncated) if whole else 0.0
    found[GuardrailName.REFUSAL.value] = _difference(left.refused, right.refused) if whole else 0.0
    found[GuardrailName.EMPTINESS.value] = _difference(left.empty, right.empty) if whole else 0.0
    found[GuardrailName.REPETITION.value] = _difference(left.repetitive, right.repetitive) if whole else 0.0
    found[GuardrailName.JSON_SCHEMA.value] = (
        _difference(left.schema_valid is False, right.schema_valid is False) if whole else 0.0
    )
    found[GuardrailName.TOOL_CALLS.value] = (
        _difference(_call_loss(left, right), _call_loss(right, left)) if whole else 0.0
    )
    divergence = _excess(comparison, control)
    if divergence is not None:
        found[GuardrailName.DIVERGENCE.value] = divergence
    for name, score in (scores or {}).items():
        found[name] = score_difference(score)
    return found


def score_difference(score: float) -> float:
    """Turn a score of the candidate against the primary, from 0 over 0.5 (a tie) to 1, into a difference of losses.

    Raises `ValueError` for a score outside [0, 1].
    """
    if not 0.0 <= score <= 1.0:
        raise ValueError(f"a score must be between 0 and 1, not {score}")
    return 1.0 - 2.0 * score


def _difference(primary: bool, candidate: bool) -> float:
    return float(candidate) - float(primary)


def _is_broken(side: Assessment) -> bool:
    return not side.failed and not side.ok


def _call_loss(side: Assessment, other: Assessment) -> bool:
    """Lose by an invalid call, or by making none where the other side made valid ones.

    The latter is what a server does whose tool parser is off. It is symmetric, so that two models which differ in
    when they call lose equally often.
    """
    return side.calls_valid is False or (side.calls_valid is None and other.calls_valid is True)


def _latency(left: Assessment, right: Assessment, field: str, limit: float | None) -> float:
    if limit is None:
        return 0.0
    first, second = _missed(left, field, limit), _missed(right, field, limit)
    return 0.0 if first is None or second is None else _difference(first, second)


def _missed(side: Assessment, field: str, limit: float) -> bool | None:
    """Tell whether a latency is over its limit, `None` where it does not apply: an answer that did not stream."""
    if not side.ok:
        return True
    if side.broken is Broken.TRUNCATED and field == "e2e":
        # The end of what is kept is not the end of the answer, but it came no later.
        return True if side.e2e is not None and side.e2e > limit else None
    value: float | None = getattr(side, field)
    return None if value is None else value > limit


def _excess(comparison: PairComparison, control: PairComparison | None) -> float | None:
    """Return how much farther the candidate is from the primary than the primary from itself, in [-1, 1]."""
    if control is None or not control.scored or control.outcome is Outcome.NOT_COMPARABLE:
        return None
    distance, floor = comparison.distance, control.distance
    return None if distance is None or floor is None else distance - floor
