"""Paths: normal form, prefixes, query parameters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.routing.paths import has_prefix, normalize, query_value


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", "/"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions?a=b&c=/../%2f", "/v1/chat/completions?a=b&c=/../%2f"),
        ("/v1/", "/v1/"),
        ("//v1///chat//", "/v1/chat/"),
        ("//", "/"),
        ("/v1/../admin", "/admin"),
        ("/v1/..", "/"),
        ("/../../etc", "/etc"),
        ("/a/b/..", "/a/"),
        ("/a/./b/.", "/a/b/"),
        ("/.", "/"),
        ("/a//../b", "/a/b"),
        ("/v1/%2e%2e/admin", "/admin"),
        ("/v1%2f..%2fadmin", "/admin"),
        ("/v1%5c..%5Cadmin", "/admin"),
        ("/v1\\..\\admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("/a%20b", "/a%20b"),
        ("/a%252fb", "/a%252fb"),
        ("/...", "/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/a?", "/a?"),
    ],
)
def test_normalize(target: str, expected: str) -> None:
    """What hides a slash or a dot segment is unfolded; the query and other escapes stay."""
    assert normalize(target) == expected


@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "v1",
        "http://example.com/",
        "/a b",
        "/a\x00",
        "/a%00",
        "/a#b",
        "/%",
        "/%zz",
        "/%%341",
        "/ä",
        "/a?b c",
        "/a?\n",
    ],
)
def test_normalize_refuses(target: str) -> None:
    """Targets that no request line may hold, or that could be read in two ways, are refused."""
    assert normalize(target) is None


awkward = st.text(alphabet="/.%25eEfFcC\\a?#~ ", max_size=24).map(lambda text: "/" + text)


@given(awkward)
def test_normalize_is_idempotent_and_leaves_no_way_round(target: str) -> None:
    """A normal form is its own, begins with one slash, and holds no dot segment, empty segment or hidden slash."""
    result = normalize(target)
    if result is None:
        return
    assert normalize(result) == result
    path = result.partition("?")[0]
    assert path.startswith("/")
    assert "//" not in path
    assert "\\" not in path
    assert not {".", ".."} & set(path.split("/"))
    assert not any(hidden in path.lower() for hidden in ("%2f", "%5c", "%2e", "%00"))


@pytest.mark.parametrize(
    ("prefix", "path", "expected"),
    [
        ("/", "/", True),
        ("/", "/anything", True),
        ("/v2", "/v2", True),
        ("/v2", "/v2/", True),
        ("/v2/", "/v2", True),
        ("/v2/", "/v2/x", True),
        ("/v2", "/v2example", False),
        ("/v2", "/V2", False),
        ("/v2", "/", False),
        ("/", "*", False),
    ],
)
def test_has_prefix(prefix: str, path: str, expected: bool) -> None:
    """A prefix matches whole path elements, and its trailing slash does not count."""
    assert has_prefix(path, prefix) is expected


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        ("animal=whale", "animal", "whale"),
        ("animal=whale&animal=dog", "animal", "whale"),
        ("ANIMAL=whale", "animal", None),
        ("a=1&b", "b", ""),
        ("a=x%20y+z", "a", "x y z"),
        ("%61=1", "a", "1"),
        ("", "a", None),
        ("a=1=2", "a", "1=2"),
    ],
)
def test_query_value(query: str, name: str, value: str | None) -> None:
    """The first value of a parameter counts, unescaped; names are case-sensitive."""
    assert query_value(query, name) == value
