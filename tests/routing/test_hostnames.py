"""Hostnames: normal form, wildcards, intersection, order of lookup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.routing.hostnames import candidates, covers, host_of, intersect, specificity

label = st.sampled_from(["a", "b", "api", "com"])
name = st.lists(label, min_size=1, max_size=4).map(".".join)
pattern = st.one_of(st.just(""), name, name.map(lambda text: f"*.{text}"))


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("Example.COM", "example.com"),
        ("example.com:8080", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("example.com:", "example.com"),
        ("[::1]:8080", "[::1]"),
        ("[::1]", "[::1]"),
        ("[::1", "[::1"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("example.com:80x", "example.com:80x"),
        ("", ""),
        (":80", ""),
    ],
)
def test_host_of(authority: str, host: str) -> None:
    """A Host value loses case, port and trailing dot; malformed ones stay as they are."""
    assert host_of(authority) == host


@pytest.mark.parametrize(
    ("declared", "host", "expected"),
    [
        ("", "anything", True),
        ("", "", True),
        ("foo.com", "foo.com", True),
        ("foo.com", "bar.foo.com", False),
        ("*.foo.com", "bar.foo.com", True),
        ("*.foo.com", "a.b.foo.com", True),
        ("*.foo.com", "foo.com", False),
        ("*.foo.com", ".foo.com", False),
        ("*.foo.com", "barfoo.com", False),
        ("foo.com", "", False),
    ],
)
def test_covers(declared: str, host: str, expected: bool) -> None:
    """A wildcard stands for any number of labels, at least one."""
    assert covers(declared, host) is expected


@pytest.mark.parametrize(
    ("listener", "route", "expected"),
    [
        ("", "*.foo.com", True),
        ("very.specific.com", "very.specific.com", True),
        ("very.specific.com", "*.specific.com", True),
        ("very.specific.com", "specific.com", False),
        ("*.wildcard.io", "foo.wildcard.io", True),
        ("*.wildcard.io", "wildcard.io", False),
        ("*.anotherwildcard.io", "*.wildcard.io", False),
        ("*.a.foo.com", "*.foo.com", True),
        ("*.foo.com", "*.a.foo.com", True),
    ],
)
def test_intersect(listener: str, route: str, expected: bool) -> None:
    """Hostnames of listener and route intersect as the conformance test httproute-hostname-intersection has it."""
    assert intersect(listener, route) is expected
    assert intersect(route, listener) is expected


@given(pattern, name)
def test_candidates_are_what_covers(declared: str, host: str) -> None:
    """Looking up the candidates of a host finds exactly the declared hostnames that match it."""
    assert (declared in candidates(host)) is covers(declared, host)


@given(name)
def test_candidates_come_most_specific_first(host: str) -> None:
    """The order of lookup is the order of precedence."""
    keys = [specificity(entry) for entry in candidates(host)]
    assert keys == sorted(keys)


@given(pattern, pattern, name)
def test_a_host_of_both_is_an_intersection(one: str, other: str, host: str) -> None:
    """Two hostnames that match one host intersect."""
    if covers(one, host) and covers(other, host):
        assert intersect(one, other)


def test_an_endless_host_is_not_looked_up() -> None:
    """A host longer than DNS allows matches only what takes any host."""
    assert list(candidates("a." * 4000 + "com")) == [""]
