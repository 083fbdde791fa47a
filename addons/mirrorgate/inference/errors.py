"""The error body of the OpenAI API, which inference clients expect from a gateway too."""

from __future__ import annotations

import msgspec

__all__ = ["error_type", "openai_error"]

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}


class _Error(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str | int | None


class _Body(msgspec.Struct):
    error: _Error


_encoder = msgspec.json.Encoder()


def error_type(status: int) -> str:
    """Name the `error.type` that goes with a status when nothing more exact is known."""
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def openai_error(
    status: int,
    message: str,
    type: str = "",
    code: str | int | None = None,
    param: str | None = None,
) -> bytes:
    """Encode an OpenAI-shaped error body: `{"error": {"message", "type", "param", "code"}}`.

    An empty `type` is filled in from the status. `code` is the API's short word (`model_not_found`), or a number
    where the caller copies vLLM. Lone surrogates, which JSON cannot carry, become question marks.
    """
    body = _Body(_Error(_sound(message), _sound(type) or error_type(status), _sound_or_none(param), code))
    return _encoder.encode(body)


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _sound_or_none(text: str | None) -> str | None:
    return None if text is None else _sound(text)
