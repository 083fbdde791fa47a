"""What rules answer by themselves: preflights by the request that they ask about, redirects of backends."""

from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.director import Director
from mirrorgate.errors import Refusal
from mirrorgate.plans import Plan, Refused, RequestFacts

CORS = '{type: CORS, cors: {allowOrigins: ["https://a.com"], allowMethods: [POST]}}'
ASKS = {"origin": "https://a.com", "access-control-request-method": "POST"}


@pytest.fixture
def director(manifests: Any, directing: Callable[..., Director]) -> Director:
    """Direct to one server: /chat takes POST only and has a CORS filter, the rest has none."""
    to = manifests.to_server("server")
    chat = f"{{matches: [{{path: {{value: /chat}}, method: POST}}], filters: [{CORS}], backendRefs: [{to}]}}"
    every = f"{{filters: [{CORS}], matches: [{{path: {{value: /every}}}}], backendRefs: [{to}]}}"
    broken = f"{{filters: [{CORS}], matches: [{{path: {{value: /broken}}}}]}}"
    plain = f"{{backendRefs: [{to}]}}"
    route = manifests.route(f"[{chat}, {every}, {broken}, {plain}]")
    return directing(route, manifests.server("server", 8000))


@pytest.mark.parametrize(
    ("path", "headers", "refusal", "rule"),
    [
        ("/chat", ASKS, Refusal.PREFLIGHT, 0),
        ("/every", ASKS, Refusal.PREFLIGHT, 1),
        ("/broken", ASKS, Refusal.PREFLIGHT, 2),
        ("/chat", {"origin": "https://a.com"}, None, 3),
        ("/chat", ASKS | {"access-control-request-method": "GET"}, None, 3),
        ("/other", ASKS, None, 3),
    ],
)
def test_a_preflight_belongs_to_the_rule_of_its_request(
    director: Director,
    facts: Callable[..., RequestFacts],
    path: str,
    headers: dict[str, str],
    refusal: Refusal | None,
    rule: int,
) -> None:
    """What has a CORS filter under the method asked about, or under OPTIONS, answers; else the request goes on."""
    directed = director.route(facts(path, method="OPTIONS", headers=headers))
    assert directed.rule_index == rule
    assert (None if directed.refused is None else directed.refused.refusal) == refusal


def test_a_broken_rule_tells_its_browser_so(director: Director, facts: Callable[..., RequestFacts]) -> None:
    """The 500 of a rule with a CORS filter has the fields that let a script read it."""
    directed = director.route(facts("/broken", headers={"origin": "https://a.com"}))
    assert directed.refused == Refused(Refusal.INVALID_BACKEND)
    assert directed.cors is not None
    assert ("access-control-allow-origin", "https://a.com") in directed.cors.set


def test_the_share_of_a_backend_is_redirected(
    manifests: Any, directing: Callable[..., Director], ask: Callable[..., Plan | Refused]
) -> None:
    """What falls on a backendRef with a redirect gets it, with the path of the request; the rest is forwarded."""
    redirect = "{type: RequestRedirect, requestRedirect: {hostname: b.com, statusCode: 308}}"
    to = manifests.to_server("server")
    away = manifests.to_server("server", f", filters: [{redirect}]")
    route = manifests.route(f"[{{backendRefs: [{to}, {away}]}}]")
    director = directing(route, manifests.server("server", 8000))
    answers = [ask(director, "/a?b", host="a.com") for _ in range(50)]
    assert {answer for answer in answers if isinstance(answer, Refused)} == {
        Refused(Refusal.REDIRECT, status=308, headers=((b"location", b"http://b.com/a?b"),))
    }
    assert any(isinstance(answer, Plan) for answer in answers)


def test_a_backend_rewrites_over_its_rule(
    manifests: Any, directing: Callable[..., Director], planned: Callable[..., Plan]
) -> None:
    """The backend's path and the rule's hostname; header changes of the rule come before the backend's."""
    whole = "{type: URLRewrite, urlRewrite: {hostname: rule.test, path: {type: ReplaceFullPath, replaceFullPath: /r}}}"
    own = "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /own}}}"
    to = manifests.to_server("server", f", filters: [{own}]")
    rule = f"{{matches: [{{path: {{value: /v1}}}}], filters: [{whole}], backendRefs: [{to}]}}"
    director = directing(manifests.route(f"[{rule}]"), manifests.server("server", 8000))
    plan = planned(director, "/v1/chat?a=b")
    assert (plan.path, plan.host) == (b"/own/chat?a=b", b"rule.test")
