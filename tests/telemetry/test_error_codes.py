"""The words of other projects for a failure."""

from __future__ import annotations

import pytest

from mirrorgate.errors import REPLIES, Refusal
from mirrorgate.telemetry.error_codes import error_type, inference_error_code

CANONICAL = {"", "BadRequest", "BadConfiguration", "InferencePoolResourceExhausted", "ServiceUnavailable",
             "ModelServerError", "Internal"}  # fmt: skip


@pytest.mark.parametrize("refusal", list(Refusal))
def test_every_refusal_has_a_canonical_code(refusal: Refusal) -> None:
    """Whatever is refused ends in one of the extension's words."""
    reply = REPLIES[refusal]
    assert inference_error_code(refusal, reply.status, reply.flag) in CANONICAL


@pytest.mark.parametrize(
    ("refusal", "status", "flag", "code", "kind"),
    [
        ("", 200, "-", "", ""),
        ("", 503, "-", "ModelServerError", "503"),
        ("", 700, "-", "ModelServerError", "_OTHER"),
        ("", 200, "UPE", "ModelServerError", "UPE"),
        ("", 200, "DC", "", "DC"),
        ("", 200, "DI", "", ""),
        ("fault", 503, "DI,FI", "ModelServerError", "fault"),
        ("redirect", 302, "-", "", ""),
        ("client_left", 0, "DC", "", "client_left"),
        ("pending_overflow", 503, "UO", "InferencePoolResourceExhausted", "pending_overflow"),
        ("request_timeout", 504, "UT", "ModelServerError", "request_timeout"),
    ],
)
def test_examples(refusal: str, status: int, flag: str, code: str, kind: str) -> None:
    """An answer that was cut counts as an error although its status is 200."""
    assert inference_error_code(refusal, status, flag) == code
    assert error_type(refusal, status, flag) == kind
