"""What is asked of a report."""

from __future__ import annotations

import pytest

from mirrorgate.reporting.terms import ALL, DECLARED, Selection, Terms
from mirrorgate.testing.journals import plain_basis


def test_the_defaults_choose_everything_and_change_nothing() -> None:
    """And there is nothing to tell."""
    basis = plain_basis()
    assert ALL.takes("any")
    assert ALL.covers(0.0)
    assert (ALL.words(), DECLARED.words(), DECLARED.changed) == ((), (), False)
    assert DECLARED.policy(basis) == basis.policy


@pytest.mark.parametrize(("at", "inside"), [(0.9, False), (1.0, True), (1.9, True), (2.0, False)])
def test_a_span_has_its_beginning_and_not_its_end(at: float, inside: bool) -> None:
    """So that spans side by side share nothing."""
    assert Selection(since=1.0, until=2.0).covers(at) is inside


def test_terms_replace_what_they_name() -> None:
    """The rest is as declared."""
    basis = plain_basis()
    policy = Terms({"errors": 0.2}, min_pairs=3).policy(basis)
    margins = {guardrail.name: guardrail.margin for guardrail in policy.guardrails}
    assert (margins["errors"], margins["refusal"]) == (0.2, 0.02)
    assert (policy.min_pairs, policy.alpha_promote) == (3, basis.policy.alpha_promote)
