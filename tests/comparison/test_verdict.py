import math

import pytest

from mirrorgate.comparison.evidence import Evidence, Tally
from mirrorgate.comparison.guardrails import Guardrail
from mirrorgate.comparison.verdict import Coverage, Decision, VerdictPolicy, decide, settle

POLICY = VerdictPolicy((Guardrail("errors", 0.01), Guardrail("refusal", 0.02), Guardrail("divergence", 0.03, False)))
PASSED = Tally(1000, log_ni=math.log(100.0) + 1e-9)
FAILED = Tally(50, total=10.0, squares=10.0, log_rej=math.log(2 / 0.05) + 1e-9)


def test_nothing_is_held() -> None:
    """Before the first pair the verdict is HOLD, with a guardrail that says how many pairs it takes."""
    verdict = decide(POLICY, {})
    assert (verdict.decision, verdict.pairs) == (Decision.HOLD, 0)
    assert verdict.guardrail in ("errors", "refusal")
    assert [standing.name for standing in verdict.standings] == ["errors", "refusal", "divergence"]


def test_promote_needs_every_deciding_guardrail() -> None:
    """One that has not passed holds; one that does not decide is not waited for."""
    assert decide(POLICY, {"errors": PASSED}).decision is Decision.HOLD
    verdict = decide(POLICY, {"errors": PASSED, "refusal": PASSED})
    assert (verdict.decision, verdict.pairs_needed) == (Decision.PROMOTE, 0)
    assert "quality was not scored" in verdict.reason


def test_promote_needs_pairs_and_coverage() -> None:
    """Strong evidence from few pairs, or from a corner of the traffic, is held."""
    few = {"errors": PASSED, "refusal": Tally(199, log_ni=99.0)}
    assert decide(POLICY, few).decision is Decision.HOLD
    tallies = {"errors": PASSED, "refusal": PASSED}
    thin = decide(POLICY, tallies, Coverage(compared=1, dropped=2))
    assert thin.decision is Decision.HOLD
    assert "33%" in thin.reason
    assert decide(POLICY, tallies, Coverage(compared=1, dropped=1)).decision is Decision.PROMOTE


def test_reject_names_its_guardrail_and_needs_no_minimum() -> None:
    """Any guardrail's evidence beyond K/alpha is enough, with K the deciding ones."""
    verdict = decide(POLICY, {"errors": PASSED, "refusal": FAILED})
    assert (verdict.decision, verdict.guardrail) == (Decision.REJECT, "refusal")
    assert "worse by 20 pt" in verdict.reason
    assert decide(POLICY, {"refusal": Tally(50, log_rej=math.log(2 / 0.05) - 1e-9)}).decision is Decision.HOLD
    assert decide(POLICY, {"divergence": FAILED}).decision is Decision.HOLD


def test_decisions_latch() -> None:
    """What was reached stays, but for a REJECT after a PROMOTE."""
    calm = {"errors": Tally(2000), "refusal": Tally(2000)}
    assert decide(POLICY, calm, latched=Decision.PROMOTE).decision is Decision.PROMOTE
    rejected = decide(POLICY, calm, latched=Decision.REJECT, latched_guardrail="errors")
    assert (rejected.decision, rejected.guardrail) == (Decision.REJECT, "errors")
    assert settle(POLICY, {"refusal": FAILED}, Coverage(), Decision.PROMOTE, None) == (Decision.REJECT, "refusal")


def test_without_guardrails_nothing_is_promoted() -> None:
    """An empty policy proves nothing."""
    verdict = decide(VerdictPolicy(()), {})
    assert (verdict.decision, verdict.reason) == (Decision.HOLD, "no guardrail decides")


def test_hold_says_what_it_waits_for() -> None:
    """The slowest guardrail is named with its pairs, or as hopeless."""
    evidence = Evidence(0.02)
    for _ in range(100):
        evidence.update(0.0)
    verdict = decide(POLICY, {"errors": PASSED, "refusal": evidence.tally()})
    assert verdict.guardrail == "refusal"
    assert verdict.reason == f"refusal needs about {verdict.pairs_needed} more pairs"
    worse = Tally(100, total=5.0, squares=5.0)
    assert "at its margin of 2 pt or beyond" in decide(POLICY, {"errors": PASSED, "refusal": worse}).reason


def test_coverage_adds_up() -> None:
    """Counts of replicas are summed; without traffic the share is whole."""
    assert Coverage(1, 2, 3) + Coverage(4, 5, 6) == Coverage(5, 7, 9)
    assert Coverage().share == 1.0
    assert Coverage(1, 5, 3).share == pytest.approx(0.25)
