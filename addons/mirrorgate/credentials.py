"""Credentials of a client, in header fields and in the query: what must not reach a candidate or a journal."""

from __future__ import annotations

from urllib.parse import unquote_plus

__all__ = ["without_credentials", "without_query_credentials"]

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
_IN_QUERY = frozenset(("key", "api_key", "api-key", "apikey", "access_token", "auth_token", "token"))


def without_credentials(fields: Fields) -> Fields:
    """Leave out the fields of a request or an answer that speak for the client; case does not matter."""
    return [field for field in fields if field[0].lower() not in _CREDENTIALS]


def without_query_credentials(target: str) -> str:
    """Leave out the parameters of a request target that speak for the client."""
    path, _, query = target.partition("?")
    pairs = query.split("&")
    kept = [pair for pair in pairs if unquote_plus(pair.partition("=")[0]).lower() not in _IN_QUERY]
    if len(kept) == len(pairs):
        return target
    return f"{path}?{'&'.join(kept)}" if kept else path
