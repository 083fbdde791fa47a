import pytest

from mirrorgate.comparison.guardrails import (
    DEFAULT_MARGINS,
    SCORER_MARGIN,
    Guardrail,
    GuardrailName,
    Slo,
    guardrails_of,
)


def names(found: tuple[Guardrail, ...]) -> list[str]:
    return [guardrail.name for guardrail in found]


def test_latency_gates_only_where_an_slo_is_declared() -> None:
    """Without an SLO nobody said what is too slow."""
    none = guardrails_of(equivalence=False, slo=Slo(), control=False)
    assert not {"ttft_slo", "itl_slo", "e2e_slo"} & set(names(none))
    assert "ttft_slo" in names(guardrails_of(equivalence=False, slo=Slo(ttft=0.5), control=False))


@pytest.mark.parametrize(
    ("equivalence", "control", "gating"), [(True, True, True), (False, True, False), (True, False, None)]
)
def test_divergence_gates_only_in_equivalence_with_a_control(
    equivalence: bool, control: bool, gating: bool | None
) -> None:
    """A replacement must differ, and without a noise floor nothing says how much is too much."""
    found = {each.name: each.gating for each in guardrails_of(equivalence=equivalence, slo=Slo(), control=control)}
    assert found.get("divergence") is gating


def test_users_margins_scorers_and_switches() -> None:
    """Margins are the user's, scorers come last, what is switched off is gone."""
    found = guardrails_of(
        equivalence=False,
        slo=Slo(),
        control=False,
        margins={"errors": 0.5, "taste": 0.1},
        disabled=["refusal"],
        scorers=["taste", "style"],
    )
    margins = {each.name: each.margin for each in found}
    assert (margins["errors"], margins["taste"], margins["style"]) == (0.5, 0.1, SCORER_MARGIN)
    assert "refusal" not in margins
    assert names(found)[-2:] == ["taste", "style"]
    assert set(DEFAULT_MARGINS) == set(GuardrailName)
