"""What the filters of a rule do to a request and its answer: header changes, path rewrites, redirects.

Gateway API v1: `HTTPHeaderFilter`, `HTTPPathModifier`, `HTTPURLRewriteFilter`, `HTTPRequestRedirectFilter`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .hostnames import host_of
from .paths import bare_prefix, has_prefix
from .table import HeaderChanges, PathRewrite, Redirect

__all__ = ["apply", "redirect_location", "rewrite_path"]

_WELL_KNOWN = {"http": 80, "https": 443}
_SAFE_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")


def apply(changes: HeaderChanges, fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the header fields after set, add and remove, in that order.

    A set value replaces all fields of its name in the place of the first, whose spelling stays; an added one
    becomes a field of its own after the others, which means the same as a list joined with commas (RFC 9110, 5.3)
    and is what Envoy sends. Names are compared without case.
    """
    if not changes:
        return list(fields)
    waiting = {name.encode("ascii", "replace"): value.encode() for name, value in changes.set}
    replaced = frozenset(waiting)
    removed = frozenset(name.encode("ascii", "replace") for name in changes.remove)
    result: list[tuple[bytes, bytes]] = []
    for name, value in fields:
        lowered = name.lower()
        if lowered not in replaced:
            result.append((name, value))
        elif lowered in waiting:
            result.append((name, waiting.pop(lowered)))
    result.extend(waiting.items())
    result.extend((name.encode("ascii", "replace"), value.encode()) for name, value in changes.add)
    return [field for field in result if field[0].lower() not in removed] if removed else result


def rewrite_path(rewrite: PathRewrite, target: str) -> str:
    """Return the request target with its path replaced, wholly or in its matched prefix; the query survives.

    Trailing slashes of the prefix and of its replacement do not count, and the root is never lost (the table of
    `HTTPPathModifier.replacePrefixMatch`): with prefix `/foo`, `/foo/bar` becomes `/xyz/bar`, and `/foo` replaced by
    nothing becomes `/`. A target that does not have the prefix comes back as it is.
    """
    path, mark, query = target.partition("?")
    if rewrite.prefix is None:
        return f"{rewrite.value or '/'}{mark}{query}"
    if not has_prefix(path, rewrite.prefix):
        return target
    rest = path[len(bare_prefix(rewrite.prefix)) :]
    if bare_prefix(rewrite.prefix) == "" and rest == "/":
        rest = ""
    return f"{bare_prefix(rewrite.value) + rest or '/'}{mark}{query}"


def redirect_location(redirect: Redirect, scheme: str, authority: str, port: int, target: str) -> tuple[int, str]:
    """Return the status and the `Location` of a redirect.

    `scheme` and `authority` are the request's, `port` is the listener's logical one, `target` the request target. The
    port is the declared one, else the well-known one of a declared scheme, else the listener's; `:80` for http
    and `:443` for https are left out (`HTTPRequestRedirectFilter.port`). Without a usable host (HTTP/1.0, or a
    malformed one) the location is a path, which the client resolves itself.
    """
    location = target if redirect.path is None else rewrite_path(redirect.path, target)
    host = redirect.hostname or host_of(authority)
    if not _SAFE_HOST.fullmatch(host):
        return redirect.status, location
    to_scheme = redirect.scheme or scheme
    to_port = redirect.port
    if to_port is None:
        to_port = port if redirect.scheme is None else _WELL_KNOWN.get(redirect.scheme, port)
    suffix = "" if _WELL_KNOWN.get(to_scheme) == to_port else f":{to_port}"
    return redirect.status, f"{to_scheme}://{host}{suffix}{location}"
