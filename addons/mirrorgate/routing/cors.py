"""The CORS filter: which origins may ask, what a preflight is answered, what is added to other answers.

Gateway API v1, `HTTPCORSFilter`; the Fetch standard, 3.3. As in Envoy (measured) a preflight is answered with 200 and
an empty body before the route is looked at any further. Unlike Envoy, what the server says about origins never shows
through: the filter is the policy, and model servers answer `Access-Control-Allow-Origin: *` on their own.
"""

from __future__ import annotations

from collections.abc import Callable

from ..resources.route_filter import CORSFilter
from .table import Cors, HeaderChanges

__all__ = ["allows", "answer_changes", "compile_cors", "preflight_answer", "preflight_method"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ORIGIN, _CREDENTIALS = "access-control-allow-origin", "access-control-allow-credentials"
_EXPOSE, _VARY = "access-control-expose-headers", (("vary", "Origin"),)
_OURS = (_ORIGIN, _CREDENTIALS, _EXPOSE)

_UNTOLD = HeaderChanges(add=_VARY, remove=_OURS)
"""What an origin that may not ask is told: nothing, whatever the server says."""


def compile_cors(declared: CORSFilter) -> Cors:
    """Compile the filter. `*` among exposed headers means nothing to a browser where credentials are allowed."""
    exact: set[tuple[str, str, int]] = set()
    suffixes: list[tuple[str, str, int]] = []
    for origin in declared.allow_origins:
        parts = _parts(origin)
        if parts is None:
            continue
        scheme, host, port = parts
        if host.startswith("*"):
            suffixes.append((scheme, host[1:], port))
        else:
            exact.add(parts)
    credentials = bool(declared.allow_credentials)
    return Cors(
        any_origin="*" in declared.allow_origins,
        origins=frozenset(exact),
        suffixes=tuple(suffixes),
        credentials=credentials,
        methods=", ".join(declared.allow_methods),
        headers=", ".join(declared.allow_headers),
        expose=", ".join(name for name in declared.expose_headers if name != "*" or not credentials),
        max_age=declared.max_age,
    )


def _parts(origin: str) -> tuple[str, str, int] | None:
    """Split an origin into scheme, host and port, in lower case; `None` for `null`, `*` and what is none."""
    scheme, mark, authority = origin.lower().partition("://")
    default = _DEFAULT_PORTS.get(scheme)
    if not mark or not authority or default is None:
        return None
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        return scheme, authority, default
    return (scheme, host, int(port)) if port.isascii() and port.isdigit() and len(port) < 6 else None


def allows(cors: Cors, origin: str) -> bool:
    """Tell whether an origin may ask. `*` stands for any number of labels, at least one character."""
    if cors.any_origin:
        return origin.isascii()  # an Origin is; and it is sent back
    parts = _parts(origin)
    if parts is None:
        return False
    scheme, host, port = parts
    return parts in cors.origins or any(
        scheme == wanted and port == at and host.endswith(suffix) and len(host) > len(suffix)
        for wanted, suffix, at in cors.suffixes
    )


def preflight_method(method: bytes, header: Callable[[bytes], bytes | None]) -> bytes | None:
    """Return the method that a preflight asks about, `None` when the request is none (Fetch, CORS-preflight request).

    `header` returns the value of a field by its name in lower case.
    """
    if method != b"OPTIONS" or header(b"origin") is None:
        return None
    return header(b"access-control-request-method")


def preflight_answer(cors: Cors, origin: str, method: str, headers: str) -> HeaderChanges:
    """Return the fields that answer a preflight; `headers` are the names asked about, empty for none.

    An origin that may not ask gets none of them, and its browser gives up.
    """
    if not allows(cors, origin):
        return HeaderChanges(add=_VARY)
    fields = [(_ORIGIN, origin)]
    if cors.credentials:
        fields.append((_CREDENTIALS, "true"))
    methods = method if cors.methods == "*" else cors.methods
    names = headers if cors.headers == "*" else cors.headers
    if methods:
        fields.append(("access-control-allow-methods", methods))
    if names:
        fields.append(("access-control-allow-headers", names))
    fields.append(("access-control-max-age", str(cors.max_age)))
    if cors.expose:
        fields.append((_EXPOSE, cors.expose))
    return HeaderChanges(tuple(fields), _VARY)


def answer_changes(cors: Cors, origin: str | None) -> HeaderChanges:
    """Return the changes to the answer of a request that is no preflight; `origin` is `None` without one."""
    if origin is None or not allows(cors, origin):
        return _UNTOLD
    fields = [(_ORIGIN, origin)]
    if cors.credentials:
        fields.append((_CREDENTIALS, "true"))
    if cors.expose:
        fields.append((_EXPOSE, cors.expose))
    told = [name for name, _ in fields]
    return HeaderChanges(tuple(fields), _VARY, tuple(name for name in _OURS if name not in told))
