"""How a routed request is sent on: backend, model, endpoint, timeouts, limits."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.admission.limits import UNLIMITED, Limits
from mirrorgate.director import Director
from mirrorgate.errors import Refusal
from mirrorgate.plans import Effective, Plan, Refused
from mirrorgate.routing.table import HeaderChanges
from mirrorgate.scheduling.endpoints import EndpointHealth, Load

Directing = Callable[..., Director]
Ask = Callable[..., Plan | Refused]
Planned = Callable[..., Plan]

CHAT = "/v1/chat/completions"
HELLO = b'{"model": "llama", "messages": [{"role": "user", "content": "hello"}]}'


def model(name: str, *targets: str) -> str:
    """Return an InferenceModel of the pool `p`, which thereby refuses models that it does not declare."""
    entries = ", ".join(f"{{name: {target}, weight: 1}}" for target in targets)
    return (
        "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceModel\n"
        f"metadata: {{name: {name}}}\nspec: {{modelName: {name}, poolRef: {{name: p}}, targetModels: [{entries}]}}"
    )


@pytest.fixture(scope="module")
def on_pool(directing: Directing, manifests: Any) -> Directing:
    """Return a function to a director that leads everything to a pool of two."""

    def direct(*more: str, **options: object) -> Director:
        rules = manifests.route(f"[{{backendRefs: [{manifests.to_pool('p')}]}}]")
        return directing(rules, manifests.pool("p", 8001, 8002), *more, **options)

    return direct


@pytest.fixture(scope="module")
def on_server(directing: Directing, manifests: Any) -> Directing:
    """Return a function to a director that leads everything to a server of one."""

    def direct(*more: str, rest: str = "", ref: str = "") -> Director:
        rules = manifests.route(f"[{{backendRefs: [{manifests.to_server('a', ref)}]{rest}}}]")
        return directing(rules, manifests.server("a", 7001), *more)

    return direct


def test_a_plan_says_how_a_request_is_sent_on(on_server: Directing, planned: Planned) -> None:
    """Endpoint, cluster, path, limits; the host and the body are the client's."""
    plan = planned(on_server(), "/a//./b?c", b"text")
    assert (plan.address.host, plan.address.port) == ("127.0.0.1", 7001)
    assert (plan.cluster, plan.pool) == ("httproute/default/route/rule/0", "Backend default/a")
    assert (plan.path, plan.host, plan.body) == (b"/a/b?c", None, b"text")
    assert (plan.model, plan.target_model, plan.inference, plan.mirrors) == (None, None, None, ())
    assert plan.limits == Limits()
    assert plan.request_changes == plan.response_changes == ()


def test_the_policys_limits_are_the_clusters(on_server: Directing, planned: Planned, manifests: Any) -> None:
    """What it does not name is Envoy Gateway's default."""
    breaker = "circuitBreaker: {maxConnections: 1, maxPendingRequests: 2, maxParallelRequests: 3, %s}"
    some = on_server(manifests.policy("BackendTrafficPolicy", breaker % "maxRequestsPerConnection: 4"))
    plan = planned(some)
    assert plan.limits == Limits(1, 2, 3, UNLIMITED)
    each = on_server(manifests.policy("BackendTrafficPolicy", breaker % "perEndpoint: {maxConnections: 5}"))
    assert planned(each).limits == Limits(1, 2, 3, 5)


def test_requests_fall_on_backends_by_weight(directing: Directing, manifests: Any, ask: Ask) -> None:
    """An invalid backendRef keeps its share, which is answered 500."""
    to = manifests.to_server
    refs = ", ".join((to("a", ", weight: 7"), to("b", ", weight: 2"), to("missing"), to("a", ", weight: 0")))
    director = directing(
        manifests.route(f"[{{backendRefs: [{refs}]}}]"), manifests.server("a", 7001), manifests.server("b", 7002)
    )
    answers = [ask(director) for _ in range(1000)]
    shares = Counter(answer.pool if isinstance(answer, Plan) else answer.refusal.value for answer in answers)
    assert shares.keys() == {"Backend default/a", "Backend default/b", "invalid_backend"}
    assert abs(shares["Backend default/a"] - 700) < 60
    assert abs(shares["Backend default/b"] - 200) < 60


@pytest.mark.parametrize("ref", ["missing", "a, weight: 0"])
def test_a_rule_without_a_usable_backend_is_answered_500(
    directing: Directing, manifests: Any, ask: Ask, ref: str
) -> None:
    """A reference to nothing, or no weight."""
    director = directing(
        manifests.route(f"[{{backendRefs: [{manifests.to_server(ref)}]}}]"), manifests.server("a", 7001)
    )
    assert ask(director) == Refused(Refusal.INVALID_BACKEND)


def test_the_rules_changes_come_before_the_backends(on_server: Directing, planned: Planned) -> None:
    """Header changes of both, host and path of the rule."""
    rule = "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: rule}]}}"
    own = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [B]}}"
    back = "{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: C, value: d}]}}"
    rewrite = "{hostname: b.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}"
    matches = "matches: [{path: {value: /a}}]"
    rest = f", {matches}, filters: [{rule}, {{type: URLRewrite, urlRewrite: {rewrite}}}]"
    plan = planned(on_server(rest=rest, ref=f", filters: [{own}, {back}]"), "/a/c?d")
    assert plan.request_changes == (HeaderChanges(set=(("a", "rule"),)), HeaderChanges(remove=("b",)))
    assert plan.response_changes == (HeaderChanges(add=(("c", "d"),)),)
    assert (plan.path, plan.host) == (b"/b/c?d", b"b.example.com")


def test_a_declared_path_cannot_break_out_of_the_request_line(on_server: Directing, planned: Planned) -> None:
    """What may not stand there is escaped, and a missing slash is put in front."""
    path = r'{type: ReplaceFullPath, replaceFullPath: "a b\r\nX: ä#c"}'
    rest = f", filters: [{{type: URLRewrite, urlRewrite: {{path: {path}}}}}]"
    assert planned(on_server(rest=rest), "/?q=%20").path == b"/a%20b%0D%0AX:%20%C3%A4%23c?q=%20"


# The model


def test_the_model_is_rewritten_to_the_target(on_pool: Directing, planned: Planned) -> None:
    """In the body and nowhere else; each target gets its share."""
    director = on_pool(model("llama", "llama-a", "llama-b"))
    body = HELLO.replace(b"hello", b"llama").replace(b": ", b" :  ")
    plans = [planned(director, CHAT, body) for _ in range(40)]
    assert {plan.target_model for plan in plans} == {"llama-a", "llama-b"}
    for plan in plans:
        assert plan.body == body.replace(b'"llama"', f'"{plan.target_model}"'.encode(), 1)
        assert (plan.model, plan.pool) == ("llama", "InferencePool default/p")
        assert plan.inference is not None
        assert plan.inference.model == "llama"
        assert plan.inference.conversation is not None


def test_a_pool_without_models_takes_any(on_pool: Directing, planned: Planned) -> None:
    """The body goes on as it came, to the byte."""
    plan = planned(on_pool(), CHAT, HELLO)
    assert (plan.model, plan.target_model, plan.body) == ("llama", "llama", HELLO)


HIDDEN = ["/v1//chat/completions", "/v1/chat%2Fcompletions", "/v1/x/../chat/completions", "/v1/ch%61t/completions"]


@pytest.mark.parametrize("path", [CHAT, f"/any/prefix{CHAT}?q", *HIDDEN])
def test_a_model_that_a_pool_does_not_declare_is_not_found(on_pool: Directing, ask: Ask, path: str) -> None:
    """With OpenAI's fields, and however the path is written: the server reads it in normal form."""
    message = "The model `llama` does not exist."
    assert ask(on_pool(model("other")), path, HELLO) == Refused(
        Refusal.UNKNOWN_MODEL, message, param="model", code="model_not_found", model="llama"
    )


def test_a_request_is_read_by_the_path_that_the_server_gets(directing: Directing, manifests: Any, ask: Ask) -> None:
    """A path that becomes an inference API's when it is rewritten does not hide a model."""
    path = f"{{type: ReplaceFullPath, replaceFullPath: {CHAT}}}"
    filters = f"[{{type: URLRewrite, urlRewrite: {{path: {path}}}}}]"
    director = directing(
        manifests.route(f"[{{backendRefs: [{manifests.to_pool('p')}], filters: {filters}}}]"),
        manifests.pool("p", 8001),
        model("other"),
    )
    answer = ask(director, "/chat", HELLO)
    assert isinstance(answer, Refused)
    assert answer.refusal is Refusal.UNKNOWN_MODEL


@pytest.mark.parametrize(
    ("path", "method"), [("/v1/models", "GET"), ("/health", "GET"), (CHAT, "GET"), ("/tokenize", "POST")]
)
def test_what_is_no_inference_request_goes_on_unread(
    on_pool: Directing, planned: Planned, path: str, method: str
) -> None:
    """A pool serves more than completions."""
    plan = planned(on_pool(model("other")), path, b"{", method=method)
    assert (plan.body, plan.model, plan.inference) == (b"{", None, None)


@pytest.mark.parametrize(
    ("body", "headers", "param", "code"),
    [
        (b"", {}, None, "invalid_json"),
        (b"{", {}, None, "invalid_json"),
        (b'{"model": "\xff"}', {}, None, "invalid_json"),
        (b"[" * 100_000, {}, None, None),
        (b"[]", {}, None, "invalid_type"),
        (b'{"model": 5}', {}, "model", "invalid_type"),
        (b'{"n": 1e999}', {}, "n", "invalid_value"),
        (HELLO, {"content-type": "text/plain"}, None, "unsupported_media_type"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_as_openai_does(
    on_pool: Directing, ask: Ask, body: bytes, headers: dict[str, str], param: str | None, code: str | None
) -> None:
    """Before any endpoint has it."""
    answer = ask(on_pool(), CHAT, body, headers=headers)
    assert isinstance(answer, Refused)
    assert answer.refusal is Refusal.BAD_INFERENCE_REQUEST
    assert answer.param == param
    assert answer.message
    assert code is None or answer.code == code


def test_a_server_judges_such_a_body_itself(on_server: Directing, planned: Planned) -> None:
    """Only a pool's requests have to be understood."""
    plan = planned(on_server(), CHAT, b"{")
    assert (plan.body, plan.inference) == (b"{", None)
    assert planned(on_server(), CHAT, HELLO).model == "llama"


def test_a_streamed_body_is_not_read(on_pool: Directing, planned: Planned) -> None:
    """There is nothing to read yet; an addon that streams gives up the model."""
    plan = planned(on_pool(), CHAT, None)
    assert (plan.body, plan.model, plan.inference) == (None, None, None)


# The endpoint


def test_a_destination_without_endpoints_is_unavailable(directing: Directing, manifests: Any, ask: Ask) -> None:
    """A pool whose Pods are gone is a 503, and the model is told for the log."""
    director = directing(
        manifests.route(f"[{{backendRefs: [{manifests.to_pool('p')}]}}]"), manifests.pool("p"), model("llama")
    )
    answer = ask(director, CHAT, HELLO)
    assert isinstance(answer, Refused)
    assert (answer.refusal, answer.model) == (Refusal.NO_ENDPOINTS, "llama")


def test_a_pool_is_picked_by_load(on_pool: Directing, planned: Planned) -> None:
    """The endpoint with the shorter queue gets the request, and the pick can say why."""
    loads = {
        "127.0.0.1:8001": EndpointHealth(Load(waiting=9, kv_usage=0.9, at=1.0)),
        "127.0.0.1:8002": EndpointHealth(Load(waiting=0, kv_usage=0.1, at=1.0)),
    }
    plan = planned(on_pool(loads=loads), CHAT, HELLO)
    assert plan.address.port == 8002
    assert plan.pick is not None
    assert [scored.endpoint for scored in plan.pick.scores] == ["127.0.0.1:8002", "127.0.0.1:8001"]
    ill = {**loads, "127.0.0.1:8002": EndpointHealth(healthy=False)}
    assert planned(on_pool(loads=ill), CHAT, HELLO).address.port == 8001


def test_a_pool_is_picked_by_what_is_under_way(on_pool: Directing, planned: Planned) -> None:
    """Requests that no load counts yet push the next ones elsewhere, until they end."""
    director = on_pool()
    first = planned(director, "/v1/models")
    permit = director.started(first)
    assert all(planned(director, "/v1/models").address != first.address for _ in range(10))
    permit.release()
    assert {planned(director, "/v1/models").address.port for _ in range(40)} == {8001, 8002}


def test_a_conversation_comes_back_to_its_endpoint(on_pool: Directing, planned: Planned) -> None:
    """What was sent warms the prefix cache there; what was only planned does not."""
    body = HELLO.replace(b"hello", b"hello " * 2000)
    director = on_pool()
    plans = {planned(director, CHAT, body).address.port for _ in range(40)}
    assert plans == {8001, 8002}
    first = planned(director, CHAT, body)
    director.started(first).release()
    assert {planned(director, CHAT, body).address for _ in range(40)} == {first.address}


# Timeouts

REQUEST = "timeout: {http: {requestTimeout: 30s}}"


@pytest.mark.parametrize(
    ("pool", "route", "policy", "expected"),
    [
        (False, "", "", 15.0),
        (True, "", "", 0.0),
        (False, "request: 3s", REQUEST, 3.0),
        (True, "request: 3s", REQUEST, 3.0),
        (False, "", REQUEST, 30.0),
        (True, "", REQUEST, 30.0),
        (False, "request: 0s", REQUEST, 0.0),
        (False, "", "timeout: {http: {requestTimeout: 0s}}", 0.0),
        (False, "request: 30s, backendRequest: 2s", "", 2.0),
        (False, "request: 30s, backendRequest: 0s", "", 30.0),
        (False, "request: 0s, backendRequest: 2s", "", 2.0),
        (False, "backendRequest: 60s", "", 60.0),
        (False, "backendRequest: 0s", "", 0.0),
        (True, "backendRequest: 60s", "", 60.0),
        (False, "backendRequest: 60s", REQUEST, 30.0),
    ],
)
def test_the_request_timeout(
    directing: Directing, manifests: Any, planned: Planned, pool: bool, route: str, policy: str, expected: float
) -> None:
    """The route's wins over the policy's, the shorter of two counts, 0 is off; undeclared, only a pool has none."""
    ref = manifests.to_pool("p") if pool else manifests.to_server("a")
    timeouts = f", timeouts: {{{route}}}" if route else ""
    texts = [manifests.policy("BackendTrafficPolicy", policy)] if policy else []
    director = directing(
        manifests.route(f"[{{backendRefs: [{ref}]{timeouts}}}]"),
        manifests.pool("p", 8001),
        manifests.server("a", 7001),
        *texts,
    )
    assert (planned(director).timeouts.request, planned(director).timeouts.per_try) == (expected, 0.0)


def test_the_other_timeouts_are_the_policys(on_server: Directing, manifests: Any, planned: Planned) -> None:
    """Idle, and the most that a stream may last."""
    http = "http: {streamIdleTimeout: 7s, maxStreamDuration: 1h}"
    director = on_server(manifests.policy("BackendTrafficPolicy", f"timeout: {{tcp: {{connectTimeout: 2s}}, {http}}}"))
    assert planned(director).timeouts == Effective(request=15.0, stream_idle=7.0, max_duration=3600.0)
    off = on_server(manifests.policy("BackendTrafficPolicy", "timeout: {http: {streamIdleTimeout: 0s}}"))
    assert planned(off).timeouts.stream_idle == 0.0
