import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.evidence import Evidence, EvidenceState, Tally, interval, pairs_needed, summed
from mirrorgate.comparison.trials import between, independent

differences = st.lists(st.sampled_from([-1.0, 0.0, 0.0, 0.0, 1.0]) | st.floats(-1.0, 1.0), max_size=60)
margins = st.sampled_from([0.005, 0.03, 0.3])


def after(values: list[float], margin: float) -> Evidence:
    evidence = Evidence(margin)
    for value in values:
        evidence.update(value)
    return evidence


def test_evidence_starts_at_one() -> None:
    """No pair is no evidence, for or against."""
    evidence = Evidence(0.02)
    assert (evidence.log_ni, evidence.log_rej) == (pytest.approx(0.0), pytest.approx(0.0))
    assert evidence.interval() == (-1.0, 1.0)


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.1, math.nan])
def test_margins_outside_the_open_interval_are_refused(margin: float) -> None:
    """A margin of zero could never be shown to hold."""
    with pytest.raises(ValueError, match="margin"):
        Evidence(margin)


@pytest.mark.parametrize("value", [1.0001, -2.0, math.nan, math.inf])
def test_differences_outside_the_bounds_are_refused(value: float) -> None:
    """The guarantee rests on the bounds."""
    with pytest.raises(ValueError, match="difference"):
        Evidence(0.1).update(value)


@given(differences, margins, st.floats(0.0, 1.0))
def test_wealth_is_a_supermartingale_at_the_margin(history: list[float], margin: float, spread: float) -> None:
    """Whatever came before, a difference whose mean is the margin does not raise the expected wealth, on either side.

    Exact: the expectation is taken over three outcomes. This is what the error rates rest on.
    """
    up = margin + spread * (1.0 - margin) / 2.0
    outcomes = ((1.0, up), (-1.0, up - margin), (0.0, 1.0 - 2.0 * up + margin))
    if any(chance < 0 for _, chance in outcomes):
        return
    assert sum(value * chance for value, chance in outcomes) == pytest.approx(margin)
    now = after(history, margin)
    for side in ("log_ni", "log_rej"):
        expected = math.fsum(
            chance * math.exp(getattr(after([*history, value], margin), side) - getattr(now, side))
            for value, chance in outcomes
        )
        assert expected <= 1.0 + 1e-9


@given(differences, margins)
def test_state_goes_through_json_to_the_last_digit(values: list[float], margin: float) -> None:
    """A restart in the middle changes nothing at all."""
    straight = after(values, margin)
    half = after(values[: len(values) // 2], margin)
    stored = msgspec.json.encode(half.state())
    resumed = Evidence.from_state(msgspec.json.decode(stored, type=EvidenceState))
    for value in values[len(values) // 2 :]:
        resumed.update(value)
    assert resumed.state() == straight.state()
    assert resumed.tally() == straight.tally()


@pytest.mark.parametrize(
    "change",
    [{"ni": (0.0,)}, {"count": -1}, {"total": math.nan}, {"squares": 5.0}, {"margin": 2.0}, {"rej": (0.0,) * 5}],
)
def test_damaged_states_are_refused(change: dict[str, object]) -> None:
    """Evidence is never made up from a damaged checkpoint."""
    with pytest.raises(ValueError, match=r"state|margin"):
        Evidence.from_state(_changed(change))


def _changed(change: dict[str, object]) -> EvidenceState:
    state = msgspec.to_builtins(after([0.0, 1.0], 0.1).state()) | change
    return EvidenceState(**{**state, "ni": tuple(state["ni"]), "rej": tuple(state["rej"])})


@given(st.lists(differences, max_size=4), margins)
def test_tallies_add_up_in_any_order(streams: list[list[float]], margin: float) -> None:
    """The total over replicas does not depend on which comes first."""
    tallies = [after(values, margin).tally() for values in streams]
    assert summed(tallies) == summed(reversed(tallies))
    assert summed(tallies).count == sum(map(len, streams))
    assert summed([]) == Tally()


@given(differences, margins)
def test_interval_holds_the_observed_mean(values: list[float], margin: float) -> None:
    """It is an interval around what was seen, inside the bounds."""
    tally = after(values, margin).tally()
    low, high = interval(tally)
    assert -1.0 <= low <= high <= 1.0
    if tally.mean is not None:
        assert low <= tally.mean <= high


def test_interval_covers_the_mean_at_all_times_at_once() -> None:
    """Looked at over and over, it excludes the true mean in fewer runs than it may."""
    rng = random.Random(20261122)
    missed = 0
    for draw, mean in ((independent(0.05, 0.15), 0.1), (independent(0.0, 0.02), 0.02), (between(0.2, 0.3, 5.0), 0.1)):
        for _ in range(30):
            evidence = Evidence(0.05)
            for pair in range(1, 601):
                evidence.update(draw(rng))
                if pair in (5, 20) or pair % 50 == 0:
                    low, high = evidence.interval(0.1)
                    if not low <= mean <= high:
                        missed += 1
                        break
    assert missed <= 9


def test_interval_and_evidence_agree_where_nothing_differs() -> None:
    """When non-inferiority is shown, the interval's upper end is near the margin, and the interval shrinks."""
    evidence = Evidence(0.01)
    pairs = 0
    while evidence.log_ni < math.log(100):
        evidence.update(0.0)
        pairs += 1
    assert 480 <= pairs <= 560
    low, high = evidence.interval()
    assert high == pytest.approx(0.01, rel=0.3)
    assert low == pytest.approx(-high)


def test_pairs_needed_counts_down() -> None:
    """The estimate is right for steady traffic, 0 when shown, and none where the candidate is worse."""
    evidence = after([0.0] * 200, 0.01)
    assert 250 <= (evidence.pairs_needed(0.01) or 0) <= 450
    assert after([0.0] * 600, 0.01).pairs_needed(0.01) == 0
    assert after([0.0] * 600, 0.01).pairs_needed(0.01, min_pairs=1000) == 400
    assert after([0.0, 1.0] * 100, 0.01).pairs_needed(0.01) is None
    assert pairs_needed(Tally(), 0.5, 0.01, 200) is not None
