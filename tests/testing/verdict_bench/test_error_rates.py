import pytest
from scipy.stats import binom

from mirrorgate.testing.verdict_bench.error_rates import AA_TRAFFIC, AT_MARGIN, Traffic, simulated, upper_bound


def test_upper_bound_is_clopper_pearson() -> None:
    """No failure in n runs leaves 1 - 0.05 ** (1 / n); the bound is where so few have a chance of 5 %."""
    assert upper_bound(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert binom.cdf(7, 500, upper_bound(7, 500)) == pytest.approx(0.05)


@pytest.mark.parametrize("traffic", [each for each in AA_TRAFFIC if "outside" not in each.name], ids=lambda t: t.name)
def test_false_reject_stays_under_alpha(traffic: Traffic) -> None:
    """With eleven guardrails, looked at after every pair, in no more runs than alpha and chance allow."""
    found = simulated(traffic, 300, 600, 1)
    assert traffic.within
    assert found.rejected <= binom.ppf(0.999, 300, 0.05)


@pytest.mark.parametrize("traffic", AT_MARGIN[::3], ids=lambda t: t.name)
def test_false_promote_stays_under_alpha(traffic: Traffic) -> None:
    """At the margin of the only guardrail, in no more runs than alpha and chance allow."""
    found = simulated(traffic, 400, 800, 1)
    assert traffic.beyond
    assert found.promoted <= binom.ppf(0.999, 400, 0.01)


def test_an_outage_is_a_reject() -> None:
    """What the promise does not cover shows as such."""
    [traffic] = [each for each in AA_TRAFFIC if "outside" in each.name]
    assert simulated(traffic, 50, 2000, 1).rejected > 0


def test_a_better_candidate_is_promoted() -> None:
    """The simulation can tell right from wrong."""
    traffic = Traffic("better", (0.03,), lambda rng, runs, pair: -(rng.random((runs, 1)) < 0.1).astype(float))
    found = simulated(traffic, 50, 400, 1)
    assert (found.promoted, found.rejected) == (50, 0)
    assert found.median_promoted is not None
    assert found.median_promoted >= 200
