"""Credentials of a client, in header fields and in the query: what must not reach a candidate or a journal."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_plus

__all__ = ["is_credential", "without_credentials", "without_query_credentials"]

Fields = list[tuple[bytes, bytes]]

_CREDENTIALS = frozenset(
    (
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"set-cookie",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"x-access-token",
        b"x-auth-request-access-token",
        b"x-auth-token",
        b"x-amz-security-token",
        b"x-amzn-oidc-accesstoken",
        b"x-amzn-oidc-data",
        b"x-csrf-token",
        b"x-forwarded-access-token",
        b"x-forwarded-client-cert",
        b"x-goog-iap-jwt-assertion",
        b"cf-access-jwt-assertion",
        b"ocp-apim-subscription-key",
    )
)
_FIELD_ENDINGS = (
    b"api-key", b"apikey", b"access-key", b"-token", b"secret", b"password", b"-signature", b"-credential", b"-jwt",
    b"-assertion", b"authorization",
)  # fmt: skip
_NAMES = frozenset(
    (
        "accesskey",
        "assertion",
        "auth",
        "authorization",
        "bearer",
        "code",
        "cookie",
        "credentials",
        "jwt",
        "key",
        "pass",
        "passwd",
        "pwd",
        "session",
        "sessionid",
        "sid",
        "sig",
    )
)
_PAIRS = re.compile(r"[&;]?[^&;]*")
_ENDINGS = ("_key", "-key", "apikey", "token", "secret", "password", "signature", "credential")


def without_credentials(fields: Fields) -> Fields:
    """Leave out the fields of a request or an answer that speak for the client; neither case nor an underscore for a
    hyphen matters, and vendors' own names are told by how they end."""
    return [field for field in fields if not _speaks_for_the_client(field[0])]


@lru_cache(maxsize=1024)
def _speaks_for_the_client(name: bytes) -> bool:
    plain = name.lower().replace(b"_", b"-")
    return plain in _CREDENTIALS or plain.endswith(_FIELD_ENDINGS)


def without_query_credentials(target: str) -> str:
    """Leave out the parameters of a request target that speak for the client."""
    path, _, query = target.partition("?")
    # Some servers take a semicolon for a separator, too.
    pairs = [pair for pair in _PAIRS.findall(query) if pair]
    kept = [pair for pair in pairs if not is_credential(pair.lstrip("&;").partition("=")[0])]
    if len(kept) == len(pairs):
        return target
    left = "".join(kept)
    return f"{path}?{left[1:] if left[:1] in ('&', ';') else left}" if left else path


def is_credential(name: str) -> bool:
    """Tell whether a query parameter is named like something that speaks for the client; `name` is as in the query.

    Names count percent-decoded and whatever their case, so that `%61pi_key` hides nothing.
    """
    plain = unquote_plus(name).strip().lower()
    return plain in _NAMES or plain.endswith(_ENDINGS)
