import json

import pytest

from mirrorgate.inference.errors import error_type, openai_error


def test_body_has_the_four_fields_of_openai() -> None:
    """All four fields are present, the unknown ones as null."""
    body = openai_error(404, "The model `x` does not exist.", code="model_not_found", param="model")
    assert json.loads(body) == {
        "error": {
            "message": "The model `x` does not exist.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }


@pytest.mark.parametrize(
    ("status", "name"),
    [(400, "invalid_request_error"), (429, "rate_limit_error"), (500, "server_error"), (418, "invalid_request_error")],
)
def test_type_follows_the_status(status: int, name: str) -> None:
    """A status without a type of its own gets that of its class."""
    assert error_type(status) == name
    assert json.loads(openai_error(status, "x"))["error"]["type"] == name


def test_lone_surrogates_do_not_break_the_answer() -> None:
    """A message that quotes a broken request is still encoded."""
    assert json.loads(openai_error(400, "bad \ud800", type="\udfff"))["error"]["message"] == "bad ?"
