"""The words with which metrics of other projects name a failure."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Refusal

__all__ = ["LEG_FLAGS", "error_type", "inference_error_code"]

_INFERENCE: Mapping[str, str] = {
    Refusal.BAD_REQUEST: "BadRequest",
    Refusal.BAD_INFERENCE_REQUEST: "BadRequest",
    Refusal.BODY_TOO_LARGE: "BadRequest",
    Refusal.BUFFERS_FULL: "ServiceUnavailable",
    Refusal.HEADERS_TOO_LARGE: "BadRequest",
    Refusal.REQUEST_HEADER_TIMEOUT: "BadRequest",
    Refusal.UNKNOWN_MODEL: "BadConfiguration",
    Refusal.NO_ROUTE: "BadConfiguration",
    Refusal.INVALID_BACKEND: "BadConfiguration",
    Refusal.PENDING_OVERFLOW: "InferencePoolResourceExhausted",
    Refusal.ACTIVE_OVERFLOW: "InferencePoolResourceExhausted",
    Refusal.FORCED_OPEN: "InferencePoolResourceExhausted",
    Refusal.BREAKER_OPEN: "ServiceUnavailable",
    Refusal.SATURATED: "InferencePoolResourceExhausted",
    Refusal.NO_ENDPOINTS: "ServiceUnavailable",
    Refusal.CONNECT_FAILURE: "ServiceUnavailable",
    Refusal.CONNECT_TIMEOUT: "ServiceUnavailable",
    Refusal.DRAINING: "ServiceUnavailable",
    Refusal.INTERNAL: "Internal",
    Refusal.REDIRECT: "",
    Refusal.PREFLIGHT: "",
    Refusal.CLIENT_LEFT: "",
}
"""Canonical codes of the inference extension (`pkg/epp/util/error`); what is not here is the model server's fault."""

LEG_FLAGS: Mapping[str, str] = {
    "complete": "-",
    "refused": "UF",
    "connect_timeout": "UF",
    "timeout": "UT",
    "idle_timeout": "SI",
    "reset": "UC",
    "protocol_error": "UPE",
    "cancelled": "LR",
    "too_large": "LR",
}
"""Envoy's response flag for the outcome of a shadow leg."""


def inference_error_code(refusal: str, status: int, flag: str) -> str:
    """Return the extension's code; empty for a success, and for a client that left, which is nobody's error."""
    if refusal:
        return _INFERENCE.get(refusal, "ModelServerError")
    if status >= 400 or flag not in {"-", "DC", "DI"}:
        return "ModelServerError"
    return ""


def error_type(refusal: str, status: int, flag: str) -> str:
    """Return OpenTelemetry's `error.type`: our refusal, else the status, else the flag of a cut answer, else empty."""
    if refusal:
        return "" if refusal in (Refusal.REDIRECT, Refusal.PREFLIGHT) else refusal
    if status >= 400:
        return str(status) if status < 600 else "_OTHER"
    return "" if flag in {"-", "DI"} else flag
