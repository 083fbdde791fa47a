"""Filters: header changes, path rewrites and redirects, by the tables of the Gateway API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.routing.filters import apply, redirect_location, rewrite_path
from mirrorgate.routing.table import HeaderChanges, PathRewrite, Redirect


def test_set_replaces_all_in_the_place_of_the_first() -> None:
    """A set header stands once, where it first stood, in the client's spelling."""
    fields = [(b"X-Some", b"1"), (b"Host", b"h"), (b"x-some", b"2")]
    assert apply(HeaderChanges(set=(("x-some", "new"),)), fields) == [(b"X-Some", b"new"), (b"Host", b"h")]


def test_set_adds_what_is_absent() -> None:
    """A set header that the request does not have comes last."""
    assert apply(HeaderChanges(set=(("x-a", "1"),)), [(b"Host", b"h")]) == [(b"Host", b"h"), (b"x-a", b"1")]


def test_add_appends() -> None:
    """An added header leaves the others and is a field of its own."""
    fields = [(b"X-A", b"1"), (b"Host", b"h")]
    assert apply(HeaderChanges(add=(("x-a", "2"),)), fields) == [*fields, (b"x-a", b"2")]


def test_remove_ignores_case() -> None:
    """A removed header goes with all its fields, whatever their spelling."""
    fields = [(b"X-A", b"1"), (b"Host", b"h"), (b"x-a", b"2")]
    assert apply(HeaderChanges(remove=("x-a",)), fields) == [(b"Host", b"h")]


def test_set_then_add_then_remove() -> None:
    """The three act in this order."""
    changes = HeaderChanges(set=(("x-a", "1"),), add=(("x-a", "2"), ("x-b", "3")), remove=("x-b", "x-c"))
    assert apply(changes, [(b"X-C", b"9")]) == [(b"x-a", b"1"), (b"x-a", b"2")]


field = st.tuples(st.sampled_from([b"A", b"a", b"B", b"c"]), st.binary(max_size=3))


@given(st.lists(field, max_size=8))
def test_no_changes_change_nothing(fields: list[tuple[bytes, bytes]]) -> None:
    """Without changes the fields stay as they are, but the list is another."""
    result = apply(HeaderChanges(), fields)
    assert result == fields
    assert result is not fields


@given(st.lists(field, max_size=8))
def test_set_leaves_exactly_one(fields: list[tuple[bytes, bytes]]) -> None:
    """After set there is one field of the name, and all others are untouched and in order."""
    result = apply(HeaderChanges(set=(("a", "v"),)), fields)
    assert [value for name, value in result if name.lower() == b"a"] == [b"v"]
    assert [f for f in result if f[0].lower() != b"a"] == [f for f in fields if f[0].lower() != b"a"]


@pytest.mark.parametrize(
    ("path", "prefix", "value", "expected"),
    [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/", "/", "/v1", "/v1"),
        ("/chat", "/", "/v1", "/v1/chat"),
        ("/foobar", "/foo", "/xyz", "/foobar"),
    ],
)
def test_replace_prefix_match(path: str, prefix: str, value: str, expected: str) -> None:
    """The table of `HTTPPathModifier.replacePrefixMatch`, with and without a query."""
    assert rewrite_path(PathRewrite(value, prefix), path) == expected
    assert rewrite_path(PathRewrite(value, prefix), path + "?q=/foo") == expected + "?q=/foo"


def test_replace_full_path() -> None:
    """A full path replaces everything but the query."""
    assert rewrite_path(PathRewrite("/one"), "/full/two?x=1") == "/one?x=1"
    assert rewrite_path(PathRewrite(""), "/full") == "/"


@pytest.mark.parametrize(
    ("redirect", "scheme", "host", "port", "expected"),
    [
        (Redirect(hostname="example.org"), "http", "h:1234", 80, "http://example.org/p?q=1"),
        (Redirect(hostname="example.org"), "http", "h", 8080, "http://example.org:8080/p?q=1"),
        (Redirect(hostname="example.org"), "https", "h", 443, "https://example.org/p?q=1"),
        (Redirect(scheme="https"), "http", "h", 8080, "https://h/p?q=1"),
        (Redirect(scheme="http"), "https", "h", 443, "http://h/p?q=1"),
        (Redirect(scheme="https", port=8443), "http", "h", 80, "https://h:8443/p?q=1"),
        (Redirect(scheme="https", port=443), "http", "h", 80, "https://h/p?q=1"),
        (Redirect(scheme="http", port=443), "http", "h", 80, "http://h:443/p?q=1"),
        (Redirect(port=8083), "http", "h", 80, "http://h:8083/p?q=1"),
        (Redirect(port=80), "http", "h", 8080, "http://h/p?q=1"),
        (Redirect(), "http", "[::1]:9", 80, "http://[::1]/p?q=1"),
        (Redirect(path=PathRewrite("/x", "/p")), "http", "h", 80, "http://h/x?q=1"),
        (Redirect(path=PathRewrite("/full")), "http", "h", 80, "http://h/full?q=1"),
        (Redirect(), "http", "", 80, "/p?q=1"),
        (Redirect(), "http", "h@evil", 80, "/p?q=1"),
    ],
)
def test_redirect_location(redirect: Redirect, scheme: str, host: str, port: int, expected: str) -> None:
    """Scheme, host, port and path as in the conformance tests httproute-redirect-*."""
    assert redirect_location(redirect, scheme, host, port, "/p?q=1") == (302, expected)


def test_redirect_status() -> None:
    """The declared status is the answer's."""
    assert redirect_location(Redirect(status=308), "http", "h", 80, "/")[0] == 308
