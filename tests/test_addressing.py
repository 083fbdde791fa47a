"""What a request becomes on its way to a backend: the backendRef's filters over the rule's."""

import pytest

from mirrorgate.addressing import addressed
from mirrorgate.routing.table import Backend, HeaderChanges, PathRewrite, Rule, UrlRewrite

RULES = HeaderChanges(set=(("a", "rule"),))
OWN = HeaderChanges(set=(("a", "backend"),))
CORS = HeaderChanges(add=(("vary", "Origin"),))


@pytest.mark.parametrize(
    ("of_rule", "of_backend", "path", "host"),
    [
        (None, None, "/v1/chat?q", None),
        (UrlRewrite("r.test", PathRewrite("/all")), None, "/all?q", b"r.test"),
        (UrlRewrite("r.test"), UrlRewrite("b.test", PathRewrite("/b", "/v1")), "/b/chat?q", b"b.test"),
        (None, UrlRewrite(None, PathRewrite("a b#c")), "/a%20b%23c?q", None),
    ],
)
def test_rewrites(of_rule: UrlRewrite | None, of_backend: UrlRewrite | None, path: str, host: bytes | None) -> None:
    """The backend's stands for the rule's; what a request line cannot hold is escaped."""
    rule = Rule(("default", "r"), 0, None, "c", rewrite=of_rule)
    sent = addressed(rule, Backend(1, "b", None, rewrite=of_backend), "/v1/chat?q", None)
    assert (sent.path, sent.host) == (path, host)


def test_changes_come_in_their_order() -> None:
    """The rule's, the backend's, and in the answer what its CORS filter says; empty ones are left out."""
    rule = Rule(("default", "r"), 0, None, "c", request_headers=RULES, response_headers=RULES)
    sent = addressed(rule, Backend(1, "b", None, request_headers=OWN), "/", CORS)
    assert sent.request_changes == (RULES, OWN)
    assert sent.response_changes == (RULES, CORS)
