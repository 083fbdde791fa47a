"""Precedence: the criteria in their order, and the age of objects."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.routing.precedence import age_of, precedence
from mirrorgate.routing.table import HeaderMatch, Match, PathKind, PathMatch, Rule

RULE = Rule(("default", "route"), 1, None, "c")
AGE = age_of(None, 0, "default", "route")


def match(
    hostname: str = "",
    kind: PathKind = PathKind.PREFIX,
    path: str = "/",
    method: str | None = None,
    headers: int = 0,
    query: int = 0,
    index: int = 0,
) -> Match:
    values = [HeaderMatch(f"n{n}", "v") for n in range(16)]
    return Match(hostname, PathMatch(kind, path), method, tuple(values[:headers]), tuple(values[:query]), RULE, index)


def test_each_criterion_outweighs_all_that_follow() -> None:
    """Hostname, path, method, headers, query, in this order (HTTPRouteRule.matches)."""
    ordered = [
        match("aa.com"),
        match("a.com", PathKind.EXACT, "/x", "GET", 3, 3),
        match("*.aa.com", PathKind.EXACT, "/"),
        match("*.aa.com", PathKind.REGEX, "/.*"),
        match("*.aa.com", path="/long/path"),
        match("*.a.com", PathKind.EXACT, "/long/path", "GET"),
        match("", path="/long/path"),
        match("", path="/long", method="GET"),
        match("", path="/long", headers=2),
        match("", path="/long", headers=1, query=5),
        match("", path="/long", headers=1, query=1),
        match("", path="/long", headers=1, query=0),
        match("", path="/long", headers=1, query=0, index=1),
        match("", path="/", method="GET", headers=9, query=9),
    ]
    keys = [precedence(entry, AGE) for entry in ordered]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_a_trailing_slash_adds_nothing() -> None:
    """`/v2/` and `/v2` are one prefix."""
    assert precedence(match(path="/v2/"), AGE) == precedence(match(path="/v2"), AGE)


def test_age() -> None:
    """The oldest comes first, then the name; objects without a time follow in the order of the files."""
    old, new = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    ordered = [
        age_of(old, 9, "default", "z"),
        age_of(new, 8, "default", "a"),
        age_of(new, 7, "default", "b"),
        age_of(None, 0, "default", "z"),
        age_of(None, 1, "default", "a"),
    ]
    assert ordered == sorted(ordered)


times = st.none() | st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
ages = st.builds(age_of, times, st.integers(0, 3), st.just("ns"), st.sampled_from(["a", "b"]))


@given(ages, ages, ages)
def test_ages_are_totally_ordered(one: tuple[int], other: tuple[int], third: tuple[int]) -> None:
    """Ages compare without error, transitively."""
    assert (one < other) + (one == other) + (one > other) == 1
    if one <= other <= third:
        assert one <= third
