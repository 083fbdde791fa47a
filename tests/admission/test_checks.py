"""What probes make of an endpoint: the table, and that it holds in any order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.checks import Check, Outcome

P, F, R, S = Outcome.PASSED, Outcome.FAILED, Outcome.RETRIABLE, Outcome.SILENT


@pytest.mark.parametrize(
    ("outcomes", "healthy"),
    [
        ("", False),
        ("P", True),
        ("F", False),
        ("S", False),
        ("SP", False),
        ("SPP", True),
        ("PF", False),
        ("PFP", False),
        ("PFPP", True),
        ("PFPSP", False),
        ("PSS", True),
        ("PSSS", False),
        ("PRRR", False),
        ("PRSR", False),
        ("PSSPSS", True),
        ("PSSF", False),
    ],
)
def test_a_course_of_probes(outcomes: str, healthy: bool) -> None:
    """With two to come in and three to go out; a new endpoint comes in with its first."""
    check = Check()
    for letter in outcomes:
        check.record({"P": P, "F": F, "R": R, "S": S}[letter], 2, 3)
    assert check.healthy is healthy
    assert check.known is bool(outcomes)


@given(st.lists(st.sampled_from(Outcome)), st.integers(1, 5), st.integers(1, 5))
def test_changes_are_told_and_counted(outcomes: list[Outcome], good: int, bad: int) -> None:
    """Each change is told once; an endpoint that is in has passed last, or failed fewer times in a row than it may."""
    check = Check()
    healthy = False
    for outcome in outcomes:
        healthy ^= check.record(outcome, good, bad)
        assert check.healthy is healthy
        if outcome is F:
            assert not healthy
    assert (check.attempts, check.successes) == (len(outcomes), outcomes.count(P))
    assert (check.failures, check.silences) == (len(outcomes) - outcomes.count(P), outcomes.count(S))
    if len(outcomes) >= bad and all(outcome is S for outcome in outcomes[-bad:]):
        assert not healthy
    if len(outcomes) >= good and all(outcome is P for outcome in outcomes[-good:]):
        assert healthy
