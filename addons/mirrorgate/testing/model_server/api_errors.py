"""The error bodies of vLLM 0.32, as recorded: their types and codes are inconsistent, and so are these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "ApiError",
    "busy",
    "context_exceeded",
    "engine_dead",
    "internal",
    "invalid_json",
    "max_tokens_exceeded",
    "method_not_allowed",
    "missing_field",
    "negative_temperature",
    "not_found",
    "unauthorized",
    "unknown_model",
    "wrong_content_type",
]


@dataclass(frozen=True, slots=True)
class ApiError:
    """A status and the JSON that goes with it."""

    status: int
    body: dict[str, Any]


def _error(status: int, message: str, kind: str, param: str | None = None) -> ApiError:
    return ApiError(status, {"error": {"message": message, "type": kind, "param": param, "code": status}})


def unknown_model(model: str, aliases: tuple[str, ...]) -> ApiError:
    """Answer for a model that is not served."""
    message = f"The model `{model}` does not exist. Valid aliases: {', '.join(aliases)}."
    return _error(404, message, "NotFoundError", "model")


def invalid_json(position: int, reason: str) -> ApiError:
    """Answer for a body that is not JSON; `position` counts characters."""
    detail = {
        "type": "json_invalid",
        "loc": f"body.{position}",
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": reason},
    }
    return _error(400, f"1 validation error:\n  {detail}", "Bad Request", f"body.{position}")


def missing_field(field: str) -> ApiError:
    """Answer for a request that lacks a field, or has it in a wrong type."""
    detail = {"type": "missing", "loc": f"body.{field}", "msg": "Field required"}
    return _error(400, f"1 validation error:\n  {detail}", "Bad Request", f"body.{field}")


def wrong_content_type() -> ApiError:
    """Answer for a body that does not say that it is JSON."""
    message = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
    return _error(400, message, "Bad Request")


def context_exceeded(limit: int, tokens: int) -> ApiError:
    """Answer for a prompt that is longer than the model's context."""
    message = (
        f"This model's maximum context length is {limit} tokens. However, your prompt contains at least {tokens} input "
        "tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
        f"prompt. (parameter=input_tokens, value={tokens})"
    )
    return _error(400, message, "BadRequestError", "input_tokens")


def max_tokens_exceeded(limit: int, asked: int) -> ApiError:
    """Answer for a `max_tokens` over the model's context."""
    message = (
        f"max_tokens={asked} cannot be greater than max_model_len={limit}. Please request fewer output tokens. "
        f"(parameter=max_tokens, value={asked})"
    )
    return _error(400, message, "BadRequestError", "max_tokens")


def negative_temperature(value: float) -> ApiError:
    """Answer for a temperature below zero."""
    message = f"temperature must be non-negative, got {value}. (parameter=temperature, value={value})"
    return _error(400, message, "BadRequestError", "temperature")


def unauthorized() -> ApiError:
    """Answer for a wrong key or none: here `error` is a string."""
    return ApiError(401, {"error": "Unauthorized"})


def busy() -> ApiError:
    """Answer when `max_num_queued_reqs` wait already. There is no Retry-After."""
    message = (
        "The engine is currently busy and cannot accept new requests. "
        "Please try again later or on a different instance."
    )
    return _error(503, message, "Service Unavailable")


def internal(status: int = 500) -> ApiError:
    """Answer of a server that failed."""
    return _error(status, "Internal server error", "InternalServerError")


def engine_dead() -> ApiError:
    """Answer, and event in a stream, of a server whose engine died."""
    message = "EngineCore encountered an issue. See stack trace (above) for the root cause."
    return _error(500, message, "InternalServerError")


def not_found() -> ApiError:
    """Answer for an unknown path: not in the shape of the other errors."""
    return ApiError(404, {"detail": "Not Found"})


def method_not_allowed() -> ApiError:
    """Answer for a known path and a wrong method: not in the shape of the other errors."""
    return ApiError(405, {"detail": "Method Not Allowed"})
