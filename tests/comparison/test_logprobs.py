import math

import pytest

from mirrorgate.comparison.logprobs import compare_tokens, first_token_divergence
from mirrorgate.inference.completions import Token


def token(text: str, p: float, **top: float) -> Token:
    return Token(text, math.log(p), tuple((name, math.log(each)) for name, each in top.items()))


def test_equal_distributions_do_not_diverge() -> None:
    """The same tokens with the same probabilities have no gap and no divergence."""
    tokens = (token("a", 0.5, a=0.5, b=0.25), token("c", 0.9, c=0.9))
    found = compare_tokens(tokens, tokens)
    assert found is not None
    assert (found.tokens, found.mean_gap, found.mean_kl) == (2, 0.0, pytest.approx(0.0))


def test_divergence_is_that_of_the_reported_alternatives() -> None:
    """Shared alternatives count one by one, all others as one outcome."""
    found = compare_tokens([token("a", 0.5, a=0.5, b=0.4)], [token("a", 0.25, a=0.25, c=0.7)])
    assert found is not None
    assert found.mean_gap == pytest.approx(math.log(2))
    assert found.mean_kl == pytest.approx(0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75))


def test_nothing_is_compared_behind_the_first_difference() -> None:
    """Behind it the contexts differ."""
    found = compare_tokens([token("a", 0.5), token("b", 0.5)], [token("x", 0.5), token("b", 0.1)])
    assert found is not None
    assert (found.tokens, found.mean_gap, found.mean_kl) == (1, None, None)
    assert compare_tokens([], [token("a", 1.0)]) is None


@pytest.mark.parametrize(
    ("first", "second", "place"),
    [("ab", "ab", None), ("ab", "ax", 1), ("ab", "a", 1), ("", "a", None)],
)
def test_first_token_divergence(first: str, second: str, place: int | None) -> None:
    """Tokens are compared by their text; a side without log probabilities says nothing."""
    tokens = [[Token(letter, -1.0) for letter in side] for side in (first, second)]
    assert first_token_divergence(*tokens) == place
