import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.patterns import worst_cost


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}-\d{2}-\d{2}$",
        r"^[A-Z]{2,5}$",
        r"^[a-z]+@[a-z]+\.[a-z]+$",
        r"^https?://.+",
        r"^(\d{3}-)?\d{4}$",
        "^a$",
        "",
    ],
)
def test_everyday_patterns_are_cheap(pattern: str) -> None:
    """What schemas of tools hold may be judged for texts of a usual length."""
    assert worst_cost(pattern, 40) < 1_000_000_000
    assert worst_cost(pattern, 20) < 1_000_000


@pytest.mark.parametrize(
    "pattern", [r"^(a+)+$", r"(a|a)*b", r"^(?:a{1000}){1000}$", r"(x*)*", r"((a{9}){9}){9}", "a?" * 80 + "a" * 80]
)
def test_explosive_patterns_are_refused(pattern: str) -> None:
    """Repeated groups and long rows of options have no bound worth the name."""
    assert worst_cost(pattern, 100) > 1_000_000


@given(st.text(alphabet="a*+?(){},0123456789[]^$|\\b.", max_size=12))
def test_what_is_cheap_is_quick(pattern: str) -> None:
    """Whatever the estimate lets through ends soon on a text made to backtrack."""
    text = "a" * 60 + "!"
    cost = worst_cost(pattern, len(text))
    assert cost >= 0
    if math.isinf(cost) or cost > 1_000_000:
        return
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, FutureWarning):
        return
    started = time.process_time()
    compiled.search(text)
    assert time.process_time() - started < 1.0
