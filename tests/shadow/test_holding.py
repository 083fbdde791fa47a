"""Memory is counted against two bounds."""

import pytest

from mirrorgate.shadow.holding import Holding


def test_new_exchanges_may_fill_half_and_answers_the_rest() -> None:
    """An exchange is refused earlier than the answers of those that were admitted."""
    holding = Holding(100)
    assert holding.admits(50)
    assert not holding.admits(51)
    holding.force(50)
    assert not holding.admits(1)
    assert holding.take(50)
    assert not holding.take(1)
    holding.give(100)
    assert holding.held == 0
    with pytest.raises(ValueError, match="gave"):
        holding.give(1)
