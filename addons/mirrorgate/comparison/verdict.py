"""The verdict: PROMOTE, HOLD or REJECT, with the chance that it is wrong.

- PROMOTE when the evidence of non-inferiority of *every* deciding guardrail is at least 1/alpha_promote, there are
  enough pairs and enough of the traffic was compared. The chance to promote a candidate that is worse than the margin
  of any one guardrail is at most alpha_promote: all must pass, so no correction for their number is due.
- REJECT when the evidence of inferiority of *any* of the K deciding guardrails is at least K/alpha_reject; it is
  named. The chance to reject a candidate that is within every margin is at most alpha_reject (union bound).
- HOLD otherwise.

Both latch, since the guarantee is about ever being wrong, and REJECT wins over an earlier PROMOTE. They hold at any
moment at which one looks. `decide` is a function of tallies, so that one replica, the sum of several and the report
over their journals come to the same verdict.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from .evidence import Tally, interval, pairs_needed
from .guardrails import Guardrail

__all__ = ["Coverage", "Decision", "Standing", "Verdict", "VerdictPolicy", "decide", "settle"]


class Decision(enum.StrEnum):
    """What to do with the candidate."""

    PROMOTE = "PROMOTE"
    HOLD = "HOLD"
    REJECT = "REJECT"


@dataclass(frozen=True, slots=True)
class VerdictPolicy:
    """What it takes to decide."""

    guardrails: tuple[Guardrail, ...]
    alpha_promote: float = 0.01
    alpha_reject: float = 0.05
    min_pairs: int = 200
    """Observations before PROMOTE; REJECT needs no minimum, its evidence is one."""
    min_coverage: float = 0.5
    """The least share of the mirrored traffic that has to be compared before PROMOTE."""
    interval_alpha: float = 0.05
    conversation_seconds: float = 60.0
    """How long the turns of a conversation are gathered into one observation; 0 counts each by itself."""
    quality: bool = False
    """Whether the guardrails say anything about quality: divergence decides, or a scorer of the user's."""

    @property
    def deciding(self) -> int:
        """How many guardrails decide: K."""
        return sum(guardrail.gating for guardrail in self.guardrails)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What became of the exchanges that were to be compared. Adds up over replicas."""

    compared: int = 0
    """Pairs that were scored."""
    unscored: int = 0
    """Pairs that score neither side, such as those whose client left."""
    dropped: int = 0
    """Mirrored exchanges that were not compared: shed, out of budget, never complete."""

    @property
    def share(self) -> float:
        """The share of the mirrored traffic that was compared; 1 while there was none."""
        whole = self.compared + self.dropped
        return self.compared / whole if whole else 1.0

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage(self.compared + other.compared, self.unscored + other.unscored, self.dropped + other.dropped)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one guardrail stands."""

    name: str
    margin: float
    gating: bool
    pairs: int
    mean: float | None
    """Mean difference so far: above 0 the candidate is worse."""
    low: float
    high: float
    """The interval for the mean, valid at all times at once."""
    log_ni: float
    log_rej: float
    passed: bool
    """Whether non-inferiority is shown now."""
    failed: bool
    """Whether inferiority is shown now."""
    pairs_needed: int | None
    """More pairs until it is likely to pass; `None` when the mean is at the margin or beyond."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision with everything that explains it."""

    decision: Decision
    reason: str
    """One sentence for a person."""
    guardrail: str | None
    """The guardrail that rejects, or of a HOLD the one that takes longest."""
    pairs: int
    pairs_needed: int | None
    """More pairs until PROMOTE is likely; 0 when decided, `None` when not to be expected."""
    coverage: Coverage
    standings: tuple[Standing, ...]
    alpha_promote: float
    alpha_reject: float


def decide(
    policy: VerdictPolicy,
    tallies: Mapping[str, Tally],
    coverage: Coverage = Coverage(),
    *,
    latched: Decision = Decision.HOLD,
    latched_guardrail: str | None = None,
) -> Verdict:
    """Decide from the tallies of the guardrails; `latched` is the decision that was reached before."""
    decision, guardrail = settle(policy, tallies, coverage, latched, latched_guardrail)
    standings = tuple(_standing(policy, each, tallies.get(each.name, Tally())) for each in policy.guardrails)
    gating = [standing for standing in standings if standing.gating]
    pairs = max((standing.pairs for standing in gating), default=0)
    needed: int | None = 0
    if decision is Decision.HOLD:
        guardrail, needed = _slowest(gating)
    return Verdict(
        decision=decision,
        reason=_reason(policy, decision, guardrail, standings, coverage, needed),
        guardrail=guardrail,
        pairs=pairs,
        pairs_needed=needed,
        coverage=coverage,
        standings=standings,
        alpha_promote=policy.alpha_promote,
        alpha_reject=policy.alpha_reject,
    )


def settle(
    policy: VerdictPolicy,
    tallies: Mapping[str, Tally],
    coverage: Coverage,
    latched: Decision,
    latched_guardrail: str | None,
) -> tuple[Decision, str | None]:
    """Return the decision and, of a REJECT, its guardrail; cheap enough to be asked after every pair."""
    if latched is Decision.REJECT:
        return latched, latched_guardrail
    gating = [(each.name, tallies.get(each.name, Tally())) for each in policy.guardrails if each.gating]
    bar = _rejection_bar(policy)
    failing = [(tally.log_rej, name) for name, tally in gating if tally.log_rej >= bar]
    if failing:
        return Decision.REJECT, max(failing)[1]
    if latched is Decision.PROMOTE:
        return latched, None
    enough = all(
        tally.log_ni >= math.log(1.0 / policy.alpha_promote) and tally.count >= policy.min_pairs for _, tally in gating
    )
    promoted = bool(gating) and enough and coverage.share >= policy.min_coverage
    return (Decision.PROMOTE if promoted else Decision.HOLD), None


def _rejection_bar(policy: VerdictPolicy) -> float:
    return math.log(max(1, policy.deciding) / policy.alpha_reject)


def _standing(policy: VerdictPolicy, guardrail: Guardrail, tally: Tally) -> Standing:
    low, high = interval(tally, policy.interval_alpha)
    return Standing(
        name=guardrail.name,
        margin=guardrail.margin,
        gating=guardrail.gating,
        pairs=tally.count,
        mean=tally.mean,
        low=low,
        high=high,
        log_ni=tally.log_ni,
        log_rej=tally.log_rej,
        passed=tally.log_ni >= math.log(1.0 / policy.alpha_promote),
        failed=tally.log_rej >= _rejection_bar(policy),
        pairs_needed=pairs_needed(tally, guardrail.margin, policy.alpha_promote, policy.min_pairs),
    )


def _slowest(gating: list[Standing]) -> tuple[str | None, int | None]:
    if not gating:
        return None, None
    slowest = max(gating, key=lambda each: math.inf if each.pairs_needed is None else each.pairs_needed)
    return slowest.name, slowest.pairs_needed


def _reason(
    policy: VerdictPolicy,
    decision: Decision,
    guardrail: str | None,
    standings: tuple[Standing, ...],
    coverage: Coverage,
    needed: int | None,
) -> str:
    named = next((standing for standing in standings if standing.name == guardrail), None)
    if decision is Decision.REJECT:
        mean = 0.0 if named is None or named.mean is None else named.mean
        margin = 0.0 if named is None else named.margin
        return (
            f"{guardrail}: the candidate is worse by {_points(mean)}, more than the margin of {_points(margin)}"
            f" (wrong with a chance of at most {policy.alpha_reject:.2g})"
        )
    if decision is Decision.PROMOTE:
        claim = "safe to promote" if policy.quality else "operationally safe to promote; quality was not scored"
        return (
            f"within the margin of every guardrail: {claim} (wrong with a chance of at most {policy.alpha_promote:.2g})"
        )
    if named is None:
        return "no guardrail decides"
    if coverage.share < policy.min_coverage:
        return f"only {coverage.share:.0%} of the mirrored traffic was compared, {policy.min_coverage:.0%} are needed"
    if needed is None:
        return f"{named.name}: the difference so far is at its margin of {_points(named.margin)} or beyond"
    return f"{named.name} needs about {needed} more pairs"


def _points(share: float) -> str:
    return f"{share * 100:.2g} pt"
