"""The budget is exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.shadow.budget import Budget


@given(st.integers(0, 1000), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))))
def test_queued_and_reserved_never_exceed_the_limit(limit: int, steps: list[tuple[int, int, int]]) -> None:
    """Whatever is asked for, promises and queued bytes stay within the limit, and what fits is never refused."""
    budget = Budget(limit)
    held: list[int] = []
    for queued, size, immediate in steps:
        before = budget.reserved
        fits = queued + before + size + immediate <= limit
        assert budget.reserve(queued, size, immediate) is fits
        if fits:
            held.append(size)
            assert queued + immediate + budget.reserved <= limit
        else:
            assert budget.reserved == before
    for size in held:
        budget.release(size)
    assert budget.reserved == 0


def test_giving_back_too_much_is_a_bug() -> None:
    """A release beyond what was promised raises."""
    budget = Budget(10)
    assert budget.reserve(0, 5)
    with pytest.raises(ValueError, match="released"):
        budget.release(6)
    budget.reset()
    assert budget.reserved == 0
