"""Hostnames of listeners and routes: normal form, wildcards, intersection and specificity.

Gateway API v1, `Listener.hostname` and `HTTPRoute.spec.hostnames`: `*.suffix` stands for any number of labels before
the suffix and never for the bare suffix; the port of a Host header takes no part.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["candidates", "covers", "host_of", "intersect", "specificity"]

LONGEST = 253
"""Characters in a DNS name (RFC 1035). A longer host names nobody, and is not worth looking up label by label."""


def host_of(authority: str) -> str:
    """Return the host of a Host or `:authority` value: lower case, without port and trailing dot.

    An IPv6 literal keeps its brackets. A malformed value comes back as it is: it equals no declared hostname, so
    that only listeners and routes without one can match it.
    """
    host = authority.strip().lower()
    if host.startswith("["):
        return host[: host.find("]") + 1] or host
    name, colon, port = host.rpartition(":")
    if colon and (port.isdigit() or not port):
        host = name
    return host.removesuffix(".")


def covers(pattern: str, host: str) -> bool:
    """Tell whether a declared hostname (exact, `*.suffix` or empty for any) matches a host in normal form."""
    if not pattern:
        return True
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern


def intersect(one: str, other: str) -> bool:
    """Tell whether some host is matched by both declared hostnames (HTTPRoute, hostnames)."""
    if not one or not other:
        return True
    if one.startswith("*.") and other.startswith("*."):
        return one[1:].endswith(other[1:]) or other[1:].endswith(one[1:])
    return covers(one, other) or covers(other, one)


def specificity(hostname: str) -> tuple[int, int]:
    """Return a sort key: exact names first, then longer wildcards before shorter ones, then any host."""
    if not hostname:
        return (2, 0)
    return (1, -len(hostname)) if hostname.startswith("*.") else (0, -len(hostname))


def candidates(host: str) -> Iterator[str]:
    """Yield every declared hostname that would match `host`, most specific first, ending with the empty one."""
    if host and len(host) <= LONGEST:
        yield host
        dot = host.find(".", 1)
        while dot != -1:
            yield "*" + host[dot:]
            dot = host.find(".", dot + 1)
    yield ""
