"""Matching: the index finds what a plain search in order of precedence finds, and finds it without searching."""

import itertools
import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorgate.routing.hostnames import covers, host_of
from mirrorgate.routing.matching import Question, Router, mismatch
from mirrorgate.routing.precedence import age_of, precedence
from mirrorgate.routing.regexes import Regex
from mirrorgate.routing.table import HeaderMatch, Listener, Match, PathKind, PathMatch, RouteTable, Rule

paths = st.sampled_from(["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/a//", "/v1/chat"])
hostnames = st.sampled_from(["", "a.com", "*.com", "*.a.com", "b.a.com"])
values = st.sampled_from(["x", "y"])


def path_match(kind: PathKind, value: str) -> PathMatch:
    pattern = value + ".*" if kind is PathKind.REGEX else value
    return PathMatch(kind, pattern, Regex(pattern) if kind is PathKind.REGEX else None)


def value_matches(names: list[str]) -> st.SearchStrategy[tuple[HeaderMatch, ...]]:
    one = st.builds(
        lambda name, value, is_regex: HeaderMatch(name, value, Regex(value) if is_regex else None),
        st.sampled_from(names),
        values,
        st.booleans(),
    )
    return st.lists(one, max_size=2, unique_by=lambda match: match.name).map(tuple)


declared = st.tuples(
    hostnames,
    st.builds(path_match, st.sampled_from(list(PathKind)), paths),
    st.sampled_from([None, "GET", "POST"]),
    value_matches(["h", "i"]),
    value_matches(["q", "Q"]),
)
Declared = tuple[str, PathMatch, str | None, tuple[HeaderMatch, ...], tuple[HeaderMatch, ...]]


def listener_of(
    matches: Sequence[Declared], order: Sequence[int] | None = None, hostname: str = "", name: str = "http"
) -> Listener:
    """Build a listener of one route for each match; `order` is that of the files, the routes' names stay."""
    keyed = []
    for position, index in enumerate(order if order is not None else range(len(matches))):
        host, path, method, headers, query = matches[index]
        rule = Rule(("default", f"route-{index:05}"), 0, None, f"rule/{index}")
        match = Match(host, path, method, headers, query, rule, 0)
        keyed.append((precedence(match, age_of(None, position, *rule.route)), match))
    ordered = tuple(match for _, match in sorted(keyed, key=lambda pair: pair[0]))
    return Listener(("default", "gw"), name, 80, "HTTP", hostname, (), ordered)


def plain_search(listener: Listener, host: str, question: Question) -> Match | None:
    """Find the first match by trying all in order."""
    return next((m for m in listener.matches if covers(m.hostname, host_of(host)) and not mismatch(m, question)), None)


requests = st.tuples(
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["a.com", "b.a.com:80", "c.b.a.com", "x.com", "other", "", "A.COM."]),
    st.sampled_from(["/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c/d", "/ab", "/abc", "/v1/chat?q=x", "/a?q=y&Q=x", "*"]),
    st.lists(st.tuples(st.sampled_from([b"H", b"h", b"I"]), st.sampled_from([b"x", b"y"])), max_size=3),
)


@settings(max_examples=300)
@given(st.lists(declared, max_size=20), requests)
def test_the_index_finds_what_a_plain_search_finds(
    matches: list[Declared], request: tuple[str, str, str, list[tuple[bytes, bytes]]]
) -> None:
    """Dictionaries and order of precedence lead to the same match, whatever the table and the request."""
    listener = listener_of(matches)
    method, host, target, headers = request
    found = Router(RouteTable((listener,))).match(listener, method, host, target, headers)
    assert found is plain_search(listener, host, Question(method, target, headers))


@given(st.lists(declared, min_size=1, max_size=12), requests, st.randoms(use_true_random=False))
def test_the_order_of_files_decides_only_ties(
    matches: list[Declared],
    request: tuple[str, str, str, list[tuple[bytes, bytes]]],
    rng: random.Random,
) -> None:
    """Shuffling the routes changes the match only to one that is equal in hostname, path, method and counts."""
    order = list(range(len(matches)))
    rng.shuffle(order)
    method, host, target, headers = request
    found = []
    for listener in (listener_of(matches), listener_of(matches, order)):
        match = Router(RouteTable((listener,))).match(listener, method, host, target, headers)
        found.append(None if match is None else precedence(match, (0, 0.0, 0, ""))[:5])
    assert found[0] == found[1]


def ask(matches: Sequence[Declared], method: str, host: str, target: str, **headers: str) -> str | None:
    listener = listener_of(matches)
    fields = [(name.encode(), value.encode()) for name, value in headers.items()]
    match = Router(RouteTable((listener,))).match(listener, method, host, target, fields)
    return None if match is None else match.rule.route[1]


def prefix(value: str) -> PathMatch:
    return PathMatch(PathKind.PREFIX, value)


ANY = prefix("/")


def test_an_exact_path_wins_over_a_regex_over_a_prefix() -> None:
    """Exact, then regular expression, then prefix."""
    matches: list[Declared] = [
        ("", prefix("/v1/chat"), "GET", (), ()),
        ("", path_match(PathKind.REGEX, "/v1"), None, (), ()),
        ("", PathMatch(PathKind.EXACT, "/v1/chat"), None, (), ()),
    ]
    assert ask(matches, "GET", "h", "/v1/chat") == "route-00002"
    assert ask(matches, "GET", "h", "/v1/chat/x") == "route-00001"
    assert ask(matches[:1], "GET", "h", "/v1/chat/x") == "route-00000"


def test_a_less_specific_hostname_follows_when_no_path_fits() -> None:
    """Hostname comes first in precedence, but a hostname whose paths do not fit gives way."""
    matches: list[Declared] = [
        ("a.com", prefix("/a"), None, (), ()),
        ("*.com", ANY, None, (), ()),
        ("", ANY, None, (), ()),
    ]
    assert ask(matches, "GET", "a.com", "/a") == "route-00000"
    assert ask(matches, "GET", "a.com", "/b") == "route-00001"
    assert ask(matches, "GET", "org", "/b") == "route-00002"


def test_repeated_header_fields_are_one_list() -> None:
    """Fields of one name count as a list joined with commas (RFC 9110, 5.3)."""
    matches: list[Declared] = [("", ANY, None, (HeaderMatch("h", "x,y"),), ())]
    listener = listener_of(matches)
    router = Router(RouteTable((listener,)))
    assert router.match(listener, "GET", "", "/", [(b"H", b"x"), (b"h", b"y")]) is not None
    assert router.match(listener, "GET", "", "/", [(b"H", b"x")]) is None


def test_header_values_are_utf8_and_never_fail() -> None:
    """A header that is no text is compared without an error."""
    matches: list[Declared] = [("", ANY, None, (HeaderMatch("h", "ä"),), ())]
    listener = listener_of(matches)
    router = Router(RouteTable((listener,)))
    assert router.match(listener, "GET", "", "/", [(b"h", "ä".encode())]) is not None
    assert router.match(listener, "GET", "", "/", [(b"h", b"\xff\xfe"), (b"\xff", b"")]) is None


def test_ten_thousand_models_are_one_lookup() -> None:
    """Rules that differ in the model's header are found by its value, not tried one by one."""
    matches: list[Declared] = [
        ("", ANY, None, (HeaderMatch("x-gateway-model-name", f"model-{n}"),), ()) for n in range(10_000)
    ]
    matches.append(("", ANY, None, (), ()))
    asked: list[str] = []

    def header(name: str) -> str | None:
        asked.append(name)
        return "model-7777"

    listener = listener_of(matches)
    router = Router(RouteTable((listener,)))
    match = router.match(listener, "POST", "h", "/v1/chat/completions", header)
    assert match is not None
    assert match.rule.route[1] == "route-07777"
    assert len(asked) <= 3
    other = router.match(listener, "POST", "h", "/", lambda name: "none")
    assert other is not None
    assert other.rule.route[1] == "route-10000"


def test_deep_paths_cost_no_more_than_declared_ones() -> None:
    """A path of thousands of elements is cut at the longest declared prefix."""
    matches: list[Declared] = [("", prefix("/a/a"), None, (), ()), ("", ANY, None, (), ())]
    assert ask(matches, "GET", "h", "/a" * 50_000) == "route-00000"
    assert ask(matches, "GET", "h", "/" + "b" * 50_000) == "route-00001"


def listeners(*hostnames: str) -> RouteTable:
    return RouteTable(tuple(listener_of([], hostname=host, name=host or "any") for host in hostnames))


def test_listener_isolation() -> None:
    """A request belongs to the listener with the most specific hostname, as in gateway-http-listener-isolation."""
    router = Router(listeners("", "*.example.com", "*.foo.example.com", "abc.foo.example.com"))
    expected = {
        "bar.com": "any",
        "example.com": "any",
        "bar.example.com": "*.example.com",
        "foo.example.com": "*.example.com",
        "bar.foo.example.com": "*.foo.example.com",
        "abc.foo.example.com": "abc.foo.example.com",
        "ABC.foo.example.com:80": "abc.foo.example.com",
    }
    for host, name in expected.items():
        listener = router.select_listener(80, host)
        assert listener is not None
        assert listener.name == name
    assert router.select_listener(81, "bar.com") is None
    assert Router(listeners("a.com")).select_listener(80, "b.com") is None


def test_an_address_is_its_gateways_own() -> None:
    """A request to an address that a Gateway names is for that Gateway, even where only another's listener fits."""
    everywhere = Listener(("default", "everywhere"), "http", 80, "HTTP", "", (), ())
    named = Listener(("default", "named"), "http", 80, "HTTP", "a.com", ("127.0.0.2",), ())
    router = Router(RouteTable((everywhere, named)))
    assert router.select_listener(80, "a.com", "127.0.0.2") is named
    assert router.select_listener(80, "b.com", "127.0.0.2") is None
    assert router.select_listener(80, "a.com", "127.0.0.1") is everywhere


def test_addresses_limit_a_gateway() -> None:
    """A Gateway with addresses is found on those only; without an address asked for, on any."""
    base = listener_of([])
    bound = Listener(("default", "other"), "http", 80, "HTTP", "", ("127.0.0.2",), ())
    router = Router(RouteTable((bound, base)))
    assert router.select_listener(80, "h", "127.0.0.2") is bound
    assert router.select_listener(80, "h", "127.0.0.1") is base
    assert router.select_listener(80, "h") is bound


def test_precedence_is_a_total_order() -> None:
    """No two matches of a table have the same key."""
    matches: list[Declared] = [("", ANY, None, (), ())] * 5
    listener = listener_of(matches)
    keys = [precedence(match, age_of(None, 0, *match.rule.route)) for match in listener.matches]
    assert all(one != other for one, other in itertools.combinations(keys, 2))


def test_every_header_and_parameter_must_fit() -> None:
    """The reason names the first that does not."""
    match = listener_of(
        [
            (
                "",
                ANY,
                None,
                (HeaderMatch("h", "x"), HeaderMatch("i", "y")),
                (HeaderMatch("q", "1"), HeaderMatch("r", "2")),
            )
        ]
    ).matches[0]
    assert mismatch(match, Question("GET", "/?q=1&r=2", [(b"h", b"x"), (b"i", b"y")])) == ""
    assert mismatch(match, Question("GET", "/?q=1&r=3", [(b"h", b"x"), (b"i", b"y")])) == (
        "query parameter r is '3', not '2'"
    )
    assert mismatch(match, Question("GET", "/?q=1&r=2", [(b"h", b"x")])) == "header i is absent, not 'y'"
