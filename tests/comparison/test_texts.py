import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.texts import first_divergence, normalised, similarity


@pytest.mark.parametrize(
    ("text", "result"),
    [("  a \n\t b ", "a b"), ("e\u0301", "\u00e9"), ("", ""), ("\u00a0a", "a")],
)
def test_form_is_ignored(text: str, result: str) -> None:
    """Unicode's composition and white space do not count."""
    assert normalised(text) == result


@pytest.mark.parametrize(
    ("first", "second", "place"),
    [("a", "a", None), ("", "", None), ("abc", "abd", 2), ("ab", "abc", 2), ("", "a", 0), ("xbc", "abc", 0)],
)
def test_divergence_is_the_first_character_that_differs(first: str, second: str, place: int | None) -> None:
    """A text that goes on diverges where the other ends."""
    assert first_divergence(first, second) == place


@given(st.text(max_size=30), st.text(max_size=30))
def test_divergence_agrees_with_a_plain_loop(first: str, second: str) -> None:
    """Bisection finds what a loop over the characters finds."""
    expected = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    if expected is None and first != second:
        expected = min(len(first), len(second))
    assert first_divergence(first, second) == expected


@given(st.text(), st.text(), st.integers(1, 20))
def test_similarity_is_symmetric_and_bounded(first: str, second: str, limit: int) -> None:
    """It lies in [0, 1], is 1 for equal texts and does not know which side is which."""
    value = similarity(first, second, limit)
    assert value == similarity(second, first, limit)
    assert 0.0 <= value <= 1.0
    assert similarity(first, first, limit) == 1.0
