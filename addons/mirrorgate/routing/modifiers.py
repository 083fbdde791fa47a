"""The filters of a rule or of one of its backendRefs, from their declaration to what the route table holds.

Gateway API v1, `HTTPRouteFilter`. A filter that this version cannot apply makes its rule, or its backend's share,
invalid, because a filter "MUST NOT be skipped": a request that asked for authorisation must not go on without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..resources.http_route import HTTPRoute
from ..resources.route_filter import (
    HeaderFilter,
    HTTPRouteFilter,
    PathModifier,
    RequestMirrorFilter,
    RequestRedirectFilter,
)
from ..resources.shadow_policy import ShadowPolicySpec
from .conditions import Finding
from .cors import compile_cors
from .notes import Notes
from .paths import normalize
from .references import References
from .table import Cors, HeaderChanges, Mirror, PathRewrite, Redirect, UrlRewrite

__all__ = ["Modifiers", "compile_backend_filters", "compile_filters", "header_changes"]

_DEFAULT_POLICY = ShadowPolicySpec()


@dataclass(slots=True)
class Modifiers:
    """What the filters of one rule, or of one backendRef, come to."""

    request_headers: HeaderChanges = field(default_factory=HeaderChanges)
    response_headers: HeaderChanges = field(default_factory=HeaderChanges)
    rewrite: UrlRewrite | None = None
    redirect: Redirect | None = None
    cors: Cors | None = None
    mirrors: tuple[Mirror, ...] = ()


def compile_filters(route: HTTPRoute, rule: int, cluster: str, references: References, notes: Notes) -> Modifiers:
    """Compile the filters of a rule; what is wrong with them goes into `notes`."""

    def refuse(path: str, finding: Finding, hint: str) -> None:
        notes.invalidate(rule, path, finding, hint)

    reader = _Reader(route, rule, None, cluster, f"spec.rules[{rule}]", references, notes, refuse)
    return reader.read(route.spec.rules[rule].filters)


def compile_backend_filters(
    route: HTTPRoute, rule: int, backend: int, cluster: str, references: References, notes: Notes
) -> tuple[Modifiers, Finding | None]:
    """Compile the filters of a backendRef; the finding, if there is one, makes its share of the requests a 500."""
    findings: list[Finding] = []
    path = f"spec.rules[{rule}].backendRefs[{backend}]"

    def refuse(where: str, finding: Finding, hint: str) -> None:
        findings.append(finding)
        notes.warn(where, finding.message, "the backend's share is answered 500")
        notes.partial.append(Finding(finding.reason, f"{path}: {finding.message}"))

    reader = _Reader(route, rule, backend, f"{cluster}-backend-{backend}", path, references, notes, refuse)
    modifiers = reader.read(route.spec.rules[rule].backend_refs[backend].filters)
    return modifiers, findings[0] if findings else None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Where a list of filters stands, and what it takes to make sense of it."""

    route: HTTPRoute
    rule: int
    backend: int | None
    cluster: str
    """What the names of its mirrors' clusters begin with."""
    path: str
    references: References
    notes: Notes
    refuse: Callable[[str, Finding, str], None]

    def read(self, filters: tuple[HTTPRouteFilter, ...]) -> Modifiers:
        prefix = _only_prefix(self.route, self.rule)
        result = Modifiers()
        for index, entry in enumerate(filters):
            path = f"{self.path}.filters[{index}]"
            if entry.request_header_modifier is not None:
                result.request_headers = header_changes(entry.request_header_modifier)
            elif entry.response_header_modifier is not None:
                result.response_headers = header_changes(entry.response_header_modifier)
            elif entry.request_mirror is not None:
                mirror = self._mirror(entry.request_mirror, index, path)
                result.mirrors += () if mirror is None else (mirror,)
            elif entry.url_rewrite is not None:
                result.rewrite = UrlRewrite(entry.url_rewrite.hostname, _path_rewrite(entry.url_rewrite.path, prefix))
            elif entry.request_redirect is not None:
                result.redirect = _redirect(entry.request_redirect, prefix)
            elif entry.cors is not None and self.backend is None:
                result.cors = compile_cors(entry.cors)
            else:
                where = "" if entry.cors is None else " on a backendRef"
                message = f"filter {entry.type} is not supported{where} by this version of Mirrorgate"
                hint = "requests of the rule are answered 500, because a filter must not be skipped"
                self.refuse(path, Finding("UnsupportedValue", message), hint)
        self._check_combination(filters, result)
        return result

    def _check_combination(self, filters: tuple[HTTPRouteFilter, ...], result: Modifiers) -> None:
        types = [entry.type for entry in filters]
        for other in ("RequestMirror", "URLRewrite"):
            if "RequestRedirect" in types and other in types:
                message = (
                    f"filters RequestRedirect and {other} cannot be in one rule: there is no request to apply both to"
                )
                path = f"{self.path}.filters[{types.index(other)}]"
                self.refuse(path, Finding("IncompatibleFilters", message), "")
                result.mirrors, result.redirect = (), None

    def _mirror(self, declared: RequestMirrorFilter, index: int, path: str) -> Mirror | None:
        """Compile a RequestMirror; `None` when its backend is not there or its share is 0."""
        resolved = self.references.backend(declared.backend_ref, self.route.metadata.namespace)
        if resolved.finding is not None or resolved.destination is None:
            finding = resolved.finding or Finding("BackendNotFound", f"{resolved.ref} does not exist")
            self.notes.unresolve(f"{path}.requestMirror.backendRef", finding, "nothing is mirrored by this filter")
            return None
        if declared.share <= 0:
            return None
        cluster = f"{self.cluster}-mirror-{index}"
        return Mirror(index, cluster, resolved.destination, declared.share, _DEFAULT_POLICY, backend=self.backend)


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


def _redirect(declared: RequestRedirectFilter, prefix: str) -> Redirect:
    path = _path_rewrite(declared.path, prefix)
    return Redirect(declared.status_code, declared.scheme, declared.hostname, declared.port, path)
