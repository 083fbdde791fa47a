from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.differences import Span, word_spans


def test_words_that_differ_are_marked() -> None:
    """Common words stay unmarked on both sides."""
    left, right = word_spans("The cat sat.", "The dog sat.")
    assert left == (Span("The ", False), Span("cat", True), Span(" sat.", False))
    assert right == (Span("The ", False), Span("dog", True), Span(" sat.", False))
    assert word_spans("a", "a") == ((Span("a", False),), (Span("a", False),))
    assert word_spans("", "a") == ((), (Span("a", True),))


def test_what_is_beyond_the_limit_is_one_span() -> None:
    """Long texts cost no more than the limit, and lose nothing."""
    left, right = word_spans("a b c d", "a b c e", limit=3)
    assert left == (Span("a b", False), Span(" c d", True))
    assert right[-1] == Span(" c e", True)


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 20))
def test_spans_joined_are_the_text(first: str, second: str, limit: int) -> None:
    """Nothing is lost, and the unmarked words are the same on both sides."""
    left, right = word_spans(first, second, limit)
    assert "".join(span.text for span in left) == first
    assert "".join(span.text for span in right) == second
    assert "".join(s.text for s in left if not s.differs) == "".join(s.text for s in right if not s.differs)
