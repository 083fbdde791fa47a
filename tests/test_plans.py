"""What is decided about a request, as values."""

from mirrorgate.errors import Refusal
from mirrorgate.plans import Directed, Effective, Refused, RequestFacts
from mirrorgate.routing.table import Match, PathKind, PathMatch, Rule


def facts(*fields: tuple[bytes, bytes]) -> RequestFacts:
    return RequestFacts(80, b"GET", b"/", b"example.com", fields, "http", "127.0.0.1")


def test_a_header_is_found_in_any_case() -> None:
    """The first of several counts, and an empty one is there."""
    asked = facts((b"X-User", b"a"), (b"x-user", b"b"), (b"Empty", b""))
    assert asked.header(b"x-user") == b"a"
    assert asked.header(b"empty") == b""
    assert asked.header(b"x-other") is None


def test_a_directed_request_has_its_match_s_rule() -> None:
    """And none where nothing matched."""
    rule = Rule(("default", "r"), 0, None, "c")
    match = Match("", PathMatch(PathKind.PREFIX, "/"), None, (), (), rule, 0)
    assert Directed(None, match=match).rule is rule
    assert Directed(Refused(Refusal.NO_ROUTE)).rule is None


def test_what_is_not_declared_is_off_or_envoys() -> None:
    """No limit in total, five minutes between bytes."""
    assert Effective() == Effective(request=0.0, stream_idle=300.0, max_duration=0.0, per_try=0.0)
