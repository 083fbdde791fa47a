"""Regular expressions of routes: whole matches, in time that grows with the text alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.routing.regexes import BadPattern, Regex


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("/v[0-9]+/.*", "/v1/chat", True),
        ("/v[0-9]+", "/v1/chat", False),
        ("chat", "/chat", False),
        ("(?i)gold|silver", "GOLD", True),
        ("[[:alpha:]]+", "abc", True),
        ("é+", "éé", True),
        (".*", "caf\udce9", False),
        ("", "", True),
    ],
)
def test_the_whole_text_matches(pattern: str, text: str, fits: bool) -> None:
    """As Envoy's `safe_regex` does; bytes of a header that are no UTF-8 fit nothing."""
    assert Regex(pattern).fits(text) is fits


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "(a)\\1", "(((a{1000}){1000}){1000})", "*", "(?<n"])
def test_what_re2_does_not_understand(pattern: str) -> None:
    """No look-ahead, no back-reference, nothing that would be too large: the reason is said."""
    with pytest.raises(BadPattern) as caught:
        Regex(pattern)
    assert str(caught.value)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|aa)+b", "(.*)*b", "a*a*a*a*a*a*a*a*b"])
def test_no_pattern_backtracks(pattern: str) -> None:
    """Patterns that take a backtracking matcher longer than the test may last, on a text of 60,000 characters."""
    assert not Regex(pattern).fits("a" * 60_000 + "c")


@given(st.text(max_size=20))
def test_equal_patterns_are_equal(text: str) -> None:
    """A table that is compiled anew from the same manifests is the same; any text is judged without an error."""
    assert Regex("a|b.*") == Regex("a|b.*") != Regex("b")
    assert Regex("(?s).*").fits(text) is True
