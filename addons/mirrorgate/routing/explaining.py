"""Why a request goes where it goes: every step of routing with what was considered and the reason.

What `mirrorgate check` and the admin server answer to "what would happen to this request?". The decision itself is
the `Router`'s; this walks the same table in the same order, match by match, and says more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from .filters import redirect_location, rewrite_path
from .hostnames import covers, host_of
from .matching import Headers, Question, Router, mismatch
from .paths import normalize
from .rendering import render_match, render_rule
from .splitting import choose_backend, resolve_model
from .table import Backend, Listener, Match, Redirect, RouteTable, Rule, UrlRewrite

__all__ = ["BackendShare", "Considered", "Explanation", "explain"]

_MOST_CONSIDERED = 200
"""As many failed matches are told; a table may have ten thousand."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A listener or a match that was looked at."""

    what: str
    reason: str
    """Why it did not apply; empty for the one that did."""


@dataclass(frozen=True, slots=True)
class BackendShare:
    """A backendRef of the rule that was reached."""

    ref: str
    share: float
    """Of the rule's requests, 0 to 1."""
    answer: str
    """What a request that falls on it gets without being sent on; empty when it is sent on."""
    endpoints: tuple[str, ...]
    model: str | None
    """What the server is asked for; with several targets the names and their shares."""
    criticality: str | None
    path: str | None = None
    """The path that is forwarded to it where it has a rewrite of its own."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One request's way through the table."""

    path: str | None
    """In normal form, `None` for a malformed one (400)."""
    listeners: tuple[Considered, ...]
    matches: tuple[Considered, ...]
    omitted: int
    """Matches that were considered and are not told."""
    outcome: str
    """One line: forwarded, or answered with which status and why."""
    rule: dict[str, object] | None
    """The rule as `/routes` shows it, `None` when none was reached."""
    forwarded_path: str | None
    backends: tuple[BackendShare, ...]
    mirrors: tuple[str, ...]


def explain(
    table: RouteTable,
    method: str,
    host: str,
    target: str,
    headers: Headers = (),
    *,
    port: int | None = None,
    model: str | None = None,
    scheme: str = "http",
) -> Explanation:
    """Explain what happens to a request.

    Without a `port` the first listener's is taken. `model` is what the body names. Draws are not made: shares are told.
    """
    path = normalize(target)
    if port is None:
        port = table.listeners[0].port if table.listeners else 80
    if path is None:
        return _answered(None, (), (), 0, "400: the request target is malformed")
    router = Router(table)
    listener = router.select_listener(port, host)
    listeners = tuple(_listeners(table, port, host, listener))
    if listener is None:
        return _answered(path, listeners, (), 0, f"404: no listener on port {port} serves host {host_of(host)!r}")
    match = router.match(listener, method, host, path, headers)
    considered = tuple(_matches(listener, match, host, Question(method, path, headers)))
    told, omitted = considered, 0
    if len(considered) > _MOST_CONSIDERED:
        told, omitted = considered[-_MOST_CONSIDERED:], len(considered) - _MOST_CONSIDERED
    if match is None:
        return _answered(path, listeners, told, omitted, "404: no match of the listener applies")
    rule = match.rule
    if rule.broken:
        return _answered(path, listeners, told, omitted, f"500: {rule.broken}", rule)
    locate = partial(_located, scheme=scheme, authority=host, port=listener.port, target=path)
    if rule.redirect is not None:
        return _answered(path, listeners, told, omitted, locate(rule.redirect), rule)
    if choose_backend(rule, 0.0) is None:
        return _answered(path, listeners, told, omitted, "500: every backendRef has weight 0", rule)
    return Explanation(
        path=path,
        listeners=listeners,
        matches=told,
        omitted=omitted,
        outcome=f"forwarded by {rule.title}",
        rule=render_rule(rule),
        forwarded_path=path if rule.rewrite is None else _rewritten(rule.rewrite, path),
        backends=tuple(_backends(rule, model, path, locate)),
        mirrors=tuple(_mirrors(rule)),
    )


def _answered(
    path: str | None,
    listeners: tuple[Considered, ...],
    matches: tuple[Considered, ...],
    omitted: int,
    outcome: str,
    rule: Rule | None = None,
) -> Explanation:
    shown = None if rule is None else render_rule(rule)
    return Explanation(path, listeners, matches, omitted, outcome, shown, None, (), ())


def _listeners(table: RouteTable, port: int, host: str, chosen: Listener | None) -> Iterator[Considered]:
    for listener in table.listeners:
        title = f"{'/'.join(listener.gateway)} listener {listener.name}"
        if listener is chosen:
            yield Considered(title, "")
        elif listener.port != port:
            yield Considered(title, f"is on port {listener.port}")
        elif not covers(listener.hostname, host_of(host)):
            yield Considered(title, f"serves {listener.hostname}")
        else:
            yield Considered(title, "another listener's hostname is more specific, or its Gateway is older")


def _matches(listener: Listener, chosen: Match | None, host: str, question: Question) -> Iterator[Considered]:
    """Yield the matches in order of precedence up to the chosen one."""
    for match in listener.matches:
        shown = render_match(match)
        title = f"{match.rule.title} match {match.index}: " + ", ".join(
            f"{name} {value}" for name, value in shown.items() if name != "rule"
        )
        if match is chosen:
            yield Considered(title, "")
            return
        if not covers(match.hostname, host_of(host)):
            yield Considered(title, f"host is not {match.hostname}")
        else:
            yield Considered(title, mismatch(match, question))


def _located(redirect: Redirect, *, scheme: str, authority: str, port: int, target: str) -> str:
    status, location = redirect_location(redirect, scheme, authority, port, target)
    return f"{status}: redirect to {location}"


def _rewritten(rewrite: UrlRewrite, path: str) -> str:
    return path if rewrite.path is None else rewrite_path(rewrite.path, path)


def _backends(rule: Rule, model: str | None, path: str, locate: Callable[[Redirect], str]) -> Iterator[BackendShare]:
    total = sum(backend.weight for backend in rule.backends)
    for backend in rule.backends:
        share = backend.weight / total if total else 0.0
        if backend.destination is None:
            yield BackendShare(backend.ref, share, f"500: {backend.invalid}", (), None, None)
            continue
        endpoints = tuple(str(address) for address in backend.destination.endpoints)
        choice = resolve_model(backend.destination, model, 0.0)
        answer = "" if endpoints else "503: no endpoint is ready"
        if backend.redirect is not None:
            answer = locate(backend.redirect)
        if not choice.known:
            answer = f"404: the pool does not have the model {model!r}"
        own = None if backend.rewrite is None else _rewritten(backend.rewrite, path)
        yield BackendShare(backend.ref, share, answer, endpoints, _targets(backend, model), choice.criticality, own)


def _targets(backend: Backend, model: str | None) -> str | None:
    """Return the target model, or all of them with their shares when they are drawn from."""
    if model is None or backend.destination is None:
        return None
    declared = next((entry for entry in backend.destination.models if entry.name in (None, model)), None)
    if declared is None or not declared.targets:
        return model
    total = sum(target.weight for target in declared.targets)
    even = 1 / len(declared.targets)
    shares = [(target.name, target.weight / total if total else even) for target in declared.targets]
    drawn = [(name, share) for name, share in shares if share]
    return drawn[0][0] if len(drawn) == 1 else ", ".join(f"{name} ({share:.0%})" for name, share in drawn)


def _mirrors(rule: Rule) -> Iterator[str]:
    for mirror in rule.mirrors:
        target = (
            "no ready endpoint" if not mirror.destination.endpoints else f"{len(mirror.destination.endpoints)} ready"
        )
        whose = "" if mirror.backend is None else f" that fall on {rule.backends[mirror.backend].ref}"
        yield f"{100 * mirror.fraction:.4g} % of the requests{whose} to {mirror.destination.ref} ({target})"
