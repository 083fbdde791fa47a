"""The filters of a rule, from their declaration to what the route table holds.

Gateway API v1, `HTTPRouteFilter`. A filter that this version cannot apply makes its rule invalid, because a filter
"MUST NOT be skipped": a request that asked for authorisation must not go on without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..resources.http_route import HTTPRoute
from ..resources.route_filter import HeaderFilter, HTTPRouteFilter, PathModifier, RequestMirrorFilter
from ..resources.shadow_policy import ShadowPolicySpec
from .conditions import Finding
from .notes import Notes
from .paths import normalize
from .references import References
from .table import HeaderChanges, Mirror, PathRewrite, Redirect, UrlRewrite

__all__ = ["Modifiers", "compile_filters", "header_changes"]

_DEFAULT_POLICY = ShadowPolicySpec()


@dataclass(slots=True)
class Modifiers:
    """What the filters of one rule come to."""

    request_headers: HeaderChanges = field(default_factory=HeaderChanges)
    response_headers: HeaderChanges = field(default_factory=HeaderChanges)
    rewrite: UrlRewrite | None = None
    redirect: Redirect | None = None
    mirrors: tuple[Mirror, ...] = ()


def compile_filters(route: HTTPRoute, rule: int, cluster: str, references: References, notes: Notes) -> Modifiers:
    """Compile the filters of a rule; what is wrong with them goes into `notes`."""
    filters = route.spec.rules[rule].filters
    prefix = _only_prefix(route, rule)
    result = Modifiers()
    for index, entry in enumerate(filters):
        path = f"spec.rules[{rule}].filters[{index}]"
        if entry.request_header_modifier is not None:
            result.request_headers = header_changes(entry.request_header_modifier)
        elif entry.response_header_modifier is not None:
            result.response_headers = header_changes(entry.response_header_modifier)
        elif entry.request_mirror is not None:
            mirror = _mirror(route, entry.request_mirror, index, cluster, path, references, notes)
            result.mirrors += () if mirror is None else (mirror,)
        elif entry.url_rewrite is not None:
            result.rewrite = UrlRewrite(entry.url_rewrite.hostname, _path_rewrite(entry.url_rewrite.path, prefix))
        elif entry.request_redirect is not None:
            declared = entry.request_redirect
            new_path = _path_rewrite(declared.path, prefix)
            result.redirect = Redirect(
                declared.status_code, declared.scheme, declared.hostname, declared.port, new_path
            )
        else:
            message = f"filter {entry.type} is not supported by this version of Mirrorgate"
            hint = "requests of the rule are answered 500, because a filter must not be skipped"
            notes.invalidate(rule, path, Finding("UnsupportedValue", message), hint)
    _check_combination(filters, rule, result, notes)
    return result


def _check_combination(filters: tuple[HTTPRouteFilter, ...], rule: int, result: Modifiers, notes: Notes) -> None:
    types = [entry.type for entry in filters]
    for other in ("RequestMirror", "URLRewrite"):
        if "RequestRedirect" in types and other in types:
            message = f"filters RequestRedirect and {other} cannot be in one rule: there is no request to apply both to"
            path = f"spec.rules[{rule}].filters[{types.index(other)}]"
            notes.invalidate(rule, path, Finding("IncompatibleFilters", message))
            result.mirrors, result.redirect = (), None


def header_changes(declared: HeaderFilter) -> HeaderChanges:
    """Return a header modifier with its names in lower case; of equal names the first counts."""
    changed = {header.name.lower(): header.value for header in reversed(declared.set)}
    added = {header.name.lower(): header.value for header in reversed(declared.add)}
    return HeaderChanges(
        tuple(reversed(changed.items())),
        tuple(reversed(added.items())),
        tuple(dict.fromkeys(name.lower() for name in declared.remove)),
    )


def _only_prefix(route: HTTPRoute, rule: int) -> str:
    """Return the prefix that `ReplacePrefixMatch` replaces; a rule that uses it has exactly one (checked on load)."""
    matches = route.spec.rules[rule].matches
    declared = matches[0].path.value if matches else "/"
    return normalize(declared) or declared


def _path_rewrite(declared: PathModifier | None, prefix: str) -> PathRewrite | None:
    if declared is None:
        return None
    if declared.type == "ReplaceFullPath":
        return PathRewrite(declared.replace_full_path or "/")
    return PathRewrite(declared.replace_prefix_match or "/", prefix)


def _mirror(
    route: HTTPRoute,
    declared: RequestMirrorFilter,
    index: int,
    cluster: str,
    path: str,
    references: References,
    notes: Notes,
) -> Mirror | None:
    """Compile a RequestMirror; `None` when its backend is not there or its share is 0."""
    resolved = references.backend(declared.backend_ref, route.metadata.namespace)
    if resolved.finding is not None or resolved.destination is None:
        finding = resolved.finding or Finding("BackendNotFound", f"{resolved.ref} does not exist")
        notes.unresolve(f"{path}.requestMirror.backendRef", finding, "nothing is mirrored by this filter")
        return None
    if declared.share <= 0:
        return None
    return Mirror(index, f"{cluster}-mirror-{index}", resolved.destination, declared.share, _DEFAULT_POLICY)
