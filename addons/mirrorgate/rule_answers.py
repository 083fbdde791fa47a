"""What a rule answers by itself, before or instead of a backend: redirects, preflights, a 500 for what is broken."""

from __future__ import annotations

from urllib.parse import quote

from .errors import Refusal
from .plans import Fields, Refused, RequestFacts
from .routing.cors import answer_changes, preflight_answer, preflight_method
from .routing.filters import redirect_location
from .routing.matching import Router
from .routing.table import Cors, HeaderChanges, Listener, Match, Redirect, Rule

__all__ = ["answered_by_rule", "cors_changes", "find_match", "redirected"]

_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
"""What a header value may hold beside blanks; a declared path may hold anything."""

_NAMES = b"access-control-request-headers"


def find_match(
    router: Router, listener: Listener, facts: RequestFacts, host: str, target: str
) -> tuple[Match | None, Refused | None]:
    """Return the match that a request falls under, and the answer if it is a preflight to a rule with a CORS filter.

    A preflight belongs to the rule of the request that it asks about: one that matches POST only would otherwise never
    see the OPTIONS that browsers send first.
    """
    if facts.method == b"OPTIONS" and (asked := preflight_method(facts.method, facts.header)) is not None:
        for method in (asked, facts.method):
            match = router.match(listener, method.decode("latin-1"), host, target, facts.fields)
            if match is not None and match.rule.cors is not None:
                return match, _preflight(match.rule.cors, facts, asked)
        return match, None
    return router.match(listener, facts.method.decode("latin-1"), host, target, facts.fields), None


def answered_by_rule(rule: Rule, facts: RequestFacts, target: str) -> Refused | None:
    """Return the answer of a rule that forwards nothing, `None` for one that does; `target` is in normal form."""
    if rule.broken:
        return Refused(Refusal.INVALID_BACKEND)
    return None if rule.redirect is None else redirected(rule.redirect, facts, target)


def redirected(redirect: Redirect, facts: RequestFacts, target: str) -> Refused:
    """Return a redirect of a rule or of a backendRef."""
    host = facts.host.decode("latin-1")
    status, location = redirect_location(redirect, facts.scheme, host, facts.port, target)
    headers = ((b"location", quote(location, safe=_VISIBLE).encode()),)
    return Refused(Refusal.REDIRECT, status=status, headers=headers)


def _preflight(cors: Cors, facts: RequestFacts, method: bytes) -> Refused:
    """Answer a preflight that asks about `method`."""
    answer = preflight_answer(cors, _text(facts, b"origin"), method.decode("latin-1"), _text(facts, _NAMES))
    return Refused(Refusal.PREFLIGHT, headers=_fields(answer))


def cors_changes(rule: Rule, facts: RequestFacts) -> HeaderChanges | None:
    """Return what a rule's CORS filter changes in any answer to the request, `None` without one."""
    if rule.cors is None:
        return None
    origin = facts.header(b"origin")
    return answer_changes(rule.cors, None if origin is None else origin.decode("latin-1"))


def _text(facts: RequestFacts, name: bytes) -> str:
    return (facts.header(name) or b"").decode("latin-1")


def _fields(changes: HeaderChanges) -> Fields:
    return tuple((name.encode(), value.encode("latin-1")) for name, value in (*changes.set, *changes.add))
