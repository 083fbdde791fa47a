"""Request targets without the credentials that clients put into them."""

from __future__ import annotations

import re

from ..credentials import is_credential

__all__ = ["without_credentials"]

_SEPARATORS = re.compile(r"([&;])")
_USERINFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")

_REDACTED = "[redacted]"


def without_credentials(target: str) -> str:
    """Replace the values of query parameters that are named like a key, and a user and password before the host.

    What is no query comes back as it is; a parameter without `=` too.
    """
    if "@" in target and "://" in target:
        target = _USERINFO.sub(rf"\1{_REDACTED}@", target)
    path, mark, query = target.partition("?")
    if not mark or "=" not in query:
        return target
    return path + mark + "".join(map(_parameter, _SEPARATORS.split(query)))


def _parameter(part: str) -> str:
    name, equals, value = part.partition("=")
    if not equals or not value:
        return part
    return f"{name}={_REDACTED}" if is_credential(name) else part
