"""CORS: which origins may ask, and what they are told; the rest of the tables is in tests/conformance."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.route_filter import CORSFilter
from mirrorgate.routing.cors import allows, answer_changes, compile_cors, preflight_answer, preflight_method
from mirrorgate.routing.filters import apply
from mirrorgate.routing.table import Cors


def cors(**fields: object) -> Cors:
    return compile_cors(CORSFilter.model_validate(fields, context={"manifest": True}))


@pytest.mark.parametrize(
    ("declared", "origin", "allowed"),
    [
        ("https://www.foo.com", "https://www.foo.com", True),
        ("https://www.foo.com", "https://www.foo.com:443", True),
        ("https://www.foo.com:443", "https://WWW.foo.com", True),
        ("https://www.foo.com", "https://www.foo.com:8443", False),
        ("https://www.foo.com", "http://www.foo.com", False),
        ("https://www.foo.com", "https://www.foo.com.evil.com", False),
        ("http://localhost:3000", "http://localhost:3000", True),
        ("http://localhost:3000", "http://localhost", False),
        ("https://*.bar.com", "https://www.bar.com", True),
        ("https://*.bar.com", "https://a.b.bar.com", True),
        ("https://*.bar.com", "https://bar.com", False),
        ("https://*.bar.com", "https://foobar.com", False),
        ("https://*.bar.com", "https://.bar.com", False),
        ("https://*", "https://any.host", True),
        ("https://*", "https://any.host:8443", False),
        ("https://*:8443", "https://any.host:8443", True),
        ("https://*", "null", False),
        ("*", "null", True),
        ("*", "http://any.host:1", True),
        ("*", "http://höst", False),
        ("https://*", "https://", False),
        ("https://*", "https://host:port", False),
        ("https://*", "ftp://host", False),
    ],
)
def test_origins(declared: str, origin: str, allowed: bool) -> None:
    """A port that is not named is the scheme's own; `*` takes any number of labels to its left."""
    assert allows(cors(allowOrigins=[declared]), origin) is allowed


@given(st.text())
def test_any_origin_is_judged(origin: str) -> None:
    """Whatever a client sends as its origin, it is allowed or not, and what is allowed can be sent back."""
    for declared in ("*", "https://*", "https://*.bar.com"):
        if allows(cors(allowOrigins=[declared]), origin):
            assert origin.isascii()


def test_nothing_is_allowed_by_default() -> None:
    """A filter without origins lets nobody ask."""
    assert not allows(cors(), "https://www.foo.com")


@pytest.mark.parametrize(
    ("method", "fields", "asked"),
    [
        (b"OPTIONS", {b"origin": b"https://a", b"access-control-request-method": b"PUT"}, b"PUT"),
        (b"OPTIONS", {b"origin": b"https://a"}, None),
        (b"OPTIONS", {b"access-control-request-method": b"PUT"}, None),
        (b"GET", {b"origin": b"https://a", b"access-control-request-method": b"PUT"}, None),
    ],
)
def test_what_a_preflight_is(method: bytes, fields: Mapping[bytes, bytes], asked: bytes | None) -> None:
    """OPTIONS with an origin and the method that is asked about."""
    assert preflight_method(method, fields.get) == asked


def test_a_preflight_is_told_what_is_declared() -> None:
    """Every declared list is told, whatever is asked about, in Envoy's order (measured)."""
    declared = cors(
        allowOrigins=["https://a.com"], allowMethods=["GET", "PUT"], allowHeaders=["x-a", "x-b"],
        exposeHeaders=["x-c"], allowCredentials=True, maxAge=60,
    )  # fmt: skip
    assert preflight_answer(declared, "https://a.com", "DELETE", "x-z").set == (
        ("access-control-allow-origin", "https://a.com"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "x-a, x-b"),
        ("access-control-max-age", "60"),
        ("access-control-expose-headers", "x-c"),
    )


def test_a_wildcard_is_answered_with_what_is_asked_about() -> None:
    """`*` is never sent, since with credentials a browser takes it for a name; nothing asked is nothing told."""
    declared = cors(allowOrigins=["*"], allowMethods=["*"], allowHeaders=["*"], exposeHeaders=["*"])
    told = dict(preflight_answer(declared, "https://a.com", "PUT", "x-a, x-b").set)
    assert told["access-control-allow-origin"] == "https://a.com"
    assert told["access-control-allow-methods"] == "PUT"
    assert told["access-control-allow-headers"] == "x-a, x-b"
    assert told["access-control-max-age"] == "5"
    assert told["access-control-expose-headers"] == "*"
    assert "access-control-allow-headers" not in dict(preflight_answer(declared, "https://a.com", "PUT", "").set)
    with_credentials = cors(allowOrigins=["*"], exposeHeaders=["*", "x-a"], allowCredentials=True)
    told = dict(preflight_answer(with_credentials, "https://a.com", "PUT", "").set)
    assert told["access-control-expose-headers"] == "x-a"


def test_who_may_not_ask_is_told_nothing() -> None:
    """No field but the one that keeps caches from mixing origins up."""
    answer = preflight_answer(cors(allowOrigins=["https://a.com"], allowMethods=["GET"]), "https://b.com", "GET", "")
    assert (answer.set, answer.add) == ((), (("vary", "Origin"),))


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://a.com", {"access-control-allow-origin": "https://a.com", "access-control-expose-headers": "x-c"}),
        ("https://b.com", {}),
        (None, {}),
    ],
)
def test_the_servers_own_word_never_shows_through(origin: str | None, expected: dict[str, str]) -> None:
    """Model servers allow everybody; the filter is the policy."""
    declared = cors(allowOrigins=["https://a.com"], exposeHeaders=["x-c"])
    answer = [
        (b"Access-Control-Allow-Origin", b"*"),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"everything"),
        (b"content-type", b"text/plain"),
    ]
    changed = apply(answer_changes(declared, origin), answer)
    told = {name.decode().lower(): value.decode() for name, value in changed}
    assert told == {"content-type": "text/plain", "vary": "Origin", **expected}
