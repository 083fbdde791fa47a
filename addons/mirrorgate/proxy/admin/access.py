"""Who may see what on the admin port, as a pure decision over a request's head.

`/ready`, `/healthz` and `/metrics` are open. Everything else shows prompts, addresses and configuration: it needs the
bearer token, which reading takes as the password of Basic, too, or a request that a program or a browser of this
machine makes on its own account:

- the peer is a loopback address, and no header says that somebody passed the request on;
- the Host is one of this machine's names, so that a page under a name that was rebound to 127.0.0.1 gets nothing
  (DNS rebinding);
- the browser does not say that another site asks (`Sec-Fetch-Site`, Fetch Metadata), save for opening the page.

Every change needs the token, and the server's own origin when a browser names one.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Access", "Denial", "host_name"]

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_PASSED_ON = ("forwarded", "via", "x-envoy-external-address", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


@dataclass(frozen=True, slots=True)
class Denial:
    status: int
    """401 where the token would help and none was sent or a wrong one, 403 otherwise."""
    text: str


class Access:
    """Decides about one request.

    Args:
        token: the bearer token, empty when there is none; then nothing can be changed and nothing seen from elsewhere.
        bound: the address that the server is bound to; as a Host it is as good as `localhost`.
    """

    def __init__(self, token: str, bound: str) -> None:
        self._token = token.encode("utf-8", "surrogatepass")
        self._names = _LOCAL_NAMES | ({bound.lower()} if bound and not _wildcard(bound) else set())

    @property
    def has_token(self) -> bool:
        """Whether changes are possible at all."""
        return bool(self._token)

    def may_read(self, peer: str, headers: Mapping[str, str]) -> Denial | None:
        """Return why the request is refused, `None` when it is not.

        Args:
            peer: the address at the other end of the connection, never one from a header.
            headers: by name in any case; fields of one name joined by commas.
        """
        if self._bears_token(headers) or self._has_password(headers):
            return None
        if "authorization" in headers:
            return Denial(401, "the bearer token is not the admin token")
        if not _loopback(peer):
            return Denial(401, "from another machine this needs the admin token (Authorization: Bearer ...)")
        if any(name in headers for name in _PASSED_ON):
            return Denial(401, "the request was passed on by a proxy; this needs the admin token")
        if host_name(headers.get("host", "")) not in self._names:
            return Denial(403, "the Host header is not a name of this machine; use localhost, or the admin token")
        site = headers.get("sec-fetch-site", "none")
        opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        if site not in {"none", "same-origin"} and not opened:
            return Denial(403, "another site may not read this")
        return None

    def may_change(self, headers: Mapping[str, str]) -> Denial | None:
        """Return why a change is refused, `None` when it is not."""
        if not self._token:
            return Denial(403, "changes are off: the gateway was started without an admin token")
        if not self._bears_token(headers):
            return Denial(401, "changes need the admin token (Authorization: Bearer ...)")
        origin = headers.get("origin")
        if origin is None:
            return None
        scheme, mark, authority = origin.lower().partition("://")
        own = headers.get("host", "").lower()
        if not mark or scheme not in {"http", "https"} or not own or authority != own:
            return Denial(403, "the Origin header names another site")
        return None

    def _has_password(self, headers: Mapping[str, str]) -> bool:
        """Tell whether the token came as the password of Basic: webhooks can be given a URL and no header."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if not self._token or scheme.lower() != "basic":
            return False
        try:
            password = base64.b64decode(given.strip(), validate=True).partition(b":")[2]
        except ValueError:
            return False
        return hmac.compare_digest(password, self._token)

    def _bears_token(self, headers: Mapping[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if not self._token or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode("utf-8", "surrogatepass"), self._token)


def host_name(host: str) -> str:
    """Return the name of a Host header without port, brackets and final dot, in lower case; empty when malformed."""
    host = host.strip().lower()
    if host.startswith("["):
        name, bracket, rest = host[1:].partition("]")
        return name if bracket and (not rest or (rest[0] == ":" and rest[1:].isdecimal())) else ""
    name, colon, port = host.partition(":")
    if colon and not port.isdecimal():
        return ""
    return name.removesuffix(".")


def _loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def _wildcard(bound: str) -> bool:
    return bound in {"0.0.0.0", "::", "*"}
