import dataclasses
from typing import Any

import pytest

from mirrorgate.comparison.assessment import Assessment, assess
from mirrorgate.comparison.guardrails import DEFAULT_MARGINS, Slo
from mirrorgate.comparison.losses import losses_of, score_difference
from mirrorgate.comparison.pairs import Outcome, PairComparison
from mirrorgate.comparison.tool_calls import CallCheck
from mirrorgate.inference.completions import Broken, Choice, Completion, Shape

GOOD = assess(Completion(200, Shape.COMPLETION, choices=(Choice(0, "a", finish_reason="stop"),), done=True), None, None)
CALL = CallCheck("f", True, True, True)
SLO = Slo(ttft=0.5, itl=0.1, e2e=2.0)


def side(**changes: Any) -> Assessment:
    return dataclasses.replace(GOOD, **changes)


def pair(primary: Assessment, candidate: Assessment, similarity: float | None = 1.0) -> PairComparison:
    return PairComparison(Outcome.SAME, primary, candidate, similarity)


FAILED = side(failed=True, status=500, readable=False)
BROKEN = side(broken=Broken.NO_DONE_MARKER, readable=False)


@pytest.mark.parametrize(
    ("guardrail", "bad"),
    [
        ("errors", FAILED),
        ("broken_streams", BROKEN),
        ("truncation", side(truncated=True)),
        ("refusal", side(refused=True)),
        ("emptiness", side(empty=True)),
        ("repetition", side(repetitive=True)),
        ("json_schema", side(schema_valid=False)),
        ("tool_calls", side(calls=(dataclasses.replace(CALL, parsed=False),))),
        ("tool_calls", side(unparsed_call=True)),
        ("ttft_slo", side(ttft=0.6)),
        ("itl_slo", side(itl_mean=0.2)),
        ("e2e_slo", side(e2e=3.0)),
    ],
)
def test_a_loss_counts_against_its_side(guardrail: str, bad: Assessment) -> None:
    """1 against the candidate, -1 against the primary, 0 when both lose or neither."""
    good = side(ttft=0.1, itl_mean=0.01, e2e=1.0)
    assert losses_of(pair(good, bad), SLO)[guardrail] == 1.0
    assert losses_of(pair(bad, good), SLO)[guardrail] == -1.0
    assert losses_of(pair(bad, bad), SLO)[guardrail] == 0.0
    assert losses_of(pair(good, good), SLO)[guardrail] == 0.0


def test_every_guardrail_is_observed_where_it_does_not_apply() -> None:
    """A pair without tool calls, schema or stream counts as no difference, so that margins are shares of all pairs."""
    found = losses_of(pair(GOOD, GOOD), SLO)
    assert set(found) == set(DEFAULT_MARGINS) - {"divergence"}
    assert set(found.values()) == {0.0}


def test_a_failure_is_counted_once_and_misses_every_slo() -> None:
    """Content is not judged, latency is lost."""
    lost = {name for name, value in losses_of(pair(side(ttft=0.1, truncated=True), FAILED), SLO).items() if value}
    assert lost == {"errors", "ttft_slo"} | lost & {"itl_slo", "e2e_slo"}
    full = side(ttft=0.1, itl_mean=0.01, e2e=1.0)
    lost = {name for name, value in losses_of(pair(full, BROKEN), SLO).items() if value == 1.0}
    assert lost == {"broken_streams", "ttft_slo", "itl_slo", "e2e_slo"}


def test_a_client_that_leaves_scores_neither_side() -> None:
    """Nothing is observed at all."""
    assert losses_of(pair(side(scored=False), FAILED), SLO) == {}
    assert losses_of(pair(GOOD, side(scored=False)), SLO) == {}


def test_calls_that_only_one_side_makes() -> None:
    """A call that is missing beside a valid one is a loss; beside an invalid one it is not."""
    calling, broken = side(calls=(CALL,)), side(calls=(dataclasses.replace(CALL, known=False),))
    assert losses_of(pair(calling, GOOD), SLO)["tool_calls"] == 1.0
    assert losses_of(pair(GOOD, calling), SLO)["tool_calls"] == -1.0
    assert losses_of(pair(GOOD, broken), SLO)["tool_calls"] == 1.0


def test_divergence_is_the_excess_over_the_control() -> None:
    """Without a control it is not observed; with one it is the difference of the distances."""
    comparison = pair(GOOD, GOOD, 0.6)
    assert "divergence" not in losses_of(comparison, SLO)
    assert losses_of(comparison, SLO, control=pair(GOOD, GOOD, 0.9))["divergence"] == pytest.approx(0.3)
    assert "divergence" not in losses_of(comparison, SLO, control=pair(GOOD, side(scored=False)))
    failed = PairComparison(Outcome.CANDIDATE_FAILED, GOOD, FAILED)
    assert losses_of(failed, SLO, control=pair(GOOD, GOOD, 1.0))["divergence"] == 1.0


@pytest.mark.parametrize(("score", "difference"), [(0.0, 1.0), (0.5, 0.0), (1.0, -1.0), (0.75, -0.5)])
def test_scores_become_differences(score: float, difference: float) -> None:
    """A tie is no difference, a better candidate a negative one."""
    assert score_difference(score) == difference
    assert losses_of(pair(GOOD, GOOD), SLO, scores={"taste": score})["taste"] == difference


def test_scores_outside_the_bounds_are_refused() -> None:
    """A scorer that breaks its contract must not break the guarantee."""
    with pytest.raises(ValueError, match="score"):
        score_difference(1.5)
