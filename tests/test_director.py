"""Where a request belongs, and what the director remembers of requests."""

import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.director import Director, needs_body, rules_of
from mirrorgate.errors import Refusal
from mirrorgate.plans import Plan, Refused, RequestFacts
from mirrorgate.resources.endpoints import Address

Directing = Callable[..., Director]
Facts = Callable[..., RequestFacts]
Planned = Callable[..., Plan]

CHAT = "/v1/chat/completions"
ON_A = "[{matches: [{path: {value: /a}}], backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: a}]}]"


@pytest.fixture(scope="module")
def on_a(directing: Directing, manifests: Any) -> Directing:
    """Return a function to a director that leads `/a` to a server."""
    return lambda *more: directing(manifests.route(ON_A), manifests.server("a", 7001), *more)


# Route


def test_a_request_gets_the_rule_that_it_matches(on_a: Directing, facts: Facts) -> None:
    """Listener, route, rule and cluster are known from the head, and the path is in normal form."""
    directed = on_a().route(facts("/x/..//a/b?q=//", host="Example.com:80"))
    assert directed.refused is None
    assert (directed.listener, directed.route) == ("default/gateway/http", "default/route")
    assert (directed.rule_index, directed.cluster, directed.needs_body) == (0, "httproute/default/route/rule/0", False)
    assert directed.path == "/a/b?q=//"


@pytest.mark.parametrize(
    ("path", "port", "listener"),
    [("/b", 80, "default/gateway/http"), ("*", 80, "default/gateway/http"), ("/a", 81, "")],
)
def test_what_matches_nothing_is_not_found(on_a: Directing, facts: Facts, path: str, port: int, listener: str) -> None:
    """The listener is told where there is one."""
    directed = on_a().route(facts(path, port=port))
    assert directed.refused == Refused(Refusal.NO_ROUTE)
    assert (directed.listener, directed.route, directed.match) == (listener, "", None)


@pytest.mark.parametrize("path", ["", "a", "http://x/", "/a b", "/a\r\nX: y", "/%zz", "/%00", "/a#b", "/é", "/a?\t"])
def test_a_malformed_path_is_a_bad_request(on_a: Directing, facts: Facts, path: str) -> None:
    """Before anything is matched by it."""
    directed = on_a().route(facts(path))
    assert directed.refused == Refused(Refusal.BAD_REQUEST, "the request path is malformed")


def test_a_redirect_is_answered_with_its_place(directing: Directing, manifests: Any, facts: Facts) -> None:
    """Status and Location are the filter's, the path and query the request's."""
    redirect = "{type: RequestRedirect, requestRedirect: {scheme: https, hostname: b.example.com, statusCode: 301}}"
    director = directing(manifests.route(f"[{{filters: [{redirect}]}}]"))
    directed = director.route(facts("/a?b=c", host="a.example.com:80"))
    location = (b"location", b"https://b.example.com/a?b=c")
    assert directed.refused == Refused(Refusal.REDIRECT, status=301, headers=(location,))


def test_a_declared_path_cannot_break_out_of_location(directing: Directing, manifests: Any, facts: Facts) -> None:
    """What a header value may not hold is escaped; a fragment is fine."""
    path = r'{type: ReplaceFullPath, replaceFullPath: "/a b\r\nX: ä#c"}'
    director = directing(
        manifests.route(f"[{{filters: [{{type: RequestRedirect, requestRedirect: {{path: {path}}}}}]}}]")
    )
    refused = director.route(facts("/", host="h")).refused
    assert refused is not None
    assert refused.headers == ((b"location", b"http://h/a%20b%0D%0AX:%20%C3%A4#c"),)


@pytest.mark.parametrize(
    "rules",
    [
        "[{matches: [{path: {value: /}}]}]",
        "[{filters: [{type: ExtensionRef, extensionRef: {group: a, kind: B, name: c}}]}]",
    ],
)
def test_a_broken_rule_is_answered_500(directing: Directing, manifests: Any, facts: Facts, rules: str) -> None:
    """It has no backendRefs, or a filter that must not be skipped; the route is told all the same."""
    directed = directing(manifests.route(rules)).route(facts("/"))
    assert directed.refused == Refused(Refusal.INVALID_BACKEND)
    assert directed.route == "default/route"


MATCHES = {
    "exact": "path: {type: Exact, value: /v1/chat}",
    "regex": "path: {type: RegularExpression, value: '/v1/c.*'}",
    "long": "path: {value: /v1/chat}",
    "get": "path: {value: /v1}, method: GET",
    "two": "path: {value: /v1}, headers: [{name: a, value: '1'}, {name: b, value: '2'}]",
    "one": "path: {value: /v1}, headers: [{name: a, value: '1'}]",
    "query": "path: {value: /v1}, queryParams: [{name: q, value: '1'}]",
    "short": "path: {value: /v1}",
    "root": "path: {value: /}",
}
"""Each of another rank, so that precedence decides and the order of rules does not (HTTPRoute, matches)."""


@given(st.permutations(list(MATCHES)), st.data())
def test_the_order_of_rules_does_not_matter_where_precedence_decides(
    manifests: Any, planned: Planned, names: list[str], data: st.DataObject
) -> None:
    """A shuffled route sends every request to the same server."""
    path = data.draw(st.sampled_from(["/v1/chat", "/v1/chat/x", "/v1/cat", "/v1/x", "/v1/x?q=1", "/", "/v1/chat?q=1"]))
    headers = data.draw(st.dictionaries(st.sampled_from("ab"), st.sampled_from("12")))
    method = data.draw(st.sampled_from(["GET", "POST"]))
    reached = set()
    for order in (names, list(MATCHES)):
        rules = [f"{{matches: [{{{MATCHES[name]}}}], backendRefs: [{manifests.to_server(name)}]}}" for name in order]
        servers = [manifests.server(name, 7000 + index) for index, name in enumerate(MATCHES)]
        snapshot = manifests.snapshot(manifests.route(f"[{', '.join(rules)}]"), *servers)
        director = Director(snapshot, dict, lambda: 0.0, random.Random(1))
        reached.add(planned(director, path, headers=headers, method=method).address)
    assert len(reached) == 1


HOSTILE = [b"*", b"[::1", b"a" * 300, b":", b"..", b"a:b:c", b"\xff", CHAT.encode(), b"/?q=v", b"/v1/completions?%ff"]
hostile = st.binary(max_size=40) | st.sampled_from(HOSTILE)
bodies = st.none() | hostile | st.sampled_from([b"{}", b'{"model": "\\ud800", "cache_salt": "\\ud800"}'])


@given(hostile, hostile, hostile | st.just(b"POST"), st.lists(st.tuples(hostile, hostile), max_size=3), bodies)
def test_no_request_is_too_odd_to_be_decided(
    hostile_director: Director,
    path: bytes,
    host: bytes,
    method: bytes,
    fields: list[tuple[bytes, bytes]],
    body: bytes | None,
) -> None:
    """Whatever bytes a client sends and addons let through, there is a decision, and a path that can be sent."""
    asked = RequestFacts(80, method, path, host, tuple(fields), "http", "127.0.0.1")
    directed = hostile_director.route(asked)
    if directed.refused is None:
        answer = hostile_director.plan(directed, asked, body)
        assert isinstance(answer, Refused) or answer.path == b"*" or (answer.path[:1] == b"/" and answer.path.isascii())


@pytest.fixture(scope="module")
def hostile_director(directing: Directing, manifests: Any) -> Director:
    header = "{headers: [{name: x, type: RegularExpression, value: '.*'}], queryParams: [{name: q, value: v}]}"
    star = "{path: {type: RegularExpression, value: '.*\\*.*'}}"
    return directing(
        manifests.route(f"[{{matches: [{header}, {star}], backendRefs: [{manifests.to_pool('p')}]}},"
                        f" {{backendRefs: [{manifests.to_pool('p')}]}}]"),
        manifests.pool("p", 8001, 8002),
    )  # fmt: skip


# What is remembered


def test_a_permit_is_held_while_a_request_is_in_flight(on_a: Directing, planned: Planned) -> None:
    """Mirrors count as well, and each is given back once."""
    director = on_a()
    permit = director.started(planned(director, "/a"))
    other = director.in_flight_permit_at("127.0.0.1", 7001)
    assert director.in_flight.count("127.0.0.1:7001") == 2
    permit.release()
    permit.release()
    assert director.in_flight.count("127.0.0.1:7001") == 1
    other.release()
    assert director.in_flight.counts() == {}
    six = director.in_flight_permit_at("::1", 80)
    assert director.in_flight.counts() == {str(Address("::1", 80)): 1}
    six.release()


def test_the_last_picks_are_bounded(on_a: Directing, planned: Planned) -> None:
    """A few for a cluster, the latest last; what an addon directed was not picked."""
    director = on_a()
    plan = planned(director, "/a")
    for number in range(50):
        director.note_pick(plan, f"x{number}", float(number))
    picks = list(director.last_picks.of(plan.cluster))[::-1]
    assert 1 < len(picks) <= 20
    assert [(last.exchange, last.at) for last in picks] == [(f"x{n}", float(n)) for n in range(50 - len(picks), 50)]
    assert plan.pick is not None
    assert picks[0].pick is plan.pick
    direct = director.direct("h", 1)
    director.note_pick(director.plan(direct, RequestFacts(80, b"GET", b"/", b"", (), "http", ""), b""), "y", 0.0)  # type: ignore[arg-type]
    assert director.last_picks.clusters() == [plan.cluster]


def test_a_reload_forgets_what_has_left(directing: Directing, manifests: Any, planned: Planned) -> None:
    """Destinations, endpoints and clusters; what stays is remembered."""
    rules = manifests.route(f"[{{backendRefs: [{manifests.to_pool('p')}]}}]")
    director = directing(rules, manifests.pool("p", 8001, 8002))
    body = b'{"model": "m", "messages": [{"role": "user", "content": "%b"}]}' % (b"long " * 2000)
    plan = planned(director, CHAT, body)
    assert plan.pick is not None
    assert plan.pick_state is not None
    director.started(plan)
    director.note_pick(plan, "x", 0.0)
    kept = {"127.0.0.1:8001", "127.0.0.1:8002"}
    assert plan.pick_state.prefixes.match(plan.pick.prefixes).keys() == {plan.pick.endpoint}

    again = manifests.snapshot(rules, manifests.pool("p", 8001, 8002))
    director.adopt(again)
    assert director.snapshot is again
    assert planned(director, CHAT, body).address == plan.address
    assert director.last_picks.clusters() == [plan.cluster]

    [left] = kept - {plan.pick.endpoint}
    director.adopt(manifests.snapshot(rules, manifests.pool("p", int(left[-4:]))))
    assert plan.pick_state.prefixes.match(plan.pick.prefixes) == {}
    assert planned(director, CHAT, body).pick_state is plan.pick_state

    director.adopt(manifests.snapshot())
    assert director.last_picks.clusters() == []
    assert director.picking._states == {}
    assert director.in_flight.count(plan.pick.endpoint) == 1


def test_a_request_keeps_the_configuration_that_it_began_with(
    directing: Directing, manifests: Any, facts: Facts
) -> None:
    """What was routed before a reload goes where it was routed to."""
    director = directing(manifests.route(ON_A), manifests.server("a", 7001))
    request = facts("/a")
    directed = director.route(request)
    director.adopt(manifests.snapshot())
    assert director.route(request).refused == Refused(Refusal.NO_ROUTE)
    plan = director.plan(directed, request, b"")
    assert isinstance(plan, Plan)
    assert plan.address.port == 7001


def test_an_address_that_an_addon_sets_is_used_as_it_is(on_a: Directing, facts: Facts) -> None:
    """In a cluster of its own, with the client's path, Envoy's timeout and no pick."""
    director = on_a()
    directed = director.direct("::1", 8000)
    assert (directed.cluster, directed.refused, directed.rule) == ("direct/[::1]:8000", None, None)
    plan = director.plan(directed, facts("/a/../b"), b"x")
    assert isinstance(plan, Plan)
    assert (plan.address, plan.cluster, plan.path, plan.body) == (
        Address("::1", 8000),
        directed.cluster,
        b"/a/../b",
        b"x",
    )
    assert (plan.pick, plan.mirrors, plan.timeouts.request) == (None, (), 15.0)
    director.started(plan).release()


def test_a_seed_decides_everything(directing: Directing, manifests: Any, planned: Planned) -> None:
    """Two directors with one seed agree on every draw, and no request id comes twice."""
    texts = (manifests.route(ON_A), manifests.server("a", 7001, 7002, 7003))
    one, other = directing(*texts, seed=3), directing(*texts, seed=3)
    drawn = [planned(one, "/a") for _ in range(50)]
    assert [(p.request_id, p.address) for p in drawn] == [
        (p.request_id, p.address) for p in (planned(other, "/a") for _ in range(50))
    ]
    assert len({plan.request_id for plan in drawn}) == 50
    assert {uuid.UUID(plan.request_id).version for plan in drawn} == {4}


# What others ask


@pytest.mark.parametrize(
    ("to", "mirrored_to", "policy", "needed"),
    [
        ("server", None, False, False),
        ("pool", None, False, True),
        ("server", "server", False, False),
        ("server", "pool", False, True),
        ("server", "server", True, True),
    ],
)
def test_a_body_is_needed_for_its_model(
    directing: Directing, manifests: Any, to: str, mirrored_to: str | None, policy: bool, needed: bool
) -> None:
    """Where a rule or a mirror leads to a pool, or a policy says what is done with a copy; else it streams."""
    refs = {"server": manifests.to_server("a"), "pool": manifests.to_pool("p")}
    mirror = f"{{type: RequestMirror, requestMirror: {{backendRef: {refs[mirrored_to]}}}}}" if mirrored_to else ""
    texts = [manifests.policy("ShadowPolicy", "mode: equivalence")] if policy else []
    director = directing(
        manifests.route(f"[{{backendRefs: [{refs[to]}], filters: [{mirror}]}}]"),
        manifests.pool("p", 8001),
        manifests.server("a", 7001),
        *texts,
    )
    [rule] = rules_of(director.snapshot)
    assert needs_body(rule) is needed


def test_errors_and_usage_are_read_as_the_api_has_them(on_a: Directing) -> None:
    """A path of an inference API speaks its errors; usage is the answer's last word."""
    director = on_a()
    assert director.speaks_openai(f"/prefix{CHAT}?q")
    assert not director.speaks_openai("/v1/models")
    assert director.usage(b'{"usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}}') == (3, 5)
    assert director.usage(b"\xff") is None
