"""What becomes of a request: its rule, its backend, its model, its endpoint, its timeouts."""

import random
import uuid
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.limits import UNLIMITED, Limits
from mirrorgate.director import Director, destinations_of, needs_body, profile_of, rules_of
from mirrorgate.errors import Refusal
from mirrorgate.plans import Effective, Plan, Refused, RequestFacts
from mirrorgate.resources.endpoints import Address
from mirrorgate.routing.table import HeaderChanges, TrafficPolicy
from mirrorgate.scheduling.endpoints import EndpointHealth, Load
from mirrorgate.snapshot import Snapshot

Configure = Callable[..., Snapshot]
Ask = Callable[..., Plan | Refused]

CHAT = "/v1/chat/completions"
POOL = "{group: inference.networking.k8s.io, kind: InferencePool, name: pool}"
TO_POOL = f"rules: [{{backendRefs: [{POOL}]}}]"


def backend(name: str, rest: str = "") -> str:
    return f"{{group: gateway.envoyproxy.io, kind: Backend, name: {name}{rest}}}"


TO_A = f"rules: [{{backendRefs: [{backend('a')}]}}]"


@pytest.fixture
def directing(configured: Configure) -> Callable[..., Director]:
    """Return a function from a route's `spec` and more to a director."""

    def direct(route: str, *more: str, seed: int = 7, **loads: EndpointHealth) -> Director:
        return Director(configured(route, *more), lambda: loads, lambda: 5.0, random.Random(seed))

    return direct


Directing = Callable[..., Director]


# Route


def test_a_request_gets_the_rule_that_it_matches(directing: Directing, facts: Callable[..., RequestFacts]) -> None:
    """Listener, route, rule and cluster are known from the head, and the path is in normal form."""
    director = directing(f"rules: [{{matches: [{{path: {{value: /a}}}}], backendRefs: [{backend('a')}]}}]")
    directed = director.route(facts("/x/..//a/b?q=//", host="Example.com:80"))
    assert directed.refused is None
    assert (directed.listener, directed.route) == ("default/gateway/http", "default/route")
    assert (directed.rule_index, directed.cluster, directed.needs_body) == (0, "httproute/default/route/rule/0", False)
    assert directed.path == "/a/b?q=//"


@pytest.mark.parametrize(
    ("path", "port", "listener"), [("/b", 80, "default/gateway/http"), ("*", 80, "default/gateway/http"), ("/a", 81, "")]
)
def test_what_matches_nothing_is_not_found(
    directing: Directing, facts: Callable[..., RequestFacts], path: str, port: int, listener: str
) -> None:
    """The listener is told where there is one."""
    director = directing(f"rules: [{{matches: [{{path: {{value: /a}}}}], backendRefs: [{backend('a')}]}}]")
    directed = director.route(facts(path, port=port))
    assert directed.refused == Refused(Refusal.NO_ROUTE)
    assert (directed.listener, directed.route, directed.match) == (listener, "", None)


@pytest.mark.parametrize("path", ["", "a", "http://x/", "/a b", "/a\r\nX: y", "/%zz", "/%00", "/a#b", "/é", "/a?\t"])
def test_a_malformed_path_is_a_bad_request(
    directing: Directing, facts: Callable[..., RequestFacts], path: str
) -> None:
    """Before anything is matched by it."""
    directed = directing(TO_A).route(facts(path))
    assert directed.refused is not None
    assert directed.refused.refusal is Refusal.BAD_REQUEST


def test_a_redirect_is_answered_with_its_place(directing: Directing, facts: Callable[..., RequestFacts]) -> None:
    """Status and Location are the filter's, the path and query the request's."""
    redirect = "{type: RequestRedirect, requestRedirect: {scheme: https, hostname: b.example.com, statusCode: 301}}"
    directed = directing(f"rules: [{{filters: [{redirect}]}}]").route(facts("/a?b=c", host="a.example.com:80"))
    location = (b"location", b"https://b.example.com/a?b=c")
    assert directed.refused == Refused(Refusal.REDIRECT, status=301, headers=(location,))


def test_a_declared_path_cannot_break_out_of_its_line(
    directing: Directing, ask: Ask, facts: Callable[..., RequestFacts]
) -> None:
    """Neither of a header nor of the request line: what may not stand there is escaped."""
    path = r'{type: ReplaceFullPath, replaceFullPath: "a b\r\nX: ä#c"}'
    rewriting = f"rules: [{{filters: [{{type: URLRewrite, urlRewrite: {{path: {path}}}}}], backendRefs: [{backend('a')}]}}]"
    plan = ask(directing(rewriting), "/?q=%20")
    assert isinstance(plan, Plan)
    assert plan.path == b"/a%20b%0D%0AX:%20%C3%A4%23c?q=%20"
    redirecting = f"rules: [{{filters: [{{type: RequestRedirect, requestRedirect: {{path: {path}}}}}]}}]"
    refused = directing(redirecting).route(facts("/", host="h")).refused
    assert refused is not None
    assert b"\r" not in refused.headers[0][1]


@pytest.mark.parametrize(
    "route",
    [
        "rules: [{matches: [{path: {value: /}}]}]",
        f"rules: [{{filters: [{{type: CORS, cors: {{}}}}], backendRefs: [{backend('a')}]}}]",
        f"rules: [{{backendRefs: [{backend('missing')}]}}]",
        f"rules: [{{backendRefs: [{backend('a', ', weight: 0')}]}}]",
    ],
)
def test_a_rule_that_leads_nowhere_is_answered_500(directing: Directing, ask: Ask, route: str) -> None:
    """No backendRefs, a filter that is not supported, a reference to nothing, no weight."""
    assert ask(directing(route), "/") == Refused(Refusal.INVALID_BACKEND)


hostile = st.binary(max_size=40) | st.sampled_from([b"*", b"[::1", b"a" * 300, b":", b"..", b"a:b:c", b"\xff"])


@pytest.fixture(scope="module")
def hostile_director(configured: Configure) -> Director:
    header = "{headers: [{name: x, type: RegularExpression, value: '.*'}], queryParams: [{name: q, value: v}]}"
    snapshot = configured(
        f"rules: [{{matches: [{header}], backendRefs: [{backend('a')}]}}, {{backendRefs: [{POOL}]}}]", with_pool()
    )
    return Director(snapshot, dict, lambda: 0.0, random.Random(1))


@given(st.data())
def test_no_request_is_too_odd_to_be_decided(hostile_director: Director, data: st.DataObject) -> None:
    """Whatever bytes a client sends and addons let through, there is a decision."""
    path = data.draw(hostile | st.sampled_from([CHAT.encode(), b"/?q=v", b"/v1/completions?%ff"]))
    fields = tuple(data.draw(st.lists(st.tuples(hostile | st.just(b"content-type"), hostile), max_size=3)))
    method = data.draw(hostile | st.sampled_from([b"POST", b"GET"]))
    asked = RequestFacts(80, method, path, data.draw(hostile), fields, "http", "127.0.0.1")
    directed = hostile_director.route(asked)
    if directed.refused is None:
        body = data.draw(st.none() | hostile | st.sampled_from([b"{}", b'{"model": "\\ud800", "cache_salt": "\\ud800"}']))
        planned = hostile_director.plan(directed, asked, body)
        assert isinstance(planned, Refused) or planned.path.isascii()


# Plan


def with_pool(*pods: int, app: str = "pool", more: str = "") -> str:
    """An InferencePool with an endpoint on each of these ports of loopback, and more objects."""
    texts = [
        f"apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata: {{name: {app}}}\n"
        f"spec: {{selector: {{matchLabels: {{app: {app}}}}}, targetPorts: [{{number: 8000}}]}}"
    ]
    texts += [
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {app}-{port}, labels: {{app: {app}}},"
        f' annotations: {{mirrorgate.dev/target-port: "{port}"}}}}\nstatus: {{podIP: 127.0.0.1}}'
        for port in pods
    ]
    return "\n---\n".join(texts + ([more] if more else []))


def model(name: str, *targets: str) -> str:
    return (
        "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceModel\n"
        f"metadata: {{name: {name}}}\nspec: {{modelName: {name}, poolRef: {{name: pool}}, targetModels: "
        f"[{', '.join(f'{{name: {target}, weight: 1}}' for target in targets)}]}}"
    )


def test_a_plan_says_how_a_request_is_sent_on(directing: Directing, ask: Ask) -> None:
    """Endpoint, cluster, path, limits; the host and the body are the client's."""
    plan = ask(directing(TO_A), "/a?b", body=b"text")
    assert isinstance(plan, Plan)
    assert (plan.address.host, plan.address.port) == ("127.0.0.1", 7001)
    assert (plan.cluster, plan.pool) == ("httproute/default/route/rule/0", "Backend default/a")
    assert (plan.path, plan.host, plan.body) == (b"/a?b", None, b"text")
    assert (plan.model, plan.target_model, plan.inference, plan.mirrors) == (None, None, None, ())
    assert plan.limits == Limits()
    assert plan.request_changes == plan.response_changes == ()


def test_requests_fall_on_backends_by_weight(directing: Directing, ask: Ask) -> None:
    """An invalid backendRef keeps its share, which is answered 500."""
    refs = ", ".join((backend("a", ", weight: 7"), backend("b", ", weight: 2"), backend("missing")))
    director = directing(f"rules: [{{backendRefs: [{refs}]}}]")
    planned = [ask(director, "/") for _ in range(1000)]
    shares = Counter(plan.pool if isinstance(plan, Plan) else plan.refusal for plan in planned)
    assert shares.keys() == {"Backend default/a", "Backend default/b", Refusal.INVALID_BACKEND}
    assert abs(shares["Backend default/a"] - 700) < 60
    assert abs(shares["Backend default/b"] - 200) < 60


def test_the_rules_changes_come_before_the_backends(directing: Directing, ask: Ask) -> None:
    """Header changes of both, host and path of the rule."""
    rule = "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: rule}]}}"
    own = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [B]}}"
    back = "{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: C, value: d}]}}"
    rewrite = "{hostname: b.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}"
    director = directing(
        f"rules: [{{matches: [{{path: {{value: /a}}}}], filters: [{rule}, {{type: URLRewrite, urlRewrite: {rewrite}}}],"
        f" backendRefs: [{backend('a', f', filters: [{own}, {back}]')}]}}]"
    )
    plan = ask(director, "/a/c?d")
    assert isinstance(plan, Plan)
    assert plan.request_changes == (HeaderChanges(set=(("a", "rule"),)), HeaderChanges(remove=("b",)))
    assert plan.response_changes == (HeaderChanges(add=(("c", "d"),)),)
    assert (plan.path, plan.host) == (b"/b/c?d", b"b.example.com")


def test_the_model_is_rewritten_to_the_target(directing: Directing, ask: Ask) -> None:
    """In the body and nowhere else; each target gets its share."""
    director = directing(TO_POOL, with_pool(8001, more=model("llama", "llama-a", "llama-b")))
    body = b'{"model":  "llama", "messages": [{"role": "user", "content": "llama"}], "x": 1.50}'
    plans = [ask(director, CHAT, body=body) for _ in range(40)]
    assert {plan.target_model for plan in plans if isinstance(plan, Plan)} == {"llama-a", "llama-b"}
    for plan in plans:
        assert isinstance(plan, Plan)
        assert plan.body == body.replace(b'"llama",', f'"{plan.target_model}",'.encode())
        assert (plan.model, plan.pool, plan.needs) == ("llama", "InferencePool default/pool", None) if False else True
        assert (plan.model, plan.pool) == ("llama", "InferencePool default/pool")
        assert plan.inference is not None
        assert plan.conversation == plan.inference.conversation is not None
