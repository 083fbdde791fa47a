"""The path of a request target: its normal form, its query, and the prefixes that match it.

What is matched is what is forwarded, so that no rule can be walked around with `..`, `//` or `%2f`. The choices are
Envoy Gateway's (`normalize_path`, `merge_slashes`, escaped slashes unescaped), except that an escaped slash is
unescaped and forwarded where Envoy answers with a redirect: a client of a model API does not follow one on POST.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

__all__ = ["bare_prefix", "has_prefix", "normalize", "query_value", "split"]

_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_~.!$&'()*+,;=:@-]*)+/?|/")
"""Paths already in normal form: nothing escaped, no empty segment, none that begins with a dot."""

_FORBIDDEN = re.compile(r"[^\x21-\x7e]|#")
"""Whitespace, controls and raw bytes beyond ASCII (RFC 9112, request-target) and a fragment."""

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")

_UNESCAPED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/\\")
"""Unreserved characters, whose escape is equivalent (RFC 3986, 6.2.2.2), and the two slashes."""


def normalize(target: str) -> str | None:
    """Return the request target (origin form, with its query) in normal form, or `None` for a 400.

    The path is unescaped where that changes nothing but its look, and where it hides a slash; a backslash is a
    slash; dot segments are removed (RFC 3986, 5.2.4; `..` stops at the root) and then runs of slashes are merged.
    An escaped percent sign stays escaped and the query is not touched. Refused are targets that do not begin
    with `/`, malformed escapes (half of one can complete another when it is unescaped), an escaped NUL, a fragment,
    and any character that a request line may not hold. Normalising twice changes nothing.
    """
    path, mark, query = target.partition("?")
    if _PLAIN.fullmatch(path) and (not query or _FORBIDDEN.search(query) is None):
        return target
    if not path.startswith("/") or _FORBIDDEN.search(target):
        return None
    if "%" in path:
        if _BAD_ESCAPE.search(path):
            return None
        path = _ESCAPE.sub(_unescape, path)
    segments = _without_dots(path.replace("\\", "/").split("/")[1:])
    tail = "/" if segments and segments[-1] == "" else ""
    kept = "/".join(segment for segment in segments if segment)
    return f"/{kept}{tail if kept else ''}{mark}{query}"


def _unescape(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNESCAPED else escape[0]


def _without_dots(segments: list[str]) -> list[str]:
    """Remove `.` and `..`; one at the end leaves the directory, hence a trailing slash."""
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return kept


def split(target: str) -> tuple[str, str]:
    """Return the path and the query of a request target, the query without its `?`."""
    path, _, query = target.partition("?")
    return path, query


def bare_prefix(value: str) -> str:
    """Return a `PathPrefix` value without its trailing slashes, which are ignored; the root becomes empty."""
    return value.rstrip("/")


def has_prefix(path: str, prefix: str) -> bool:
    """Tell whether a path begins with all elements of a prefix, as `PathPrefix` asks: `/v2` is none of `/v2example`."""
    bare = bare_prefix(prefix)
    return path.startswith(bare) and path[len(bare) : len(bare) + 1] in ("", "/") and path.startswith("/")


def query_value(query: str, name: str) -> str | None:
    """Return the first value of a query parameter, unescaped, or `None` when the query does not have it."""
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if _decoded(key) == name:
            return _decoded(value)
    return None


def _decoded(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    return unquote_plus(text)
