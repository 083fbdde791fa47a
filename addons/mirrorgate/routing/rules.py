"""One rule of an HTTPRoute: its matches, backendRefs, filters and timeouts, resolved.

Gateway API v1, `HTTPRouteRule`. What a rule declares and we cannot do is never skipped: the rule answers 500.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..resources.http_route import HTTPHeaderMatch, HTTPQueryParamMatch, HTTPRoute, HTTPRouteMatch
from .conditions import Finding
from .modifiers import Modifiers, compile_backend_filters, compile_filters
from .notes import Notes
from .paths import normalize
from .references import References
from .regexes import BadPattern, Regex
from .retrying import route_retry
from .table import Backend, HeaderMatch, Mirror, PathKind, PathMatch, Rule, Timeouts, UrlRewrite

__all__ = ["CompiledRule", "DeclaredMatch", "compile_rules"]


@dataclass(frozen=True, slots=True)
class DeclaredMatch:
    """A match before it is joined with a hostname."""

    index: int
    path: PathMatch
    method: str | None
    headers: tuple[HeaderMatch, ...]
    query: tuple[HeaderMatch, ...]


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule as its route alone determines it; policies are attached to it for each listener."""

    rule: Rule
    matches: tuple[DeclaredMatch, ...]


def compile_rules(route: HTTPRoute, references: References, notes: Notes) -> tuple[CompiledRule, ...]:
    """Compile every rule of a route; what is wrong with it goes into `notes`."""
    return tuple(_compile_rule(route, index, references, notes) for index in range(len(route.spec.rules)))


def _compile_rule(route: HTTPRoute, index: int, references: References, notes: Notes) -> CompiledRule:
    declared = route.spec.rules[index]
    path = f"spec.rules[{index}]"
    cluster = f"httproute/{route.key[0]}/{route.key[1]}/rule/{index}"
    modifiers = compile_filters(route, index, cluster, references, notes)
    backends: list[Backend] = []
    mirrors = modifiers.mirrors
    for position in range(len(declared.backend_refs)):
        backend, more = _compile_backend(route, index, position, cluster, modifiers.rewrite, references, notes)
        backends.append(backend)
        mirrors += more
    if declared.session_persistence is not None:
        notes.warn(f"{path}.sessionPersistence", "sessionPersistence is not honoured by this version of Mirrorgate")
    if not declared.backend_refs and modifiers.redirect is None and index not in notes.invalid:
        notes.warn(path, "the rule has neither backendRefs nor a redirect: its requests are answered 500")
    elif declared.backend_refs and not any(ref.weight for ref in declared.backend_refs):
        notes.warn(f"{path}.backendRefs", "every backendRef has weight 0: the rule's requests are answered 500")
    matches = _compile_matches(declared.matches or (HTTPRouteMatch(),), index, notes)
    timeouts = declared.timeouts
    rule = Rule(
        route=route.key,
        index=index,
        name=declared.name,
        cluster=cluster,
        backends=tuple(backends),
        mirrors=mirrors,
        request_headers=modifiers.request_headers,
        response_headers=modifiers.response_headers,
        rewrite=modifiers.rewrite,
        redirect=modifiers.redirect,
        cors=modifiers.cors,
        timeouts=Timeouts() if timeouts is None else Timeouts(timeouts.request, timeouts.backend_request),
        retry=None if declared.retry is None else route_retry(declared.retry),
        broken=_broken(notes.invalid.get(index), backends, modifiers),
    )
    return CompiledRule(rule, matches)


def _broken(invalid: Finding | None, backends: Sequence[Backend], modifiers: Modifiers) -> str:
    if invalid is not None:
        return f"{invalid.reason}: {invalid.message}"
    if not backends and modifiers.redirect is None:
        return "NoBackends: the rule has neither backendRefs nor a redirect"
    return ""


def _compile_backend(
    route: HTTPRoute,
    rule: int,
    index: int,
    cluster: str,
    rewrite: UrlRewrite | None,
    references: References,
    notes: Notes,
) -> tuple[Backend, tuple[Mirror, ...]]:
    """Compile a backendRef and the mirrors of its share; `rewrite` is the rule's, under its own."""
    ref = route.spec.rules[rule].backend_refs[index]
    resolved = references.backend(ref, route.metadata.namespace)
    modifiers, unfit = compile_backend_filters(route, rule, index, cluster, references, notes)
    if resolved.finding is not None:
        notes.unresolve(f"spec.rules[{rule}].backendRefs[{index}]", resolved.finding)
        return Backend(ref.weight, resolved.ref, None, resolved.finding.reason, index=index), ()
    if unfit is not None:
        return Backend(ref.weight, resolved.ref, None, unfit.reason, index=index), ()
    own = modifiers.rewrite
    if own is not None and rewrite is not None:
        own = UrlRewrite(own.hostname or rewrite.hostname, own.path or rewrite.path)
    backend = Backend(
        weight=ref.weight,
        ref=resolved.ref,
        destination=resolved.destination,
        request_headers=modifiers.request_headers,
        response_headers=modifiers.response_headers,
        rewrite=own,
        redirect=modifiers.redirect,
        index=index,
    )
    return backend, modifiers.mirrors


def _compile_matches(declared: tuple[HTTPRouteMatch, ...], rule: int, notes: Notes) -> tuple[DeclaredMatch, ...]:
    """Compile matches; one that cannot be compiled is left out and makes its rule invalid, others stay."""
    matches: list[DeclaredMatch] = []
    for index, match in enumerate(declared):
        path = f"spec.rules[{rule}].matches[{index}]"
        try:
            headers: dict[str, HeaderMatch] = {}
            for header in match.headers:
                headers.setdefault(header.name.lower(), _value(header, header.name.lower()))
            query = tuple(_value(parameter, parameter.name) for parameter in match.query_params)
            compiled = DeclaredMatch(index, _path(match), match.method, tuple(headers.values()), query)
        except BadPattern as error:
            message = f"not a regular expression that RE2 understands: {error}"
            notes.invalidate(rule, path, Finding("UnsupportedValue", message))
        else:
            matches.append(compiled)
    return tuple(matches)


def _path(match: HTTPRouteMatch) -> PathMatch:
    """Compile a path; literal ones take the normal form that requests' paths have."""
    kind, value = PathKind(match.path.type), match.path.value
    if kind is PathKind.REGEX:
        return PathMatch(kind, value, Regex(value))
    return PathMatch(kind, normalize(value) or value)


def _value(declared: HTTPHeaderMatch | HTTPQueryParamMatch, name: str) -> HeaderMatch:
    regex = Regex(declared.value) if declared.type == "RegularExpression" else None
    return HeaderMatch(name, declared.value, regex)
