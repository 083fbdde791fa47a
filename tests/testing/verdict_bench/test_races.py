import random

import pytest

from mirrorgate.comparison.guardrails import GuardrailName
from mirrorgate.comparison.verdict import Decision
from mirrorgate.testing.verdict_bench.pool import Sample
from mirrorgate.testing.verdict_bench.races import (
    EQUIVALENCE,
    MODES,
    REPLACEMENT,
    Finish,
    Mode,
    drawn,
    finish_of,
    middle,
    rivals_of,
    shuffled,
)

NONE = frozenset[str]()


def sample(field: str = "", status: int = 200, **losses: float) -> Sample:
    every = {name.value: 0.0 for name in GuardrailName} | losses
    return Sample(every, frozenset({field} if field else ()), NONE, status, 0.1)


def finished(samples: list[Sample], mode: Mode, most: int) -> Finish:
    rng = random.Random(1)
    return finish_of(drawn(samples, rng, most), mode, rng)


def test_what_is_broken_is_rejected_and_named() -> None:
    """In every mode, within the pairs of the run."""
    for mode in MODES:
        finish = finished([sample(errors=1.0), sample()], mode, 200)
        assert (finish.decision, finish.guardrail) == (Decision.REJECT, "errors")
        assert finish.pairs < 50


def test_the_control_arm_thins_divergence_out() -> None:
    """With a fifth of the controls it takes about five times the pairs; without a control it is not looked at."""
    samples = [sample(divergence=0.5)]
    pairs = [finished(samples, mode, 400).pairs for mode in MODES[:2]]
    assert pairs[0] > 3 * pairs[1]
    assert finished(samples, REPLACEMENT, 400).decision is Decision.HOLD


def test_a_run_without_a_decision_holds() -> None:
    """The last pair of a run is where it ends."""
    finish = finished([sample()], EQUIVALENCE, 30)
    assert (finish.decision, finish.pairs, finish.guardrail) == (Decision.HOLD, 30, None)


def test_rivals_see_their_own_signals() -> None:
    """Diffy sees fields, the thresholds see statuses and times."""
    fields = rivals_of([sample("text")] * 120, 1.0, 100)
    assert (fields.diffy_first, fields.diffy_at_look, fields.argo, fields.flagger) == (1, True, None, None)
    failing = rivals_of([sample(status=500)] * 600, 1.0, 100)
    assert (failing.diffy_first, failing.diffy_at_look, failing.argo, failing.flagger) == (None, False, 100, 500)


@pytest.mark.parametrize(
    ("values", "expected"), [([], None), ([3, None, 1], 3.0), ([None, None, 1], None), ([1, 2], 1.5)]
)
def test_the_median_counts_what_never_happened(values: list[int | None], expected: float | None) -> None:
    """Never is later than any pair."""
    assert middle(values) == expected


def test_a_small_pool_is_only_put_into_another_order() -> None:
    """No sample counts twice."""
    pool = [sample(status=status) for status in range(200, 230)]
    found = list(shuffled(pool, random.Random(1)))
    assert found != pool
    assert sorted(each.status for each in found) == [each.status for each in pool]
