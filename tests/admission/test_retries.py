"""Places for retries: a number, or a share of what is under way."""

import pytest

from mirrorgate.admission.limits import Limits
from mirrorgate.admission.retries import Retries


@pytest.mark.parametrize(
    ("limits", "load", "most"),
    [
        (Limits(), 0, 1024),
        (Limits(retries=0), 1000, 0),
        (Limits(retries=2), 0, 2),
        (Limits(retry_budget=0.2), 0, 3),
        (Limits(retry_budget=0.2), 19, 3),
        (Limits(retry_budget=0.2), 20, 4),
        (Limits(retry_budget=0.2, least_retries=1), 10, 2),
        (Limits(retry_budget=0.2, least_retries=0), 4, 0),
        (Limits(retries=0, retry_budget=1.0), 7, 7),
    ],
)
def test_how_many_there_may_be(limits: Limits, load: int, most: int) -> None:
    """A budget replaces the number, and never falls under its minimum."""
    retries = Retries()
    assert limits.most_retries(load) == most
    taken = [retries.take(limits, load) for _ in range(most + 1)]
    assert taken == [True] * most + [False]
    assert (retries.active, retries.counters.begun, retries.counters.overflow) == (most, most, 1)


def test_a_place_is_given_back_once() -> None:
    """One more is a bug of the caller's."""
    retries = Retries()
    assert retries.take(Limits(retries=1), 0)
    retries.give_back()
    assert retries.take(Limits(retries=1), 0)
    retries.give_back()
    with pytest.raises(ValueError, match="no retry is under way"):
        retries.give_back()
