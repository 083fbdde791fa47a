"""Tokens are counted in a sliding interval."""

from mirrorgate.shadow.token_budget import TokenBudgets


def test_the_budget_comes_back_as_the_interval_slides() -> None:
    """A cluster is refused once its tokens are used, and admitted again when they are old."""
    budgets = TokenBudgets()
    assert budgets.allows("a", 100, 60.0, 0.0)
    budgets.spend("a", 60, 1.0)
    assert budgets.allows("a", 100, 60.0, 2.0)
    budgets.spend("a", 60, 31.0)
    assert not budgets.allows("a", 100, 60.0, 32.0)
    assert budgets.allows("b", 100, 60.0, 32.0)
    assert budgets.allows("a", 100, 60.0, 61.5)
    assert budgets.allows("a", 1, 60.0, 92.0)


def test_a_long_interval_is_counted_in_grains_of_a_second() -> None:
    """Memory does not grow with the number of answers in one second."""
    budgets = TokenBudgets()
    for i in range(1000):
        budgets.spend("a", 1, i / 1000)
    assert not budgets.allows("a", 1000, 3600.0, 10.0)
    assert budgets.allows("a", 1001, 3600.0, 10.0)
    assert len(budgets._used["a"]) == 1
    budgets.spend("a", 0, 50.0)
    assert len(budgets._used["a"]) == 1
