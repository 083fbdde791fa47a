"""What becomes of a request on its way to a backend: path, host and header changes, of the rule and the backendRef."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from .routing.filters import rewrite_path
from .routing.table import Backend, HeaderChanges, Rule, UrlRewrite

__all__ = ["Addressed", "addressed", "leaves_alone"]

_OF_A_TARGET = "".join(map(chr, range(0x21, 0x7F))).replace("#", "")
"""What a request line may hold beside blanks; a declared path may hold anything."""


class Addressed(msgspec.Struct, frozen=True):
    path: str
    """Request target to send."""
    host: bytes | None = None
    """The Host to send; `None` keeps the client's."""
    request_changes: tuple[HeaderChanges, ...] = ()
    response_changes: tuple[HeaderChanges, ...] = ()


def addressed(rule: Rule, backend: Backend, target: str, cors: HeaderChanges | None) -> Addressed:
    """Apply the filters of a rule, and then those of the backendRef, to a request for `target` (in normal form).

    `cors` is what the rule's CORS filter changes in the answer, which comes last (as in Envoy).
    """
    rewrite = backend.rewrite or rule.rewrite
    return Addressed(
        target if rewrite is None or rewrite.path is None else _rewritten(rewrite, target),
        None if rewrite is None or rewrite.hostname is None else rewrite.hostname.encode(),
        _changes(rule.request_headers, backend.request_headers),
        _changes(rule.response_headers, backend.response_headers, cors),
    )


def leaves_alone(rule: Rule, backend: Backend) -> bool:
    """Tell whether a request goes to a backend as it came: most rules rewrite nothing."""
    changes = (rule.request_headers, backend.request_headers, rule.response_headers, backend.response_headers)
    return (backend.rewrite or rule.rewrite) is None and not any(changes)


def _rewritten(rewrite: UrlRewrite, target: str) -> str:
    """Return the target of characters that a request line can hold."""
    assert rewrite.path is not None
    rewritten = quote(rewrite_path(rewrite.path, target), safe=_OF_A_TARGET)
    return rewritten if rewritten.startswith("/") else f"/{rewritten}"


def _changes(*changes: HeaderChanges | None) -> tuple[HeaderChanges, ...]:
    return tuple(change for change in changes if change)
